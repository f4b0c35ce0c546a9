"""The consumer's own counters for Prometheus; README.md lists the names.

There is one instance to a process, handed to every part that counts; `health` serves it.
"""

from functools import partial

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.metrics import disable_created_metrics
from prometheus_client.process_collector import ProcessCollector

from consumer.domain.result import PageResult, ResultDocument
from consumer.domain.settle import Outcome

# A series beside every counter, of when it began, would double what is scraped for nothing.
disable_created_metrics()  # type: ignore[no-untyped-call]

#: Seconds of one step: of a page, a transfer.
_STEP_S = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 180.0)

#: Seconds on the queue: from none to a backlog over night.
_WAIT_S = (1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0, 4 * 3600.0, 12 * 3600.0, 24 * 3600.0)

#: A renewal with less than this part of the lease left has come late: one on time has two thirds left.
_LATE_PART = 0.5


class Metrics:
    """Counters, histograms and gauges in a registry of their own. Safe for threads."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        counter = partial(Counter, registry=self.registry)
        gauge = partial(Gauge, registry=self.registry)
        histogram = partial(Histogram, registry=self.registry)
        info = ("version", "engine", "engine_version", "device")
        self._info = gauge("bucket_ocr_info", "Always 1; the labels name engine and versions.", info)
        self._messages = counter("bucket_ocr_messages", "Messages by how their work ended.", ["outcome"])
        self._documents = counter(
            "bucket_ocr_documents", "Results stored; code: of failures.", ["status", "code"]
        )
        pages = "Pages by outcome: SUCCESS, or the code of their failure."
        self._pages = counter("bucket_ocr_pages", pages, ["engine", "outcome"])
        stages = "Seconds to download a source, render a page, read a page (engine), publish a result."
        self._stage_s = histogram("bucket_ocr_stage_seconds", stages, ["stage"], buckets=_STEP_S)
        wait = "Seconds from when a message was sent to when it was first received."
        self._queue_wait_s = histogram("bucket_ocr_queue_wait_seconds", wait, buckets=_WAIT_S)
        renewals = "Renewals of leases: renewed, late (less than half of the lease was left), failed."
        self._renewals = counter("bucket_ocr_lease_renewals", renewals, ["outcome"])
        self.leases_lost = counter("bucket_ocr_leases_lost", "Leases lost while a message was in flight.")
        self.conflicts = counter("bucket_ocr_result_conflicts", "Refused conditional puts of results.")
        self.in_flight = gauge("bucket_ocr_messages_in_flight", "Messages in flight.")
        self.ready_pages = gauge("bucket_ocr_ready_pages", "Pages rendered, or being rendered, and not read.")
        self.ready_pages_limit = gauge("bucket_ocr_ready_pages_limit", "Most such pages at once.")
        self.healthy = gauge("bucket_ocr_healthy", "1 while work can be taken, 0 while /readyz says why not.")
        # An outcome that has not happened yet is 0, and not missing: its first time is an increase as well.
        for outcome in Outcome:
            self._messages.labels(outcome.name.lower())
        for outcome_of_renewal in ("renewed", "late", "failed"):
            self._renewals.labels(outcome_of_renewal)
        for stage in ("download", "render", "engine", "publish"):
            self._stage_s.labels(stage)
        # Of the consumer itself; of child processes, bucket_ocr_child_resident_bytes.
        ProcessCollector(registry=self.registry)
        self._engine = ""

    def set_engine(self, version: str, engine: str, engine_version: str, device: str) -> None:
        """Note the engine, before any page is read."""
        self._engine = engine
        self._info.labels(version, engine, engine_version, device).set(1)

    def count_message(self, outcome: Outcome) -> None:
        """Count a settled message."""
        self._messages.labels(outcome.name.lower()).inc()

    def observe_queue_wait(self, seconds: float) -> None:
        """Note how long a message was on the queue. Clocks differ: never less than 0 counts."""
        self._queue_wait_s.observe(max(0.0, seconds))

    def count_result(self, head: ResultDocument) -> None:
        """Count a stored result."""
        self._documents.labels(head.status.value, head.error.code.value if head.error else "").inc()

    def count_page(self, page: PageResult) -> None:
        """Count a page."""
        outcome = page.failure or page.page.status
        self._pages.labels(self._engine, outcome.value).inc()
        if page.failure is None:
            self.observe_stage("render", page.render_s)
            self.observe_stage("engine", page.engine_s)

    def observe_stage(self, stage: str, seconds: float) -> None:
        """Note how long a stage took."""
        self._stage_s.labels(stage).observe(seconds)

    def count_renewal(self, left_part: float | None) -> None:
        """Count a renewal of a lease of which this part (0 to 1) was left; None: of one that failed."""
        is_late = left_part is not None and left_part < _LATE_PART
        self._renewals.labels("failed" if left_part is None else "late" if is_late else "renewed").inc()
