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
from importlib.util import find_spec
from typing import Final

import boto3
import structlog
from botocore.config import Config

from consumer import __version__, settings, wire
from consumer.adapters import aws, gpus, render
from consumer.adapters.children import Program
from consumer.adapters.engines import Recycling
from consumer.adapters.lease import SqsLeases
from consumer.adapters.protection import task_protection
from consumer.adapters.recognize import EnginePool, longest_step_s
from consumer.adapters.render import RenderPool
from consumer.adapters.s3 import S3Store
from consumer.adapters.seats import Seat
from consumer.adapters.sqs import WAIT_S, SqsQueue
from consumer.adapters.work_dir import work_folder
from consumer.domain import identity, plan
from consumer.domain.errors import SettingsError
from consumer.domain.plan import EngineShare
from consumer.domain.result import Engine
from consumer.gate import Gate
from consumer.handler import Handler
from consumer.pages import PageScheduler
from consumer.pipeline import Pipeline
from consumer.room import Room
from consumer.settings import Settings
from consumer.sizing import Sizing
from consumer.worker import LEAST_DRAIN_S, Worker

#: What the interpreter is asked to run as a child of each role.
PROGRAMS: Final = {role: ("-m", "consumer.child", role) for role in ("render", "rapidocr", "pp-structurev3")}

#: What must be installed for an engine, and how.
_PACKAGES: Final = {
    "rapidocr": ("rapidocr", "pip install 'bucket-ocr[rapidocr]'"),
    "pp-structurev3": ("paddleocr", "pip install 'bucket-ocr[pp-structurev3]' and paddlepaddle-gpu"),
}

_STOPS: Final = (signal.SIGTERM, signal.SIGINT)

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


async def consume(options: Settings, programs: Mapping[str, tuple[str, ...]] = PROGRAMS) -> None:
    """Run the consumer until SIGTERM or SIGINT.

    `programs`: what the interpreter is asked to run as a child of each role.
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
            worker = await _build(options, programs, stack)
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


async def _build(options: Settings, programs: Mapping[str, tuple[str, ...]], stack: AsyncExitStack) -> Worker:
    """Put the consumer together; what it holds is released with the stack."""
    role = _engine_role(options)
    sizing = Sizing.of(options, role, gpus.chosen(options.device) if role == "pp-structurev3" else ())
    if options.stall_s < (longest_s := longest_step_s(sizing.page_deadline_s, sizing.batch_pages)):
        raise SettingsError(
            f"{settings.PREFIX}STALL_S ({options.stall_s:g}) must be at least {longest_s:g}: so long may an "
            f"engine take to start and to read {sizing.batch_pages} page(s)"
        )
    try:
        folder = stack.enter_context(work_folder(options.work_dir))
    except OSError as error:
        raise SettingsError(f"{settings.PREFIX}WORK_DIR: {error}") from error
    queue = await stack.enter_async_context(_queue(options))
    store = await stack.enter_async_context(object_store(connections=sizing.slots))
    renderer = RenderPool(_render_seats(programs["render"], options, sizing), folder, options.max_pages)
    await stack.enter_async_context(renderer.running())
    recycling = Recycling(options.recycle_pages, sizing.engine_bytes)
    seats = _engine_seats(role, programs[role], options, sizing, recycling)
    recognizer = EnginePool(seats, recycling, sizing.page_deadline_s)
    await stack.enter_async_context(recognizer.running())
    engine = _engine(recognizer.engine, options)
    room = Room(folder)
    scheduler = PageScheduler(
        recognizer, room, batch_pages=sizing.batch_pages, window_pages=sizing.window_pages
    )
    await stack.enter_async_context(scheduler.running())
    clock = SystemClock()
    pipeline = Pipeline(
        store,
        renderer,
        scheduler,
        engine,
        room,
        work_dir=folder,
        max_file_bytes=options.max_file_bytes,
        clock=clock,
    )
    log.info(
        "ready",
        version=__version__,
        queue_url=options.queue_url,
        engine=f"{engine.name} {engine.version}",
        device=engine.device,
        engine_workers=len(sizing.engines),
        recycle_rss_bytes=sizing.engine_bytes,
        max_in_flight=sizing.slots,
        work_dir=str(folder),
    )
    gate = Gate([room.check, renderer.check, recognizer.check], clock)
    leases = _leases(options, sizing.slots)
    handler = Handler(queue, leases, pipeline, gate, clock=clock, rng=random.SystemRandom())
    protection = await stack.enter_async_context(task_protection())
    return Worker(queue, handler, gate, slots=sizing.slots, drain_s=options.drain_s, on_busy=protection)


def _engine_role(options: Settings) -> str:
    """Choose the engine; raises SettingsError where it is not installed."""
    role = options.engine
    if role == "auto":
        role = "pp-structurev3" if find_spec(_PACKAGES["pp-structurev3"][0]) else "rapidocr"
    package, cure = _PACKAGES[role]
    if find_spec(package) is None:
        raise SettingsError(f"{settings.PREFIX}ENGINE={options.engine}: not installed: {cure}")
    if role == "rapidocr" and options.device.startswith("gpu"):
        raise SettingsError(
            f"{settings.PREFIX}DEVICE={options.device}: rapidocr runs on the CPU only: set it to cpu, or "
            f"{_PACKAGES['pp-structurev3'][1]}"
        )
    return role


@asynccontextmanager
async def _queue(options: Settings) -> AsyncIterator[SqsQueue]:
    # One long poll, and the few short calls that settle messages.
    async with aws.client("sqs", connections=16, read_timeout_s=WAIT_S + 5) as client:
        queue = SqsQueue(client, options.queue_url, options.lease_s)
        await queue.check()
        yield queue


def _leases(options: Settings, slots: int) -> SqsLeases:
    # Short, so that a beat that hangs is over, or nearly so, when the next is due.
    config = Config(
        connect_timeout=min(2.0, options.lease_s / 30),
        read_timeout=min(5.0, options.lease_s / 10),
        retries={"mode": "standard", "total_max_attempts": 2},
        max_pool_connections=slots,
    )
    client = boto3.client("sqs", region_name=aws.region(), config=config)
    return SqsLeases(client, options.queue_url, options.lease_s, options.stall_s)


def _render_seats(arguments: tuple[str, ...], options: Settings, sizing: Sizing) -> list[Seat]:
    how = wire.RenderOptions(
        scale=options.render_dpi / plan.POINTS_PER_INCH,
        max_page_pixels=options.max_page_pixels,
        max_pages=options.max_pages,
        open_documents=-(-sizing.slots // sizing.renderers),
        address_space_bytes=sizing.renderer_bytes,
        processor_s=int(render.DEADLINE_S),
    )
    # What stays with a renderer is lost to the documents that follow.
    program = Program("render", arguments, how, sizing.renderer_bytes // 2, sizing.renderer_bytes)
    return [Seat(program) for _ in range(sizing.renderers)]


def _engine_seats(
    role: str, arguments: tuple[str, ...], options: Settings, sizing: Sizing, recycling: Recycling
) -> list[Seat]:
    def how(share: EngineShare, device: str) -> wire.EngineOptions:
        if role == "rapidocr":
            return wire.EngineOptions(threads=share.threads, cpus=share.cpus)
        return wire.StructureOptions(
            threads=share.threads,
            cpus=share.cpus,
            device=device,
            device_bytes=sizing.device_bytes,
            pipeline=options.pipeline_config,
            runtime=None if options.engine_runtime == "auto" else options.engine_runtime,
            batch_pages=sizing.batch_pages,
            scale=options.render_dpi / plan.POINTS_PER_INCH,
        )

    return [
        Seat(Program(role, arguments, how(*each), recycling.retired_bytes, recycling.killed_bytes))
        for each in zip(sizing.engines, sizing.devices, strict=True)
    ]


def _engine(ready: wire.EngineReady, options: Settings) -> Engine:
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
