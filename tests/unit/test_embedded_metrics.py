"""Figures in log lines, of which CloudWatch makes metrics."""

import json
from contextlib import AbstractAsyncContextManager

import pytest
from structlog.testing import capture_logs

from consumer.aws.embedded import FigureLine, logged
from consumer.clock import SystemClock
from consumer.metrics import Metrics

URL = "https://sqs.eu-central-1.amazonaws.com/123456789012/bucket-ocr"


def test_a_line_names_its_metrics_and_has_what_has_changed_since_the_last() -> None:
    metrics = Metrics()
    line = FigureLine(metrics.registry, "bucket-ocr")
    for count in (2, 0):
        for _ in range(count):
            metrics.refused.inc()
        metrics.queue.age_s.set(7)
        fields = json.loads(json.dumps(line.fields(SystemClock())))
        (directive,) = fields["_aws"]["CloudWatchMetrics"]
        assert (directive["Namespace"], directive["Dimensions"]) == ("bucket-ocr", [["Queue"]])
        names = {each["Name"] for each in directive["Metrics"]}
        # CloudWatch refuses a line that names what it has not.
        assert names == fields.keys() - {"_aws", "Queue"}
        assert (fields["Queue"], fields["RefusedDocuments"], fields["MessageAge"]) == ("bucket-ocr", count, 7)


def running(pause_s: float) -> AbstractAsyncContextManager[None]:
    return logged(Metrics().registry, URL, SystemClock(), pause_s)


async def test_figures_are_logged_on_ecs_also_at_the_end_and_nowhere_else(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with capture_logs() as lines:
        async with running(60):
            pass
        assert lines == []
        monkeypatch.setenv("ECS_AGENT_URI", "http://169.254.170.2/api/task")
        async with running(60):
            assert lines == []
        (line,) = lines
    assert (line["event"], line["Queue"]) == ("figures", "bucket-ocr")
