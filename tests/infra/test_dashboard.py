"""What is asked of Prometheus, by the dashboard and by the alerts, is what README.md says there is."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
ALERTS = ROOT / "infra" / "k8s" / "monitoring" / "monitoring.yaml"

#: Of a target, from Prometheus; of a histogram's series.
EVERYWHERE = {"instance", "le", "namespace", "pod"}
#: Of the consumer itself: prometheus-client's names.
PROCESS = {
    "process_resident_memory_bytes",
    "process_cpu_seconds_total",
    "process_open_fds",
    "process_max_fds",
}


@pytest.fixture(scope="module")
def documented() -> dict[str, str]:
    """README.md's line about each metric."""
    readme = (ROOT / "README.md").read_text()
    return {
        match[1]: match[0] for match in re.finditer(r"^\| `(bucket_ocr_\w+)` \|.*$", readme, re.MULTILINE)
    }


@pytest.fixture(scope="module")
def dashboard() -> Any:
    return json.loads((ROOT / "infra" / "grafana-dashboard.json").read_text())


@pytest.fixture(scope="module")
def panels(dashboard: Any) -> list[Any]:
    return [panel for panel in dashboard["panels"] if panel["type"] != "row"]


@pytest.fixture(scope="module")
def alerts() -> list[str]:
    return [
        rule["expr"]
        for each in yaml.safe_load_all(ALERTS.read_text())
        if each["kind"] == "PrometheusRule"
        for group in each["spec"]["groups"]
        for rule in group["rules"]
    ]


def _metrics(expression: str) -> Iterator[tuple[str, str]]:
    """Every metric in it, and what stands in the braces behind it."""
    for name, matchers in re.findall(r"\b((?:bucket_ocr|process)_\w+)(\{[^}]*\})?", expression):
        yield re.sub(r"_seconds_(bucket|sum|count)$", "_seconds", name), matchers


def _check(expression: str, documented: dict[str, str]) -> None:
    """Hold metrics, labels and their values against README.md."""
    told = ""
    for name, matchers in _metrics(expression):
        assert name in documented or name in PROCESS, expression
        told += documented.get(name, "")
        for label, values in re.findall(r'(\w+)(?:=~|!~|!=|=)"([^"]*)"', matchers):
            if label not in EVERYWHERE:
                words = [label, *values.split("|")]
                assert all(f"`{word}`" in documented[name] for word in words), expression
    for labels in re.findall(r"\b(?:by|on) \(([^)]*)\)", expression):
        for label in labels.split(", "):
            assert label in EVERYWHERE or f"`{label}`" in told, expression


def _expressions(panels: list[Any]) -> list[str]:
    return [target["expr"] for panel in panels for target in panel["targets"]]


def test_the_dashboard_shows_every_metric_and_asks_for_no_other(
    panels: list[Any], documented: dict[str, str]
) -> None:
    assert len(documented) > 10
    expressions = _expressions(panels)
    for each in expressions:
        _check(each, documented)
    shown = {name for each in expressions for name, _ in _metrics(each)}
    assert shown == set(documented) | PROCESS


def test_legends_name_labels_that_are_there(panels: list[Any]) -> None:
    for panel in panels:
        for target in panel["targets"]:
            kept = re.search(r"\bsum by \(([^)]*)\)|\bmax by \(([^)]*)\)", target["expr"])
            if kept:
                told = set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]))
                assert told <= set((kept[1] or kept[2]).split(", ")), panel["title"]


def test_the_dashboard_can_be_pointed_at_any_prometheus_and_consumer(
    dashboard: Any, panels: list[Any]
) -> None:
    source = {"type": "prometheus", "uid": "${datasource}"}
    variables = {each["name"]: each for each in dashboard["templating"]["list"]}
    assert variables["datasource"]["type"] == "datasource"
    assert variables["instance"]["datasource"] == source
    for panel in panels:
        assert panel["datasource"] == source
        assert panel["fieldConfig"]["defaults"]["unit"]
        for target in panel["targets"]:
            assert target["datasource"] == source
            assert '{instance=~"$instance"}' in target["expr"]
    # An id of its own for each, and none on top of another.
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])
    cells = [
        (x, y)
        for place in (panel["gridPos"] for panel in dashboard["panels"])
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) < 24


def test_alerts_ask_for_what_is_there(alerts: list[str], documented: dict[str, str]) -> None:
    assert alerts
    for each in alerts:
        assert list(_metrics(each))
        _check(each, documented)


@pytest.mark.parametrize(
    "expression",
    [
        "bucket_ocr_ready",
        'bucket_ocr_messages_total{outcome="buggy"}',
        'bucket_ocr_messages_total{result="bug"}',
        "sum by (reason) (bucket_ocr_pages_total)",
        "process_start_time_seconds",
    ],
)
def test_what_is_not_there_is_found(expression: str, documented: dict[str, str]) -> None:
    with pytest.raises(AssertionError):
        _check(expression, documented)
