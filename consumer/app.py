"""The composition root: builds every adapter and puts the consumer together."""

import asyncio
import os
import random
import signal
import threading
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Final

import boto3
import structlog
from botocore.config import Config

from consumer import __version__, engines, protocol, settings
from consumer.aws import client as aws
from consumer.aws.ecs import task_protection
from consumer.aws.lease import SqsLeases
from consumer.aws.s3 import S3Store
from consumer.aws.sns import announcer
from consumer.aws.sqs import WAIT_S, SqsQueue
from consumer.clock import Watchdog
from consumer.domain import identity
from consumer.domain.errors import SettingsError
from consumer.domain.result import Engine
from consumer.engines import ENGINES, EngineSpec
from consumer.health import Probe, served
from consumer.metrics import Metrics
from consumer.processes import gpus
from consumer.processes.collector import WorkerProcessCollector
from consumer.processes.layout import ProcessLayout
from consumer.processes.recognizer import PageRecognizer
from consumer.processes.renderer import RenderPool
from consumer.service.circuit_breaker import CircuitBreaker
from consumer.service.disk_space import DiskSpace
from consumer.service.message import MessageHandler
from consumer.service.pipeline import Pipeline
from consumer.service.scheduler import PageScheduler
from consumer.service.work_dir import work_folder
from consumer.service.worker import LEAST_DRAIN_S, Worker
from consumer.settings import Settings

_STOPS: Final = (signal.SIGTERM, signal.SIGINT)

#: What may follow on work that stood still: it is ended, given up, and settled.
_STUCK_S: Final = 120.0

#: Children and connections are closed within this, after the drain.
_LAST_S: Final = 10.0

log = structlog.get_logger(__name__)


class SystemClock:
    """The machine's clocks."""

    def now(self) -> datetime:
        """Wall-clock time in UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Seconds that never go back."""
        return time.monotonic()


@asynccontextmanager
async def object_store(connections: int = 16) -> AsyncIterator[S3Store]:
    """Open the bucket, for the consumer and the command line alike; raises ServiceError."""
    async with aws.client("s3", connections=connections, read_timeout_s=20) as client:
        yield S3Store(client)


async def consume(options: Settings, specs: Mapping[str, EngineSpec] = ENGINES) -> None:
    """Run the consumer with one of the engines until SIGTERM or SIGINT.

    Raises SettingsError where they cannot be met, ServiceError where the queue cannot be used,
    MachineError where the engine does not start.
    """
    for name in settings.unknown():
        log.warning("settings.unknown", name=name)
    stop = asyncio.Event()
    ours = asyncio.current_task()

    def stop_now() -> None:
        if stop.is_set():
            return
        stop.set()
        # Whatever hangs where nothing can end it, a resolver say, ends with us.
        at_last = threading.Timer(max(options.drain_s, LEAST_DRAIN_S) + _LAST_S, os._exit, [0])
        at_last.daemon = True
        at_last.start()
        if not ready.is_set() and ours is not None:
            # Nothing has been received yet, so there is nothing to finish.
            ours.cancel()

    ready = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in _STOPS:
        loop.add_signal_handler(number, stop_now)
    try:
        async with AsyncExitStack() as stack:
            metrics = Metrics()
            # First: who looks at a consumer that takes minutes to start shall see that it lives.
            health = await stack.enter_async_context(served(options.health_port, metrics.registry))
            worker = await _build(options, specs, metrics, stack)
            health.alive, health.ready = _alive(worker, options.stall_s), lambda: worker.problem
            ready.set()
            await worker.run(stop)
    except asyncio.CancelledError:
        # Not swallowed: it is our own way to stop while starting.
        if ready.is_set() or not stop.is_set():
            raise
    finally:
        for number in _STOPS:
            # A loop that is closed would leave the default behind, and another signal end us with its number.
            loop.remove_signal_handler(number)
            signal.signal(number, signal.SIG_IGN)
    log.info("stopped")


def _alive(worker: Worker, stall_s: float) -> Probe:
    """Work that stands still is ended after `stall_s`; if nothing has moved well after that, we are stuck."""
    limit_s = stall_s + _STUCK_S
    return lambda: (
        f"nothing has moved for {s:.0f} s" if (s := worker.seconds_since_progress) > limit_s else None
    )


async def _build(
    options: Settings, specs: Mapping[str, EngineSpec], metrics: Metrics, stack: AsyncExitStack
) -> Worker:
    """Put the consumer together; what it holds is released with the stack."""
    clock = SystemClock()
    try:
        folder = stack.enter_context(work_folder(options.work_dir))
    except OSError as error:
        raise SettingsError(f"{settings.PREFIX}WORK_DIR: {error}") from error
    layout = ProcessLayout.of(options, folder, specs)
    for name in engines.without_effect(options, layout.engine, specs):
        log.warning("settings.without_effect", name=name, engine=layout.engine.name)
    queue = await stack.enter_async_context(_queue(options))
    pipeline, breaker = await _open(options, layout, folder, metrics, stack)
    handler = MessageHandler(
        queue,
        _leases(options, layout.capacity.slots, metrics),
        pipeline,
        breaker,
        announce=await stack.enter_async_context(announcer(options.completion_topic_arn, clock)),
        clock=clock,
        rng=random.SystemRandom(),
        metrics=metrics,
    )
    return Worker(
        queue,
        handler,
        breaker,
        slots=layout.capacity.slots,
        drain_s=options.drain_s,
        idle_exit_s=options.idle_exit_s,
        on_busy=await stack.enter_async_context(task_protection()),
        metrics=metrics,
    )


async def _open(
    options: Settings, layout: ProcessLayout, folder: Path, metrics: Metrics, stack: AsyncExitStack
) -> tuple[Pipeline, CircuitBreaker]:
    """Start what turns sources into results, and give what watches over it."""
    capacity, clock = layout.capacity, SystemClock()
    store = await stack.enter_async_context(object_store(connections=capacity.slots))
    renderer = RenderPool(layout.renderers, folder, options.max_pages)
    await stack.enter_async_context(renderer.running())
    recognizer = PageRecognizer(
        layout.engines, layout.recycle_policy, layout.engine.page_deadline_s, Watchdog(clock)
    )
    await stack.enter_async_context(recognizer.running())
    engine = _engine(recognizer.engine, options)
    metrics.runs(__version__, engine.name, engine.version, engine.device)
    find_gpus = partial(gpus.chosen, "cpu" if capacity.devices == ["cpu"] else options.device)
    metrics.registry.register(WorkerProcessCollector(layout.engines, layout.renderers, find_gpus))
    disk_space = DiskSpace(folder)
    scheduler = PageScheduler(
        recognizer, disk_space, metrics, batch_pages=capacity.batch_pages, window_pages=capacity.window_pages
    )
    await stack.enter_async_context(scheduler.running())
    pipeline = Pipeline(
        store,
        renderer,
        scheduler,
        engine,
        disk_space,
        work_dir=folder,
        max_file_bytes=options.max_file_bytes,
        clock=clock,
        metrics=metrics,
    )
    log.info(
        "ready",
        version=__version__,
        queue_url=options.queue_url,
        engine=f"{engine.name} {engine.version}",
        device=engine.device,
        engine_workers=len(capacity.engines),
        recycle_rss_bytes=capacity.engine_bytes,
        max_in_flight=capacity.slots,
        work_dir=str(folder),
    )
    return pipeline, CircuitBreaker([disk_space.check, renderer.check, recognizer.check], clock)


@asynccontextmanager
async def _queue(options: Settings) -> AsyncIterator[SqsQueue]:
    # One long poll, and the few short calls that settle messages.
    async with aws.client("sqs", connections=16, read_timeout_s=WAIT_S + 5) as client:
        queue = SqsQueue(client, options.queue_url, options.lease_s)
        await queue.check()
        yield queue


def _leases(options: Settings, slots: int, metrics: Metrics) -> SqsLeases:
    # Short, so that a beat that hangs is over, or nearly so, when the next is due.
    config = Config(
        connect_timeout=min(2.0, options.lease_s / 30),
        read_timeout=min(5.0, options.lease_s / 10),
        retries={"mode": "standard", "total_max_attempts": 2},
        max_pool_connections=slots,
    )
    client = boto3.client("sqs", region_name=aws.region(), config=config)
    return SqsLeases(client, options.queue_url, options.lease_s, options.stall_s, metrics)


def _engine(ready: protocol.EngineReady, options: Settings) -> Engine:
    """Name the engine in results; settings that change a result are in its fingerprint.

    The limits too: whoever raises one wants the documents it refused to be read.
    """
    names = ("render_dpi", "max_page_pixels", "max_file_bytes", "max_pages")
    changes = {name: getattr(options, name) for name in names}
    if ready.configuration:
        changes["configuration"] = ready.configuration
    return Engine(
        name=ready.name,
        version=ready.version,
        models=ready.models,
        device=ready.device,
        fingerprint=identity.fingerprint(ready.name, ready.version, ready.models, changes),
    )
