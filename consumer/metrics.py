"""What the consumer counts, for Prometheus; README.md lists the names.

One instance to a process, handed to whoever has something to count; `adapters.health` serves it.
"""

from functools import partial

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.metrics import disable_created_metrics
from prometheus_client.process_collector import ProcessCollector

from consumer.domain.assembly import EncodedPage
from consumer.domain.result import ResultDocument
from consumer.domain.settle import Outcome

# A series beside every counter, of when it began, would double what is scraped for nothing.
disable_created_metrics()  # type: ignore[no-untyped-call]

#: Seconds of one step: of a page, a transfer.
_STEP_S = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 180.0)

#: Seconds on the queue: from at once to a backlog over night.
_WAIT_S = (1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0, 4 * 3600.0, 12 * 3600.0, 24 * 3600.0)

#: Below this part of the lease, a renewal has come late: one on time finds two thirds left.
_LATE_PART = 0.5


class Metrics:
    """Counters, histograms and gauges in a registry of their own. Safe for threads."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        counter = partial(Counter, registry=self.registry)
        gauge = partial(Gauge, registry=self.registry)
        histogram = partial(Histogram, registry=self.registry)
        runs = ("version", "engine", "engine_version", "device")
        self._info = gauge("bucket_ocr_info", "Always 1; the labels say what runs.", runs)
        self._messages = counter("bucket_ocr_messages", "Messages by how their work ended.", ["outcome"])
        told = "Results stored, by status and, of failures, code."
        self._documents = counter("bucket_ocr_documents", told, ["status", "code"])
        told = "Pages by what became of them: SUCCESS, or the code of their failure."
        self._pages = counter("bucket_ocr_pages", told, ["engine", "outcome"])
        told = "Seconds to download a source, render a page, read a page (engine), publish a result."
        self._stage_s = histogram("bucket_ocr_stage_seconds", told, ["stage"], buckets=_STEP_S)
        told = "Seconds from when a message was sent to when it was first received."
        self._queue_wait_s = histogram("bucket_ocr_queue_wait_seconds", told, buckets=_WAIT_S)
        told = "Renewals of leases: renewed, late (less than half of the lease was left), failed."
        self._renewals = counter("bucket_ocr_lease_renewals", told, ["outcome"])
        told = "Messages that another may have taken amid their work."
        self._leases_lost = counter("bucket_ocr_leases_lost", told)
        told = "Conditional puts refused because another result was there."
        self._conflicts = counter("bucket_ocr_result_conflicts", told)
        self.in_flight = gauge("bucket_ocr_messages_in_flight", "Messages in work.")
        told = "Pages rendered, or being rendered, and not read."
        self.ready_pages = gauge("bucket_ocr_ready_pages", told)
        self.ready_pages_limit = gauge("bucket_ocr_ready_pages_limit", "Most there may be of them.")
        self.healthy = gauge("bucket_ocr_healthy", "1 while work can be taken, 0 while /readyz says why not.")
        # What has not happened yet is 0, and not missing: a first time is an increase as well.
        for outcome in Outcome:
            self._messages.labels(outcome.name.lower())
        for outcome_of_renewal in ("renewed", "late", "failed"):
            self._renewals.labels(outcome_of_renewal)
        for stage in ("download", "render", "engine", "publish"):
            self._stage_s.labels(stage)
        # Of the consumer itself; of children, bucket_ocr_child_resident_bytes.
        ProcessCollector(registry=self.registry)
        self._engine = ""

    def runs(self, version: str, engine: str, engine_version: str, device: str) -> None:
        """Note what reads the pages, before any is read."""
        self._engine = engine
        self._info.labels(version, engine, engine_version, device).set(1)

    def message(self, outcome: str) -> None:
        """Count a message."""
        self._messages.labels(outcome).inc()

    def waited(self, seconds: float) -> None:
        """Note how long a message was on the queue. Clocks differ: never less than 0 counts."""
        self._queue_wait_s.observe(max(0.0, seconds))

    def stored(self, head: ResultDocument) -> None:
        """Count a result."""
        self._documents.labels(head.status.value, head.error.code.value if head.error else "").inc()

    def page(self, page: EncodedPage) -> None:
        """Count a page."""
        outcome = page.failure.value if page.failure else page.status.value
        self._pages.labels(self._engine, outcome).inc()
        if page.failure is None:
            self.stage("render", page.render_s)
            self.stage("engine", page.engine_s)

    def stage(self, stage: str, seconds: float) -> None:
        """Note how long a step took."""
        self._stage_s.labels(stage).observe(seconds)

    def renewed(self, left_part: float) -> None:
        """Count a renewal of a lease of which this part (0 to 1) was left."""
        self._renewals.labels("late" if left_part < _LATE_PART else "renewed").inc()

    def renewal_failed(self) -> None:
        """Count a renewal that was refused, or not answered."""
        self._renewals.labels("failed").inc()

    def lease_lost(self) -> None:
        """Count a message that may be in other hands."""
        self._leases_lost.inc()

    def conflict(self) -> None:
        """Count a refused put."""
        self._conflicts.inc()
