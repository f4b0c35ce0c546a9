"""The dashboard and the alerts ask Prometheus for metrics and labels that docs/operations.md has."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.infra.cloudformation import resources
from tests.infra.cluster import cluster
from tests.infra.dockerfile import ROOT

#: Labels of a target, from Prometheus, and of a histogram's series.
EVERYWHERE = {"instance", "le", "namespace", "pod"}
#: Metrics of the consumer's own process, by prometheus-client.
PROCESS = {
    "process_resident_memory_bytes",
    "process_cpu_seconds_total",
    "process_open_fds",
    "process_max_fds",
}


@pytest.fixture(scope="module")
def documented() -> dict[str, str]:
    """The line of docs/operations.md about each metric."""
    page = (ROOT / "docs/operations.md").read_text(encoding="utf-8")
    return {match[1]: match[0] for match in re.finditer(r"^\| `(bucket_ocr_\w+)` \|.*$", page, re.MULTILINE)}


@pytest.fixture(scope="module")
def dashboard() -> Any:
    return json.loads((ROOT / "infra" / "grafana-dashboard.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def panels(dashboard: Any) -> list[Any]:
    return [panel for panel in dashboard["panels"] if panel["type"] != "row"]


def _metrics(expression: str) -> Iterator[tuple[str, str]]:
    """Every metric in it, with the matchers in the braces behind it."""
    for name, matchers in re.findall(r"\b((?:bucket_ocr|process)_\w+)(\{[^}]*\})?", expression):
        yield re.sub(r"_seconds_(bucket|sum|count)$", "_seconds", name), matchers


def _unknown(expression: str, documented: dict[str, str]) -> set[str]:
    """Metrics, labels and their values that docs/operations.md does not have."""
    metrics = list(_metrics(expression))
    lines = "".join(documented.get(name, "") for name, _ in metrics)
    unknown = {name for name, _ in metrics if name not in documented and name not in PROCESS}
    words = {
        (documented.get(name, ""), word)
        for name, matchers in metrics
        for label, values in re.findall(r'(\w+)(?:=~|!~|!=|=)"([^"]*)"', matchers)
        if label not in EVERYWHERE
        for word in (label, *values.split("|"))
    }
    grouped = re.findall(r"\b(?:by|on) \(([^)]*)\)", expression)
    words |= {(lines, label) for labels in grouped for label in {*labels.split(", ")} - EVERYWHERE}
    return unknown | {word for line, word in words if f"`{word}`" not in line}


def test_the_dashboard_shows_every_metric_and_asks_for_no_other(
    panels: list[Any], documented: dict[str, str]
) -> None:
    expressions = [target["expr"] for panel in panels for target in panel["targets"]]
    assert {each for each in expressions if _unknown(each, documented)} == set()
    assert {name for each in expressions for name, _ in _metrics(each)} == documented.keys() | PROCESS


def test_alerts_ask_for_documented_metrics_and_labels(documented: dict[str, str]) -> None:
    groups = cluster("scaled-object+")["PrometheusRule"]["spec"]["groups"]
    alerts = [rule["expr"] for group in groups for rule in group["rules"]]
    assert all(list(_metrics(each)) for each in alerts)
    assert {each for each in alerts if _unknown(each, documented)} == set()


@pytest.mark.parametrize(
    ("expression", "wrong"),
    [
        ("bucket_ocr_happy", "bucket_ocr_happy"),
        ('bucket_ocr_messages_total{outcome="buggy"}', "buggy"),
        ('bucket_ocr_messages_total{result="bug"}', "result"),
        ("sum by (reason) (bucket_ocr_pages_total)", "reason"),
        ("process_start_time_seconds", "process_start_time_seconds"),
    ],
)
def test_an_undocumented_metric_or_label_is_found(
    expression: str, wrong: str, documented: dict[str, str]
) -> None:
    assert wrong in _unknown(expression, documented)


def test_a_legend_names_only_labels_that_are_left(panels: list[Any]) -> None:
    for target in (target for panel in panels for target in panel["targets"]):
        if left := re.search(r"\b(?:sum|max) by \(([^)]*)\)", target["expr"]):
            named = set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]))
            assert named <= set(left[1].split(", ")), target


def test_the_dashboard_works_with_any_prometheus_and_one_or_all_consumers(
    dashboard: Any, panels: list[Any]
) -> None:
    source = {"type": "prometheus", "uid": "${datasource}"}
    variables = {each["name"]: each for each in dashboard["templating"]["list"]}
    assert variables["datasource"]["type"] == "datasource"
    assert variables["instance"]["datasource"] == source
    for panel in panels:
        assert panel["fieldConfig"]["defaults"]["unit"]
        for part in (panel, *panel["targets"]):
            assert part["datasource"] == source
        assert all('{instance=~"$instance"}' in target["expr"] for target in panel["targets"])


def _places(dashboard: Any) -> dict[str, list[tuple[int, int, int, int]]]:
    """The x, y, width and height of all panels, of both dashboards."""
    body = json.loads(resources("compute-ecs.yaml")["Dashboard"]["DashboardBody"])
    grafana = [tuple(panel["gridPos"][name] for name in "xywh") for panel in dashboard["panels"]]
    cloudwatch = [tuple(each[name] for name in ("x", "y", "width", "height")) for each in body["widgets"]]
    return {"grafana": grafana, "cloudwatch": cloudwatch}


@pytest.mark.parametrize("name", ["grafana", "cloudwatch"])
def test_no_panel_lies_on_another_or_beyond_the_edge(dashboard: Any, name: str) -> None:
    places = _places(dashboard)[name]
    cells = [(i, j) for x, y, w, h in places for i in range(x, x + w) for j in range(y, y + h)]
    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) < 24
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])
