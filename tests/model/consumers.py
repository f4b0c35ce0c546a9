"""The real consumer as processes over the model of the cloud; the network between takes time and fails."""

import asyncio
import contextlib
import itertools
import random
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from enum import Enum, auto
from functools import partial
from pathlib import Path
from typing import Final, NoReturn, TypeVar
from weakref import WeakKeyDictionary

from consumer.domain import keys
from consumer.domain.completion import Completion
from consumer.domain.errors import (
    BucketOcrError,
    Code,
    ConflictError,
    DocumentError,
    HostError,
    ServiceError,
)
from consumer.domain.formats import Format
from consumer.domain.lease import LeaseSchedule, Lost, Overdue
from consumer.domain.page import PageImage
from consumer.domain.result import Detection, Page, PageResult, Source, Status
from consumer.metrics import Metrics
from consumer.ports import Message, ObjectHead, Progress
from consumer.service.circuit_breaker import CircuitBreaker
from consumer.service.disk_space import DiskSpace
from consumer.service.message import MessageHandler
from consumer.service.pipeline import Pipeline
from consumer.service.scheduler import PageScheduler
from consumer.service.worker import Worker
from tests.fakes import BUCKET, ENGINE, page_image
from tests.model.cloud import BROKEN, LEASE_S, Delivery, Journal, ModelS3, ModelSqs, RefusedError
from tests.model.virtual_time import EPOCH, Process, VirtualClock

SLOTS: Final = 2
DRAIN_S: Final = 20.0
STALL_S: Final = 150.0
WAIT_S: Final = 5.0

#: One for all: nobody looks at it, and consumers come and go by the thousand.
METRICS: Final = Metrics()

_Answer = TypeVar("_Answer")


class Fault(Enum):
    """What befalls a call."""

    FAILS = auto()  #: it has no effect, and the caller is told so
    REFUSED = auto()  #: 409 for a put, a broken machine for an engine; else like FAILS
    LOST = auto()  #: it has its effect, and the answer is lost
    RESENT = auto()  #: the same, and the SDK sends it again
    SLOW = auto()  #: it takes longer than a lease
    CRASH_BEFORE = auto()
    CRASH_AFTER = auto()
    PAUSE_BEFORE = auto()
    PAUSE_AFTER = auto()


class Faults:
    """What will befall the next calls of operations, whoever makes them."""

    def __init__(self) -> None:
        self._next: dict[str, deque[Fault]] = {}

    def add(self, operation: str, fault: Fault) -> None:
        self._next.setdefault(operation, deque()).append(fault)

    def take(self, operation: str) -> Fault | None:
        faults = self._next.get(operation)
        return faults.popleft() if faults else None

    def heal(self) -> None:
        self._next.clear()


@dataclass
class World:
    """What all consumers share."""

    clock: VirtualClock
    journal: Journal
    queue: ModelSqs
    bucket: ModelS3
    faults: Faults
    folder: Path
    seed: int
    calls: dict[str, int] = field(default_factory=dict)
    #: Keys of results whose puts are on their way.
    puts: Counter[str] = field(default_factory=Counter)
    #: Keys of sources that were announced to have a result, with what tells the objects apart.
    announced: set[tuple[str, tuple[str, str | None]]] = field(default_factory=set)

    def rng(self, subject: str) -> random.Random:
        """Chance for one call: the same for the n-th call of a subject, whatever others do."""
        number = self.calls[subject] = self.calls.get(subject, 0) + 1
        return random.Random(f"{self.seed} {subject} {number}")


class Wire:
    """How the calls of a process get to the cloud, and the answers back."""

    def __init__(self, world: World, process: Process) -> None:
        self.world = world
        self.process = process

    async def call(
        self,
        operation: str,
        subject: str,
        effect: Callable[[], _Answer],
        *,
        refusal: BucketOcrError | None = None,
        slow_s: float = 40.0,
    ) -> _Answer:
        """Make a call: a while after the question its effect, and a while after that the answer."""
        if not self.process.alive:
            raise asyncio.CancelledError
        fault = self.world.faults.take(operation)
        rng = self.world.rng(f"{self.process.name} {operation} {subject}")
        if fault is not None:
            self.world.journal.note(f"fault {fault.name}", f"{operation} {subject} of {self.process.name}")
        there_s, back_s = rng.uniform(0.001, 0.3), rng.uniform(0.001, 0.3)
        if fault is Fault.SLOW:
            there_s, back_s = rng.choice([(slow_s, back_s), (there_s, slow_s), (slow_s / 2, slow_s / 2)])
        if fault in {Fault.FAILS, Fault.REFUSED}:
            await self.process.sleep(there_s + back_s)
            raise (refusal if fault is Fault.REFUSED else None) or ServiceError(f"{operation}: 503")
        self._strike(fault, Fault.CRASH_BEFORE, Fault.PAUSE_BEFORE)
        for _ in range(2 if fault is Fault.RESENT else 1):
            await self._travel(there_s, effect, rng)
            answer = _outcome(effect)
        self._strike(fault, Fault.CRASH_AFTER, Fault.PAUSE_AFTER)
        await self.process.sleep(back_s)
        if fault is Fault.LOST:
            raise ServiceError(f"{operation}: the answer is lost")
        return answer()

    async def _travel(self, seconds: float, effect: Callable[[], object], rng: random.Random) -> None:
        try:
            await self.process.sleep(seconds)
        except asyncio.CancelledError:
            # The caller, or the whole process, is gone; its request may have left before.
            if rng.random() < 0.5:
                _outcome(effect)
            raise

    def _strike(self, fault: Fault | None, crash: Fault, pause: Fault) -> None:
        if fault is crash:
            self.process.kill()
            raise asyncio.CancelledError
        if fault is pause:
            self.process.pause()


def _outcome(effect: Callable[[], _Answer]) -> Callable[[], _Answer]:
    """Have the effect, and return what the answer will be when it is looked at."""
    try:
        answer = effect()
    except BucketOcrError as error:
        return partial(_raise, error)
    return lambda: answer


def _raise(error: BucketOcrError) -> NoReturn:
    raise error


class StoreOf:
    """The bucket as one consumer sees it; fulfils `consumer.ports.ObjectStore`."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._bucket = wire.world.bucket
        self._readers: WeakKeyDictionary[asyncio.Task[object], str] = WeakKeyDictionary()
        self._numbers = itertools.count()

    @property
    def _me(self) -> str:
        """Who asks: a consumer, and which of its works."""
        task = asyncio.current_task()
        assert task is not None
        return self._readers.setdefault(task, f"{self._wire.process.name}/{next(self._numbers)}")

    async def check_bucket(self, bucket: str) -> None:
        await self._wire.call("check_bucket", bucket, partial(_must_exist, bucket))

    async def head(self, bucket: str, key: str) -> ObjectHead | None:
        # A HEAD has no body to tell a bucket that is missing from an object that is.
        head = partial(self._bucket.head, self._me, key)
        return await self._wire.call("head", key, head if bucket == BUCKET else lambda: None)

    async def read_start(self, source: Source, size_bytes: int) -> bytes:
        return (await self._get(source))[:size_bytes]

    async def download(self, source: Source, path: Path, progress: Progress) -> None:
        path.write_bytes(await self._get(source))
        progress()

    async def _get(self, source: Source) -> bytes:
        def get() -> bytes:
            _must_exist(source.bucket)
            return self._bucket.get(source)

        return await self._wire.call("get", source.key, get)

    async def put_result(
        self, bucket: str, key: str, body: bytes, metadata: Mapping[str, str], *, replaces: str | None
    ) -> None:
        me = self._me

        def put() -> None:
            _must_exist(bucket)
            self._bucket.put_result(me, key, body, metadata, replaces)

        self._wire.world.puts[key] += 1
        try:
            await self._wire.call("put", key, put, refusal=ConflictError("409"))
        finally:
            self._wire.world.puts[key] -= 1


def _must_exist(bucket: str) -> None:
    if bucket != BUCKET:
        raise ServiceError(f"no bucket s3://{bucket}")


class AnnouncerOf:
    """Announces finished documents as one consumer does; fulfils `consumer.ports.Announce`."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    async def __call__(self, completion: Completion) -> None:
        await self._wire.call("announce", completion.source.key, partial(self._announce, completion))

    def _announce(self, completion: Completion) -> None:
        world, source = self._wire.world, completion.source
        there = keys.result_key(source.key) in world.bucket.objects
        world.journal.demand(there, "announce", f"{source.key} was announced and has no result")
        world.announced.add((source.key, (source.etag, source.version_id)))


class QueueOf:
    """The queue as one consumer sees it; fulfils `consumer.ports.Queue`."""

    def __init__(self, wire: Wire, journal: Journal) -> None:
        self._wire = wire
        self._queue = wire.world.queue
        self._clock = wire.world.clock
        self._journal = journal
        self._receiving = 0
        self.held = 0

    async def receive(self) -> Message | None:
        asked_at = self._clock.seconds
        self._journal.demand(not self._receiving, "ports", "two receives at a time")
        self._receiving += 1
        self.check_slots()
        try:
            wait_s = min(max(self._queue.next_visible_at() - asked_at, 0.0), WAIT_S)
            await self._wire.process.sleep(wait_s)
            owner = self._wire.process.name
            delivery = await self._wire.call("receive", "", lambda: self._queue.receive(owner, LEASE_S))
        finally:
            self._receiving -= 1
        return _message(delivery, asked_at) if delivery is not None else None

    def check_slots(self) -> None:
        """I5: a message is received only when there is a slot for it."""
        in_work = self._receiving + self.held
        self._journal.demand(in_work <= SLOTS, "I5", f"{self._wire.process.name} has {in_work} in work")

    async def max_receive_count(self) -> int | None:
        return await self._wire.call("attributes", "", lambda: self._queue.max_receive_count)

    async def delete(self, message: Message) -> None:
        self._queue.settling(message.receipt, "delete")
        await self._wire.call("delete", message.receipt, lambda: self._queue.delete(message.receipt))

    async def retry_after(self, message: Message, delay_s: int) -> None:
        self._queue.settling(message.receipt, "retry")
        try:
            change = partial(self._queue.change_visibility, message.receipt, delay_s)
            await self._wire.call("retry", message.receipt, change)
        except RefusedError as error:
            raise ServiceError(str(error)) from error


def _message(delivery: Delivery, asked_at: float) -> Message:
    message = delivery.message
    sent_at = EPOCH + timedelta(seconds=message.sent_at)
    return Message(
        message.message_id, delivery.receipt, message.body, message.receive_count, sent_at, asked_at
    )


class HeldLease:
    """A lease; fulfils `consumer.ports.Lease`."""

    def __init__(self, term: LeaseSchedule, clock: VirtualClock) -> None:
        self.term = term
        self.lost = asyncio.Event()
        self.overdue = asyncio.Event()
        self.reason = ""
        self.released = asyncio.Event()
        self._clock = clock

    def progress(self) -> None:
        self.term.progress(self._clock.seconds)


class LeasesOf:
    """Keeps leases as `adapters.lease` does, with a task where that has a thread."""

    def __init__(self, wire: Wire, queue: QueueOf) -> None:
        self._wire = wire
        self._queue = queue
        self._clock = wire.world.clock

    @asynccontextmanager
    async def hold(self, message: Message) -> AsyncIterator[HeldLease]:
        lease = HeldLease(
            LeaseSchedule(message.received_at, self._clock.seconds, LEASE_S, STALL_S), self._clock
        )
        self._queue.held += 1
        self._queue.check_slots()
        keeper = asyncio.create_task(self._keep(message.receipt, lease))
        try:
            yield lease
        finally:
            lease.released.set()
            await keeper
            self._queue.held -= 1
        if lease.term.is_over(self._clock.seconds):
            self._lose(message.receipt, lease)

    async def _keep(self, receipt: str, lease: HeldLease) -> None:
        while not await self._released(lease):
            asked_at = self._clock.seconds
            due = lease.term.beat(asked_at)
            if isinstance(due, Lost):
                return self._lose(receipt, lease)
            if isinstance(due, Overdue):
                lease.reason = due.reason
                return lease.overdue.set()
            renew = partial(self._wire.world.queue.renew, receipt, due.hold_s)
            try:
                await self._wire.call("renew", receipt, renew, slow_s=LEASE_S / 3)
            except RefusedError:
                return self._lose(receipt, lease)
            except ServiceError:
                continue
            lease.term.renewed(asked_at, due.hold_s)
        return None

    async def _released(self, lease: HeldLease) -> bool:
        """Wait until a beat is due, or none will be."""
        beat_at = lease.term.beat_at
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(beat_at):
                await lease.released.wait()
        if not lease.released.is_set():
            await self._wire.process.catch_up(beat_at)
        return lease.released.is_set()

    def _lose(self, receipt: str, lease: HeldLease) -> None:
        if not lease.lost.is_set():
            lease.lost.set()
            self._wire.world.queue.lose(receipt)


class Renderer:
    """Documents are `%PDF-` and texts of pages, a form feed between; fulfils `consumer.ports.Renderer`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._pages = 0

    @asynccontextmanager
    async def open(self, path: Path, file_format: Format) -> AsyncIterator["Document"]:
        text = path.read_bytes().removeprefix(b"%PDF-")
        if text.startswith(BROKEN):
            raise DocumentError(Code.CORRUPT_DOCUMENT, "it is broken")
        yield Document(text.split(b"\f"), self._next_path)

    def _next_path(self) -> Path:
        self._pages += 1
        return self._folder / f"{self._pages}.bgr"


class Document:
    """An opened document; fulfils `consumer.ports.RenderedDocument`."""

    def __init__(self, texts: Sequence[bytes], next_path: Callable[[], Path]) -> None:
        self._texts = texts
        self._next_path = next_path
        self.page_count = len(texts)

    async def render(self, page_number: int) -> PageImage:
        path = self._next_path()
        path.write_bytes(self._texts[page_number - 1])
        return page_image(page_number, path)


class Recognizer:
    """Reads a page in as many seconds as its text ends with; fulfils `consumer.ports.Recognizer`."""

    concurrency = 1

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    async def read(self, images: Sequence[PageImage]) -> Sequence[PageResult]:
        read = [await self._read(image) for image in images]
        return await self._wire.call("read", "", lambda: read, refusal=HostError("the engine is broken"))

    async def _read(self, image: PageImage) -> PageResult:
        text = Path(image.path).read_text()
        await self._wire.process.sleep(float(text.split()[-1]))
        number = image.page_number
        box = ((0, 0), (9, 0), (9, 9), (0, 9))
        page = Page(page_number=number, status=Status.SUCCESS, width_px=100, height_px=100, scale=2, dpi=144)
        detection = Detection(text=text, box=box, confidence=0.9, page_number=number)
        return PageResult(page=page, detections=(detection,))


@dataclass(frozen=True)
class _Usage:
    """A disk that is large enough."""

    total: int = 2**40
    free: int = 2**40


class Consumer:
    """A consumer process, from its start to its end."""

    def __init__(self, world: World, name: str) -> None:
        self.process = Process(name, world.clock, world.rng(name))
        self._world = world
        self._stop = asyncio.Event()
        self.process.start(self._run())

    def terminate(self) -> None:
        """SIGTERM."""
        self.process.call(self._stop.set)

    async def _run(self) -> None:
        scheduler, worker = build(self._world, self.process)
        async with scheduler.running():
            await worker.run(self._stop)


def build(world: World, process: Process) -> tuple[PageScheduler, Worker]:
    """Put a consumer together, as `consumer.app` does."""
    folder = world.folder / process.name
    folder.mkdir()
    wire = Wire(world, process)
    queue = QueueOf(wire, world.journal)
    disk_space = DiskSpace(folder, lambda _: _Usage())
    scheduler = PageScheduler(Recognizer(wire), disk_space, METRICS, batch_pages=2, window_pages=4)
    pipeline = Pipeline(
        StoreOf(wire),
        Renderer(folder),
        scheduler,
        ENGINE,
        disk_space,
        work_dir=folder,
        max_file_bytes=1000,
        clock=world.clock,
        metrics=METRICS,
    )
    breaker = CircuitBreaker([], world.clock)
    rng = random.Random(f"{world.seed} {process.name}")
    handler = MessageHandler(
        queue,
        LeasesOf(wire, queue),
        pipeline,
        breaker,
        announce=AnnouncerOf(wire),
        clock=world.clock,
        rng=rng,
        metrics=METRICS,
    )
    worker = Worker(
        queue,
        handler,
        breaker,
        slots=SLOTS,
        drain_s=DRAIN_S,
        idle_exit_s=None,
        on_busy=lambda _: None,
        metrics=METRICS,
    )
    return scheduler, worker
