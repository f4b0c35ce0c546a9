"""The alerts, checked and run by Prometheus's own tool on series that should, and should not, raise them."""

import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.infra.dockerfile import ROOT

RULES = yaml.safe_load((ROOT / "infra/k8s/monitoring/alerts.yaml").read_text(encoding="utf-8"))["spec"]
ALERTS = [rule["alert"] for group in RULES["groups"] for rule in group["rules"]]

#: By alert: minutes within which these series, by name with labels, raise it; and series of a consumer that
#: is well. In promtool's notation: start, step, number of steps of a minute.
CASES: Mapping[str, tuple[int, Mapping[str, str], Mapping[str, str]]] = {
    "BucketOcrUnhealthy": (20, {"healthy": "0x20"}, {"healthy": "1x20"}),
    "BucketOcrNoProgress": (
        45,
        {"messages_in_flight": "2x45", 'pages_total{outcome="SUCCESS"}': "7x45"},
        {"messages_in_flight": "2x45", 'pages_total{outcome="SUCCESS"}': "0+1x45"},
    ),
    "BucketOcrBug": (
        15,
        {'messages_total{outcome="bug"}': "0x10 1x10"},
        {'messages_total{outcome="bug"}': "1x20"},
    ),
    "BucketOcrPagesFail": (
        70,
        {'pages_total{outcome="SUCCESS"}': "0+8x70", 'pages_total{outcome="ENGINE_CRASH"}': "0+2x70"},
        {'pages_total{outcome="SUCCESS"}': "0+99x70", 'pages_total{outcome="ENGINE_CRASH"}': "0+1x70"},
    ),
    "BucketOcrChildrenDie": (
        15,
        {'child_replacements_total{kind="rapidocr", reason="crash"}': "0+2x15"},
        {'child_replacements_total{kind="rapidocr", reason="recycled"}': "0+2x15"},
    ),
    "BucketOcrLeasesLost": (30, {"leases_lost_total": "0x10 1x20"}, {"leases_lost_total": "1x30"}),
    "BucketOcrSlow": (
        70,
        {
            'queue_wait_seconds_bucket{le="3600"}': "0+1x70",
            'queue_wait_seconds_bucket{le="14400"}': "0+9x70",
            'queue_wait_seconds_bucket{le="+Inf"}': "0+9x70",
        },
        {
            'queue_wait_seconds_bucket{le="3600"}': "0+9x70",
            'queue_wait_seconds_bucket{le="14400"}': "0+9x70",
            'queue_wait_seconds_bucket{le="+Inf"}': "0+9x70",
        },
    ),
    "BucketOcrDocumentsFail": (
        70,
        {'documents_total{status="SUCCESS"}': "0+8x70", 'documents_total{status="FAILURE"}': "0+2x70"},
        {'documents_total{status="SUCCESS"}': "0+99x70", 'documents_total{status="FAILURE"}': "0+1x70"},
    ),
    "BucketOcrRefused": (
        15,
        {"refused_documents_total": "0x9 4x6"},
        {"refused_documents_total": "0x9 1x6"},
    ),
    "BucketOcrDeadLetters": (5, {"dead_letters": "0x3 2x5"}, {"dead_letters": "0x5"}),
    "BucketOcrRetention": (
        20,
        {"queue_age_seconds": "907000+60x20", "queue_retention_seconds": "1209600x20"},
        {"queue_age_seconds": "800000+60x20", "queue_retention_seconds": "1209600x20"},
    ),
}


@pytest.fixture(scope="module")
def promtool() -> str:
    found = shutil.which("promtool")
    if found is None:
        pytest.skip("promtool is not installed: it comes with Debian's package prometheus")
    return found


@pytest.fixture(scope="module")
def rules(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("alerts") / "rules.yaml"
    path.write_text(yaml.safe_dump(RULES), encoding="utf-8")
    return path


def _ran(*command: object) -> str:
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, timeout=300, check=False)
    return "" if done.returncode == 0 else done.stdout + done.stderr


def _test(alert: str, series: Mapping[str, str], minutes: int, *, rises: bool) -> Any:
    def labelled(name: str) -> str:
        bare, _, labels = f"bucket_ocr_{name}".partition("{")
        return (
            bare
            + "{"
            + ", ".join(filter(None, ['namespace="ocr", pod="a", instance="a"', labels.rstrip("}")]))
            + "}"
        )

    return {
        "interval": "1m",
        "input_series": [{"series": labelled(name), "values": values} for name, values in series.items()],
        "promql_expr_test": [
            {
                "expr": f'count(ALERTS{{alertname="{alert}", alertstate="firing"}}) or vector(0)',
                "eval_time": f"{minutes}m",
                "exp_samples": [{"labels": "{}", "value": int(rises)}],
            }
        ],
    }


def test_the_rules_are_a_rule_file_of_prometheus(promtool: str, rules: Path) -> None:
    assert _ran(promtool, "check", "rules", rules) == ""


def test_every_alert_has_a_case() -> None:
    assert sorted(CASES) == sorted(ALERTS)


@pytest.mark.parametrize("alert", CASES)
def test_an_alert_rises_for_its_cause_and_not_without(promtool: str, rules: Path, alert: str) -> None:
    minutes, cause, well = CASES[alert]
    tests = [_test(alert, cause, minutes, rises=True), _test(alert, well, minutes, rises=False)]
    file = rules.with_name(f"{alert}.yaml")
    file.write_text(yaml.safe_dump({"rule_files": [rules.name], "evaluation_interval": "1m", "tests": tests}))
    assert _ran(promtool, "test", "rules", file) == ""
