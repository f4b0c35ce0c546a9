"""The service put together over the fakes, as `consumer.app` puts it together over AWS and processes."""

from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Final

from consumer.clock import Watchdog
from consumer.domain import keys
from consumer.domain.errors import HostError
from consumer.domain.events import Job
from consumer.domain.outputs import OutputFormat, SourceFormat
from consumer.domain.result import Engine, ResultDocument
from consumer.metrics import Metrics
from consumer.ports import SourceOutputWriter
from consumer.service.circuit_breaker import CircuitBreaker
from consumer.service.disk_space import DiskSpace
from consumer.service.documents import DocumentReader
from consumer.service.jobs import JobRunner
from consumer.service.message import MessageHandler
from consumer.service.outputs import OutputMaker
from consumer.service.part_reader import PartReader
from consumer.service.part_requests import PartRequests
from consumer.service.part_slots import PartSlots
from consumer.service.parts import Parts
from consumer.service.pieces import PieceStore
from consumer.service.progress import ProgressLog
from consumer.service.publisher import JobResult, Publisher
from consumer.service.results import ResultMaker
from consumer.service.scheduler import PageScheduler
from consumer.service.settler import Settler
from consumer.service.slots import Slots
from consumer.service.source_cache import SourceCache
from consumer.service.source_outputs import SourceOutputs
from consumer.service.waiting_room import WaitingRoom
from consumer.service.worker import Worker
from tests.fakes import BUCKET, ENGINE, confidence_of
from tests.fakes.network import Network
from tests.fakes.ports import FakeLeases, FakeQueue, FakeStore, FakeTopic
from tests.fakes.reading import FakeRecognizer, FakeRenderer

SLOTS: Final = 2
DRAIN_S: Final = 20.0
PART_PAGES: Final = 10
MOST_PAGES: Final = 20_000
PART_WAIT_S: Final = 10.0

#: What toys write from the source.
SOURCE_FORMATS: Final = {
    "pdf": SourceFormat("pdf", "application/pdf"),
    "overlay": SourceFormat("overlay", "image/png"),
}


def large_disk(_: Path) -> tuple[int, int, int]:
    """Total, used and free bytes of a disk that is large enough."""
    return 2**40, 0, 2**40


class Host:
    """The host as health checks find it; `problem`: why it is unhealthy."""

    def __init__(self) -> None:
        self.problem: str | None = None

    async def check(self) -> None:
        if self.problem is not None:
            raise HostError(self.problem)


class Service:
    """All that handles messages; files of more than `max_file_bytes` are too large for it.

    `calls` and `faults` are those of its network. `formats`: of outputs, of which `wanted` are written (None:
    all of them). `source_writer` writes those of `SOURCE_FORMATS`. `busy`: the calls of `on_busy`.
    """

    def __init__(
        self,
        network: Network,
        folder: Path,
        metrics: Metrics,
        *,
        formats: Sequence[OutputFormat] = (),
        wanted: Collection[str] | None = None,
        source_writer: SourceOutputWriter | None = None,
        engine: Engine = ENGINE,
        usage: Callable[[Path], tuple[int, int, int]] = large_disk,
        max_file_bytes: int = 1000,
        part_pages: int = PART_PAGES,
    ) -> None:
        self._network = network
        self.calls, self.faults = network.calls, network.faults
        self.cloud, self.s3, self.sqs = network.cloud, network.cloud.s3, network.cloud.sqs
        self.metrics = metrics
        clock = self.clock = network.cloud.clock
        disk_space = DiskSpace(folder, usage)
        pages = Watchdog(clock)
        store = FakeStore(network)
        confidence = confidence_of(engine.fingerprint)
        self.recognizer = FakeRecognizer(network, pages, confidence=confidence)
        self.scheduler = PageScheduler(
            self.recognizer, disk_space, pages, metrics, batch_pages=2, window_pages=5
        )
        sources = SourceCache(store, disk_space, folder, max_file_bytes=max_file_bytes)
        known = {each.name: each for each in formats}
        from_source = SourceOutputs(sources, source_writer, folder, SOURCE_FORMATS) if source_writer else None
        names = {*known, *(("pdf",) if source_writer else ())} if wanted is None else wanted
        outputs = OutputMaker(store, disk_space, folder, known, frozenset(names), from_source)
        results = ResultMaker(disk_space, folder, engine, outputs)
        progress = ProgressLog(clock, part_pages)
        requests = self.requests = PartRequests(
            FakeQueue(network, slots=0), progress, engine.fingerprint, part_pages, MOST_PAGES
        )
        parts = Parts(PieceStore(store, engine.fingerprint, MOST_PAGES), requests, results)
        self.documents = DocumentReader(sources, FakeRenderer(folder), self.scheduler, parts, results)
        self.publisher = Publisher(store, clock, metrics, outputs)
        self.host = Host()
        self.breaker = CircuitBreaker([self.host.check], clock)
        # One that has been running for a day.
        part_reader = PartReader(self.documents, clock, clock.monotonic() - 86400)
        room = WaitingRoom(self.breaker, clock, metrics)
        topic = FakeTopic(network)
        self.jobs = JobRunner(self.publisher, self.documents, part_reader, self.breaker, room, topic)
        self.busy: list[bool] = []

    def worker(
        self, slots: int = SLOTS, drain_s: float = DRAIN_S, idle_exit_s: float | None = None
    ) -> Worker:
        """Make the loop, and the queue that it consumes."""
        watchdog = Watchdog(self.clock)
        queue = self.queue = FakeQueue(self._network, slots)
        rng = self._network.rng("settle")
        settler = Settler(queue, self.jobs, clock=self.clock, rng=rng, metrics=self.metrics)
        handler = MessageHandler(
            FakeLeases(self._network, queue),
            self.jobs,
            settler,
            watchdog=watchdog,
            clock=self.clock,
            metrics=self.metrics,
        )
        of_parts = PartSlots(max(1, slots // 2), PART_WAIT_S, self.clock, rng)
        taken = Slots(slots, of_parts, watchdog, self.metrics)
        queue.waiting = lambda: taken.waiting
        return Worker(
            queue,
            handler,
            self.breaker,
            slots=taken,
            drain_s=drain_s,
            idle_exit_s=idle_exit_s,
            on_busy=self.busy.append,
            watchdog=watchdog,
            clock=self.clock,
            metrics=self.metrics,
        )

    async def process(self, key: str, *, force: bool = False, bucket: str = BUCKET) -> JobResult:
        """Make sure that a source has a current result, as a job does, and let errors through."""
        return await self.publisher.ensure_result(
            Job(bucket, key, force),
            None,
            Watchdog(self.clock),
            accepts=lambda head, source: head.is_current(source, ENGINE.fingerprint),
            make=self.documents.read,
        )

    def result(self, key: str) -> ResultDocument:
        return ResultDocument.model_validate_json(self.s3.objects[keys.result_key(key)].body)

    def texts(self, key: str) -> list[str]:
        return [line.text for line in self.result(key).detections]
