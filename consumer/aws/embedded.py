"""Figures as log lines in CloudWatch's embedded metric format, for Amazon ECS, where nothing scrapes.

https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
"""

import os
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final, NamedTuple

import structlog
from prometheus_client import CollectorRegistry

from consumer.aws.repeated import repeated
from consumer.clock import Clock

_NAMESPACE: Final = "bucket-ocr"

_PAUSE_S: Final = 60.0

log = structlog.get_logger(__name__)


class _Figure(NamedTuple):
    """Sum of the series of a counter, since the last line, or of a gauge, whose labels are `wanted`."""

    series: str
    wanted: Callable[[Mapping[str, str]], bool] = lambda _: True
    unit: str = "Count"
    is_gauge: bool = False


_FIGURES: Final = {
    "Documents": _Figure("bucket_ocr_documents_total"),
    "FailedDocuments": _Figure("bucket_ocr_documents_total", lambda labels: labels["status"] == "FAILURE"),
    "DocumentSeconds": _Figure("bucket_ocr_document_seconds_sum", unit="Seconds"),
    "Pages": _Figure("bucket_ocr_pages_total"),
    "FailedPages": _Figure("bucket_ocr_pages_total", lambda labels: labels["outcome"] != "SUCCESS"),
    "RefusedDocuments": _Figure("bucket_ocr_refused_documents_total"),
    "MessageAge": _Figure("bucket_ocr_queue_age_seconds", unit="Seconds", is_gauge=True),
}


@asynccontextmanager
async def logged(
    registry: CollectorRegistry, queue_url: str, clock: Clock, pause_s: float = _PAUSE_S
) -> AsyncIterator[None]:
    """Log the figures every `pause_s` seconds until the context ends, and then once more; only on ECS."""
    if "ECS_AGENT_URI" not in os.environ:
        yield
        return
    line = FigureLine(registry, queue_url.rpartition("/")[2])

    async def write() -> None:
        log.info("figures", **line.fields(clock))

    try:
        async with repeated(write, pause_s):
            yield
    finally:
        await write()


class FigureLine:
    """What has changed since the last line. `queue`: name of the queue, the dimension of all figures."""

    def __init__(self, registry: CollectorRegistry, queue: str) -> None:
        self._registry = registry
        self._queue = queue
        self._before: dict[str, float] = {}

    def fields(self, clock: Clock) -> dict[str, Any]:
        """Return the fields of a line; CloudWatch makes metrics of them."""
        now = {name: self._sum(figure) for name, figure in _FIGURES.items()}
        values = {
            name: value if _FIGURES[name].is_gauge else value - self._before.get(name, 0.0)
            for name, value in now.items()
        }
        self._before = now
        metrics = [{"Name": name, "Unit": figure.unit} for name, figure in _FIGURES.items()]
        directive = {"Namespace": _NAMESPACE, "Dimensions": [["Queue"]], "Metrics": metrics}
        timestamp_ms = int(clock.now().timestamp() * 1000)
        described = {"Timestamp": timestamp_ms, "CloudWatchMetrics": [directive]}
        return {"_aws": described, "Queue": self._queue, **values}

    def _sum(self, figure: _Figure) -> float:
        samples = (sample for family in self._registry.collect() for sample in family.samples)
        return sum(
            each.value for each in samples if each.name == figure.series and figure.wanted(each.labels)
        )
