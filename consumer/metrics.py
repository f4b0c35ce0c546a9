"""The consumer's own counters for Prometheus; docs/operations.md lists the names.

There is one instance to a process, handed to every part that counts; `health` serves it.
"""

from collections.abc import Iterable
from datetime import datetime
from functools import partial
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.metrics import disable_created_metrics
from prometheus_client.process_collector import ProcessCollector

from consumer.domain.errors import Code
from consumer.domain.result import Engine, PageResult, ResultDocument, Status
from consumer.domain.settle import Outcome

# A series beside every counter, of when it began, would double what is scraped for nothing.
disable_created_metrics()  # type: ignore[no-untyped-call]

#: Seconds of one step: of a page, or of a transfer, up to the deadline of the largest file.
_STEP_S: Final = (
    *(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 180.0),
    *(600.0, 1800.0, 4200.0),
)

#: The code of a request that was not answered.
NO_ANSWER: Final = "no_answer"

_DAY_S: Final = 24 * 3600.0

#: Seconds on the queue: from none to the longest retention of SQS.
_WAIT_S: Final = (
    *(1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0, 4 * 3600.0, 12 * 3600.0),
    *(_DAY_S, 2 * _DAY_S, 4 * _DAY_S, 7 * _DAY_S, 14 * _DAY_S),
)

#: Why messages end as they do, as far as it is told; of the other outcomes there is no reason.
_REASONS: Final = {
    Outcome.TRANSIENT: ("", "refused", "unavailable", "child", "not_announced", "other"),
    Outcome.HOST_FAILURE: ("disk_full", "startup", "other"),
}

#: Messages that ask for no work.
_IGNORED: Final = ("own_output", "event")

_WARNINGS: Final = {Code.PAGE_DOWNSCALED, Code.LOW_CONFIDENCE}

_OF_PAGES: Final = (
    *(Code.PAGE_UNREADABLE, Code.RENDER_TIMEOUT, Code.RENDER_CRASH),
    *(Code.ENGINE_TIMEOUT, Code.ENGINE_CRASH, Code.ENGINE_ERROR),
)

#: The operations of the consumer, by service.
_OPERATIONS: Final = {
    "s3": ("HeadObject", "GetObject", "PutObject", "DeleteObjects", "ListObjectsV2", "HeadBucket"),
    "sqs": (
        "ReceiveMessage",
        "DeleteMessage",
        "ChangeMessageVisibility",
        "SendMessageBatch",
        "GetQueueAttributes",
    ),
    "sns": ("Publish",),
}

#: A renewal with less than this part of the lease left has come late: one on time has two thirds left.
_LATE_PART: Final = 0.5


class QueueGauges:
    """The queue and its dead letters, as SQS tells them; ages are in seconds."""

    def __init__(self, registry: CollectorRegistry) -> None:
        gauge = partial(Gauge, registry=registry)
        self.messages = gauge("bucket_ocr_queue_messages", "Messages on the queue, by state.", ["state"])
        self.age_s = gauge("bucket_ocr_queue_age_seconds", "Age of the last message that was received.")
        self.retention_s = gauge("bucket_ocr_queue_retention_seconds", "How long SQS keeps a message.")
        self.dead_letters = gauge("bucket_ocr_dead_letters", "Messages in the dead-letter queue.")


class Metrics:
    """Counters, histograms and gauges in a registry of their own. Safe for threads."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        counter = partial(Counter, registry=self.registry)
        gauge = partial(Gauge, registry=self.registry)
        histogram = partial(Histogram, registry=self.registry)
        info = ("version", "engine", "engine_version", "device", "fingerprint")
        self._info = gauge("bucket_ocr_info", "Always 1; the labels name engine and versions.", info)
        messages = "Messages by how their work ended, and why."
        self._messages = counter("bucket_ocr_messages", messages, ["outcome", "reason"])
        self._documents = counter(
            "bucket_ocr_documents", "Results stored; code: of failures.", ["status", "code"]
        )
        pages = "Pages by outcome: SUCCESS, or the code of their failure."
        self._pages = counter("bucket_ocr_pages", pages, ["engine", "outcome"])
        stages = (
            "Seconds to download a source, render or read (engine) a page, write outputs, publish a result."
        )
        self._stage_s = histogram("bucket_ocr_stage_seconds", stages, ["stage"], buckets=_STEP_S)
        wait = "Seconds from when a message was sent to when it was first received."
        self._queue_wait_s = histogram("bucket_ocr_queue_wait_seconds", wait, buckets=_WAIT_S)
        whole = "Seconds from when the message of a document was sent to when its result was stored."
        self._document_s = histogram("bucket_ocr_document_seconds", whole, buckets=_WAIT_S)
        self.queue = QueueGauges(self.registry)
        errors = "Requests that AWS refused or did not answer, each try counted."
        self._aws_errors = counter("bucket_ocr_aws_errors", errors, ["service", "operation", "code"])
        renewals = "Renewals of leases: renewed, late (less than half of the lease was left), failed."
        self._renewals = counter("bucket_ocr_lease_renewals", renewals, ["outcome"])
        self.leases_lost = counter("bucket_ocr_leases_lost", "Leases lost while a message was in flight.")
        self.conflicts = counter("bucket_ocr_result_conflicts", "Refused conditional puts of results.")
        self.refused = counter("bucket_ocr_refused_documents", "Documents that storage began to refuse.")
        in_flight = "Messages in flight, but for those whose documents wait for storage."
        self.in_flight = gauge("bucket_ocr_messages_in_flight", in_flight)
        waiting = "Messages whose documents wait for storage, which refuses them."
        self.waiting = gauge("bucket_ocr_messages_waiting", waiting)
        self.ready_pages = gauge("bucket_ocr_ready_pages", "Pages rendered, or being rendered, and not read.")
        self.ready_pages_limit = gauge("bucket_ocr_ready_pages_limit", "Most such pages at once.")
        self.healthy = gauge("bucket_ocr_healthy", "1 while work can be taken, 0 while /readyz says why not.")
        self._begin_at_0()
        # Of the consumer itself; of child processes, bucket_ocr_child_resident_bytes.
        ProcessCollector(registry=self.registry)
        self._engine = ""

    def _begin_at_0(self) -> None:
        """Make the series of all labels: the first time is an increase as well, of something that was 0."""
        series: dict[Counter | Gauge | Histogram, Iterable[tuple[str, ...]]] = {
            self._messages: (
                *((each.name.lower(), reason) for each in Outcome for reason in _REASONS.get(each, ("",))),
                *(("ignored", reason) for reason in _IGNORED),
            ),
            self._documents: (
                *((status.value, "") for status in (Status.SUCCESS, Status.PARTIAL)),
                *((Status.FAILURE.value, code.value) for code in Code if code not in _WARNINGS),
            ),
            self._renewals: (("renewed",), ("late",), ("failed",)),
            self._stage_s: (("download",), ("render",), ("engine",), ("outputs",), ("publish",)),
            self.queue.messages: (("waiting",), ("in_flight",), ("delayed",)),
            self._aws_errors: (
                (service, operation, NO_ANSWER)
                for service, names in _OPERATIONS.items()
                for operation in names
            ),
        }
        for metric, every in series.items():
            for labels in every:
                metric.labels(*labels)

    def set_engine(self, version: str, engine: Engine) -> None:
        """Note the engine, before any page is read."""
        self._engine = engine.name
        labels = (version, engine.name, engine.version, engine.device, engine.fingerprint)
        self._info.labels(*labels).set(1)
        for outcome in (Status.SUCCESS, *_OF_PAGES):
            self._pages.labels(engine.name, outcome.value)

    def count_message(self, outcome: Outcome, reason: str = "") -> None:
        """Count a settled message."""
        known = _REASONS.get(outcome, ("",))
        self._messages.labels(outcome.name.lower(), reason if reason in known else known[-1]).inc()

    def count_ignored(self, reason: str) -> None:
        """Count a message that asked for no work: the event of an own output, or another."""
        self._messages.labels("ignored", reason).inc()

    def count_aws_error(self, service: str, operation: str, code: str) -> None:
        """Count a try of a request that AWS refused with this code, or did not answer."""
        self._aws_errors.labels(service, operation, code).inc()

    def observe_queue_wait(self, seconds: float) -> None:
        """Note how long a message was on the queue. Clocks differ: never less than 0 counts."""
        self._queue_wait_s.observe(max(0.0, seconds))

    def count_result(self, head: ResultDocument, now: datetime) -> None:
        """Count a result that is stored now."""
        self._documents.labels(head.status.value, head.error.code.value if head.error else "").inc()
        if (queued_at := head.timing.queued_at) is not None:
            seconds = (now - queued_at).total_seconds()
            self._document_s.observe(max(0.0, seconds))

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
