"""The composition root: builds every adapter and puts the consumer together."""

import asyncio
import random
import signal
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Final, Literal

import boto3
import structlog
from botocore.config import Config

from consumer import __version__, settings, wire
from consumer.adapters import aws, machine
from consumer.adapters.children import Seat, seated
from consumer.adapters.lease import SqsLeases
from consumer.adapters.recognize import EnginePool, longest_step_s
from consumer.adapters.render import RenderPool
from consumer.adapters.s3 import S3Store
from consumer.adapters.sqs import WAIT_S, SqsQueue
from consumer.adapters.work_dir import work_folder
from consumer.domain import identity, plan
from consumer.domain.errors import SettingsError
from consumer.domain.result import Engine
from consumer.pages import PageScheduler
from consumer.pipeline import Pipeline
from consumer.settings import Settings
from consumer.worker import Worker

#: An engine process of few threads holds about this much: models, compiled shapes, a page.
_ENGINE_BYTES: Final = 1536 * 1024 * 1024

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
    async with aws.client("s3", connections=connections, read_timeout_s=30) as client:
        yield S3Store(client)


async def consume(options: Settings) -> None:
    """Run the consumer until SIGTERM or SIGINT.

    Raises SettingsError where they cannot be met, ServiceError where the queue cannot be used,
    MachineError where the engine does not start.
    """
    for name in settings.unknown():
        log.warning("settings.unknown", name=name)
    stop = asyncio.Event()
    ours = asyncio.current_task()

    def stop_now() -> None:
        stop.set()
        if not ready.is_set() and ours is not None:
            # Nothing has been received yet, so there is nothing to finish.
            ours.cancel()

    ready = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop_now)
    try:
        async with AsyncExitStack() as stack:
            worker = await _build(options, stack)
            ready.set()
            await worker.run(stop)
    except asyncio.CancelledError:
        # Not swallowed: it is our own way to stop while starting.
        if ready.is_set() or not stop.is_set():
            raise
    log.info("stopped")


async def _build(options: Settings, stack: AsyncExitStack) -> Worker:
    """Put the consumer together; what it holds is released with the stack."""
    role = _engine_role(options)
    batch_pages = options.batch_pages or 1
    if options.stall_s < (longest_s := longest_step_s(batch_pages)):
        raise SettingsError(
            f"{settings.PREFIX}STALL_S ({options.stall_s:g}) must be at least {longest_s:g}: so long may an "
            f"engine take to start and to read {batch_pages} page(s)"
        )
    try:
        folder = stack.enter_context(work_folder(options.work_dir))
    except OSError as error:
        raise SettingsError(f"{settings.PREFIX}WORK_DIR: {error}") from error
    queue = await stack.enter_async_context(_queue(options))
    shares = _engine_shares(options)
    slots = options.max_in_flight or max(4, 2 * len(shares) * batch_pages)
    store = await stack.enter_async_context(object_store(connections=slots))
    renderer = await stack.enter_async_context(_renderer(options, folder))
    recognizer = await stack.enter_async_context(_recognizer(role, shares))
    engine = _engine(recognizer.engine, options)
    window_pages = 2 * len(shares) * batch_pages + 2
    scheduler = PageScheduler(recognizer, batch_pages=batch_pages, window_pages=window_pages)
    await stack.enter_async_context(scheduler.running())
    pipeline = Pipeline(
        store,
        renderer,
        scheduler,
        engine,
        work_dir=folder,
        max_file_bytes=options.max_file_bytes,
        clock=SystemClock(),
    )
    log.info(
        "ready",
        version=__version__,
        queue_url=options.queue_url,
        engine=f"{engine.name} {engine.version}",
        device=engine.device,
        engine_workers=len(shares),
        max_in_flight=slots,
        work_dir=str(folder),
    )
    return Worker(
        queue,
        _leases(options, slots),
        pipeline,
        slots=slots,
        drain_s=options.drain_s,
        clock=SystemClock(),
        rng=random.SystemRandom(),
    )


def _engine_role(options: Settings) -> Literal["rapidocr"]:
    """Choose the engine; raises SettingsError where it is not installed."""
    if find_spec("rapidocr") is None:
        raise SettingsError(
            f"{settings.PREFIX}ENGINE={options.engine}: not installed: pip install 'bucket-ocr[rapidocr]'"
        )
    return "rapidocr"


@asynccontextmanager
async def _queue(options: Settings) -> AsyncIterator[SqsQueue]:
    # One long poll, and the few short calls that settle messages.
    async with aws.client("sqs", connections=16, read_timeout_s=WAIT_S + 15) as client:
        queue = SqsQueue(client, options.queue_url, options.lease_s)
        await queue.check()
        yield queue


def _leases(options: Settings, slots: int) -> SqsLeases:
    # Short, so that a beat that hangs, twice, is over before the next is due.
    config = Config(
        connect_timeout=min(2.0, options.lease_s / 30),
        read_timeout=min(5.0, options.lease_s / 10),
        retries={"mode": "standard", "total_max_attempts": 2},
        max_pool_connections=slots,
    )
    client = boto3.client("sqs", region_name=aws.region(), config=config)
    return SqsLeases(client, options.queue_url, options.lease_s, options.stall_s)


@asynccontextmanager
async def _renderer(options: Settings, folder: Path) -> AsyncIterator[RenderPool]:
    workers = options.render_workers or max(1, _usable_processors() // 4)
    how = wire.RenderOptions(
        scale=options.render_dpi / plan.POINTS_PER_INCH,
        max_page_pixels=options.max_page_pixels,
        max_pages=options.max_pages,
    )
    seats = [Seat("render", how) for _ in range(workers)]
    async with seated(seats):
        yield RenderPool(seats, folder)


@asynccontextmanager
async def _recognizer(role: str, shares: list[plan.EngineShare]) -> AsyncIterator[EnginePool]:
    seats = [Seat(role, wire.EngineOptions(threads=share.threads, cpus=share.cpus)) for share in shares]
    async with seated(seats):
        yield EnginePool(seats)


def _engine_shares(options: Settings) -> list[plan.EngineShare]:
    """One engine process per processor, as far as memory allows: one of several threads reads slower."""
    affordable = min(_usable_processors(), machine.memory_bytes() // 2 // _ENGINE_BYTES)
    workers = options.engine_workers or max(1, affordable)
    return plan.share_processors(machine.processors(), machine.cpu_quota(), workers)


def _usable_processors() -> int:
    cpus = len(machine.processors())
    return min(cpus, machine.cpu_quota() or cpus)


def _engine(ready: wire.EngineReady, options: Settings) -> Engine:
    """Name the engine in results; settings that change a result are in its fingerprint.

    The limits too: whoever raises one wants the documents it refused to be read.
    """
    names = ("render_dpi", "max_page_pixels", "max_file_bytes", "max_pages")
    changes = {name: getattr(options, name) for name in names}
    return Engine(
        name=ready.name,
        version=ready.version,
        models=ready.models,
        device=ready.device,
        fingerprint=identity.fingerprint(ready.name, ready.version, ready.models, changes),
    )
