"""The composition root: builds every adapter and puts the consumer together."""

import asyncio
import os
import random
import signal
import threading
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Final

import boto3
import structlog
from botocore.config import Config

from consumer import __version__, engines, protocol, settings
from consumer.aws import client as aws
from consumer.aws.ecs import task_protection
from consumer.aws.embedded import logged
from consumer.aws.lease import SqsLeases
from consumer.aws.queue_watch import watched
from consumer.aws.s3 import S3Store, encryption_headers
from consumer.aws.sns import announcer
from consumer.aws.sqs import SqsQueue
from consumer.clock import Clock, SystemClock, Watchdog
from consumer.domain import identity
from consumer.domain.errors import SettingsError
from consumer.domain.outputs import RESULT, SOURCE_FORMATS
from consumer.domain.pauses import DEFAULT_PAUSES, Pauses
from consumer.domain.result import Engine
from consumer.engines import ENGINES, EngineSpec
from consumer.health import Probe, served
from consumer.metrics import Metrics
from consumer.outputs import FORMATS
from consumer.processes import confinement, gpus, host
from consumer.processes.collector import WorkerProcessCollector
from consumer.processes.layout import ProcessLayout
from consumer.processes.output_writer import OutputWriterProcess
from consumer.processes.recognizer import PageRecognizer
from consumer.processes.renderer import RenderPool
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
from consumer.service.publisher import Publisher
from consumer.service.results import ResultMaker
from consumer.service.scheduler import PageScheduler
from consumer.service.settler import Settler
from consumer.service.slots import Slots
from consumer.service.source_cache import SourceCache
from consumer.service.source_outputs import SourceOutputs
from consumer.service.waiting_room import MOST_WAITING, WaitingRoom
from consumer.service.work_dir import WorkFolder, work_folder
from consumer.service.worker import LEAST_DRAIN_S, Worker
from consumer.settings import Settings

_STOPS: Final = (signal.SIGTERM, signal.SIGINT)

#: After work without progress was ended, it is settled within this; else the process is stuck.
_STUCK_S: Final = 120.0

#: Child processes and connections are closed within this, after the drain.
_CLOSE_S: Final = 10.0

#: A part of a document waits so long for a slot, before it is postponed.
_PART_WAIT_S: Final = 20.0

log = structlog.get_logger(__name__)


@asynccontextmanager
async def object_store(
    connections: int = 16,
    metrics: Metrics | None = None,
    encryption: Mapping[str, str] = MappingProxyType({}),
) -> AsyncIterator[S3Store]:
    """Open the bucket, for the consumer and the command line alike; raises ServiceError.

    `encryption`: of what the consumer puts.
    """
    async with aws.client("s3", connections=connections, read_timeout_s=20, metrics=metrics) as client:
        yield S3Store(client, encryption=encryption)


async def consume(
    options: Settings, specs: Mapping[str, EngineSpec] = ENGINES, pauses: Pauses = DEFAULT_PAUSES
) -> None:
    """Run the consumer, with one of the engines `specs`, until SIGTERM or SIGINT.

    Raises SettingsError if the settings cannot be met, ServiceError if the queue cannot be used, HostError
    if the engine does not start.
    """
    for name in settings.unknown():
        log.warning("settings.unknown", name=name)
    if options.sandbox != "off":
        # Before there are children.
        host.forbid_inspection()
    stop, ready = asyncio.Event(), asyncio.Event()
    main_task = asyncio.current_task()

    def stop_now() -> None:
        if stop.is_set():
            return
        stop.set()
        # A call that nothing can end, a resolver in a thread for example, ends with the process.
        last_resort = threading.Timer(max(options.drain_s, LEAST_DRAIN_S) + _CLOSE_S, os._exit, [0])
        last_resort.daemon = True
        last_resort.start()
        if not ready.is_set() and main_task is not None:
            # Nothing has been received yet, so there is nothing to finish.
            main_task.cancel()

    loop = asyncio.get_running_loop()
    for number in _STOPS:
        loop.add_signal_handler(number, stop_now)
    try:
        async with AsyncExitStack() as stack:
            clock, metrics = SystemClock(), Metrics()
            watchdog = Watchdog(clock)
            # First: a probe of a consumer that takes minutes to start must see that it lives.
            health = await stack.enter_async_context(
                served(options.health_host, options.health_port, metrics.registry)
            )
            await stack.enter_async_context(logged(metrics.registry, options.queue_url, clock))
            worker = await _Builder(options, specs, pauses, metrics, clock, watchdog, stack).worker()
            health.alive, health.ready = _alive(watchdog, options.stall_s), lambda: worker.problem
            ready.set()
            await worker.run(stop)
    except asyncio.CancelledError:
        # Not swallowed: it is our own way to stop while starting.
        if ready.is_set() or not stop.is_set():
            raise
    finally:
        for number in _STOPS:
            # A closed loop would leave the default behind, and another signal would end the process.
            loop.remove_signal_handler(number)
            signal.signal(number, signal.SIG_IGN)
    log.info("stopped")


def _alive(watchdog: Watchdog, stall_s: float) -> Probe:
    """Work without progress is ended after `stall_s`; if nothing has moved well after that, we are stuck."""
    limit_s = stall_s + _STUCK_S
    return lambda: f"no progress for {s:.0f} s" if (s := watchdog.seconds_since_progress) > limit_s else None


@dataclass(frozen=True, slots=True)
class _Builder:
    """Puts the consumer together; everything that it opens is closed with the stack."""

    options: Settings
    specs: Mapping[str, EngineSpec]
    pauses: Pauses
    metrics: Metrics
    clock: Clock
    watchdog: Watchdog
    stack: AsyncExitStack

    async def worker(self) -> Worker:
        """Start everything; the worker itself is not running yet."""
        options = self.options
        try:
            folder = await self.stack.enter_async_context(work_folder(options.work_dir))
        except OSError as error:
            raise SettingsError(f"{settings.PREFIX}WORK_DIR: {error}") from error
        layout = ProcessLayout.of(options, folder.scratch, self.specs)
        for name in engines.without_effect(options, layout.engine, self.specs):
            log.warning("settings.without_effect", name=name, engine=layout.engine.name)
        queue = await self._queue()
        jobs, breaker = await self._jobs(layout, folder, queue)
        rng = random.SystemRandom()
        settler = Settler(queue, jobs, clock=self.clock, rng=rng, metrics=self.metrics, pauses=self.pauses)
        handler = MessageHandler(
            self._leases(layout.capacity.max_in_flight),
            jobs,
            settler,
            watchdog=self.watchdog,
            clock=self.clock,
            metrics=self.metrics,
        )
        return Worker(
            queue,
            handler,
            breaker,
            slots=self._slots(layout.capacity.max_in_flight, rng),
            drain_s=options.drain_s,
            idle_exit_s=options.idle_exit_s,
            on_busy=await self.stack.enter_async_context(task_protection()),
            watchdog=self.watchdog,
            clock=self.clock,
            metrics=self.metrics,
            pauses=self.pauses,
        )

    async def _jobs(
        self, layout: ProcessLayout, work: WorkFolder, queue: SqsQueue
    ) -> tuple[JobRunner, CircuitBreaker]:
        """Start everything that turns sources into results, and the circuit breaker that checks it."""
        options, capacity, folder = self.options, layout.capacity, work.path
        disk_space = DiskSpace(folder, restore=work.restore)
        pages = Watchdog(self.clock, self.watchdog)
        renderer = RenderPool(layout.renderers, folder, options.max_pages)
        deadline_s = layout.engine.progress_deadline_s
        recognizer = PageRecognizer(layout.engines, layout.recycle_policy, deadline_s, pages)
        batch_pages, window_pages = capacity.batch_pages, capacity.window_pages
        scheduler = PageScheduler(
            recognizer, disk_space, pages, self.metrics, batch_pages=batch_pages, window_pages=window_pages
        )
        encryption = encryption_headers(options.sse, options.sse_kms_key_id)
        opened = object_store(capacity.max_in_flight + MOST_WAITING, self.metrics, encryption)
        store = await self.stack.enter_async_context(opened)
        for each in (renderer, recognizer, scheduler):
            await self.stack.enter_async_context(each.running())
        engine = _engine(recognizer.engine, options)
        sources = SourceCache(store, disk_space, folder, max_file_bytes=options.max_file_bytes)
        from_source = await self._source_outputs(layout, sources, folder)
        wanted = options.outputs - {RESULT}
        outputs = OutputMaker(store, disk_space, folder, FORMATS, wanted, from_source)
        results = ResultMaker(disk_space, folder, engine, outputs)
        progress = ProgressLog(self.clock, options.part_pages)
        requests = PartRequests(queue, progress, engine.fingerprint, options.part_pages, options.max_pages)
        parts = Parts(PieceStore(store, engine.fingerprint, options.max_pages), requests, results)
        documents = DocumentReader(sources, renderer, scheduler, parts, results)
        checks = [disk_space.check, renderer.check, recognizer.check]
        breaker = CircuitBreaker(checks, self.clock, self.pauses.breaker_s)
        announce = await self.stack.enter_async_context(
            announcer(options.completion_topic_arn, self.clock, self.metrics)
        )
        self._report_ready(layout, engine, folder)
        publisher = Publisher(store, self.clock, self.metrics, outputs)
        part_reader = PartReader(documents, self.clock, self.clock.monotonic())
        room = WaitingRoom(breaker, self.clock, self.metrics)
        return JobRunner(publisher, documents, part_reader, breaker, room, announce), breaker

    async def _source_outputs(
        self, layout: ProcessLayout, sources: SourceCache, folder: Path
    ) -> SourceOutputs | None:
        """Start the process that writes outputs which need the source, if there is one."""
        if not layout.output_writers:
            return None
        writer = OutputWriterProcess(layout.output_writers[0], Watchdog(self.clock, self.watchdog))
        await self.stack.enter_async_context(writer.running())
        return SourceOutputs(sources, writer, folder, SOURCE_FORMATS)

    def _slots(self, max_in_flight: int, rng: random.Random) -> Slots:
        # Of two slots one at least is for whole documents.
        most = max(1, max_in_flight // 2)
        # The lease of a part that waits is renewed a third of it later, as that of one that does not.
        wait_s = min(_PART_WAIT_S, self.options.lease_s / 3)
        of_parts = PartSlots(most, wait_s, self.clock, rng, self.pauses)
        return Slots(max_in_flight, of_parts, self.watchdog, self.metrics)

    def _report_ready(self, layout: ProcessLayout, engine: Engine, folder: Path) -> None:
        capacity = layout.capacity
        self.metrics.set_engine(__version__, engine)
        find_gpus = partial(gpus.chosen, "cpu" if capacity.devices == ["cpu"] else self.options.device)
        others = [*layout.renderers, *layout.output_writers]
        self.metrics.registry.register(WorkerProcessCollector(layout.engines, others, find_gpus))
        confinement.log_standing([*layout.engines, *others], self.options.sandbox)
        log.info(
            "ready",
            version=__version__,
            queue_url=self.options.queue_url,
            engine=f"{engine.name} {engine.version}",
            device=engine.device,
            engine_workers=len(capacity.engines),
            recycle_rss_bytes=capacity.engine_bytes,
            max_in_flight=capacity.max_in_flight,
            work_dir=str(folder),
        )

    async def _queue(self) -> SqsQueue:
        # One long poll, and the few short calls that settle messages.
        read_timeout_s = self.pauses.poll_s + 5
        client = aws.client("sqs", connections=16, read_timeout_s=read_timeout_s, metrics=self.metrics)
        sqs = await self.stack.enter_async_context(client)
        queue = SqsQueue(sqs, self.options.queue_url, self.options.lease_s, self.clock, self.pauses.poll_s)
        # Raises ServiceError if the queue does not exist or may not be used.
        await queue.max_receive_count()
        await self.stack.enter_async_context(watched(sqs, self.options.queue_url, self.metrics))
        return queue

    def _leases(self, max_in_flight: int) -> SqsLeases:
        lease_s = self.options.lease_s
        # Short, so that a renewal that hangs is over, or nearly so, when the next is due.
        config = Config(
            connect_timeout=min(2.0, lease_s / 30),
            read_timeout=min(5.0, lease_s / 10),
            retries={"mode": "standard", "total_max_attempts": 2},
            max_pool_connections=max_in_flight + MOST_WAITING,
        )
        client = boto3.client("sqs", region_name=aws.region(), config=config)
        aws.count_errors(client, self.metrics)
        url, stall_s = self.options.queue_url, self.options.stall_s
        return SqsLeases(client, url, lease_s, stall_s, clock=self.clock, metrics=self.metrics)


def _engine(ready: protocol.EngineReady, options: Settings) -> Engine:
    """Describe the engine for results; its fingerprint covers the settings that change a result.

    The limits are among them: an operator who raises one wants the refused documents to be read.
    """
    names = ("render_dpi", "max_page_pixels", "max_file_bytes", "max_pages")
    changes = {name: getattr(options, name) for name in names}
    if options.words:
        # Results without words have the fingerprint that they had before there were any.
        changes["words"] = True
    if ready.configuration:
        changes["configuration"] = ready.configuration
    return Engine(
        name=ready.name,
        version=ready.version,
        models=ready.models,
        device=ready.device,
        fingerprint=identity.fingerprint(ready.name, ready.version, ready.models, changes),
    )
