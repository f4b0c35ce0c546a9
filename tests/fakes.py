"""The world in memory, for tests of the pipeline and the worker; fulfils `consumer.ports`."""

import asyncio
import hashlib
import math
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from consumer.domain.errors import (
    Code,
    ConflictError,
    DocumentError,
    ServiceError,
    SourceChangedError,
    SourceGoneError,
)
from consumer.domain.formats import Format
from consumer.domain.page import PageImage
from consumer.domain.result import Detection, Engine, Page, PageResult, Source, Status
from consumer.metrics import Metrics
from consumer.ports import Message, ObjectHead, Progress
from consumer.service.disk_space import DiskSpace
from consumer.service.pipeline import Pipeline
from consumer.service.scheduler import PageScheduler
from tests.model.virtual_time import VirtualClock

BUCKET = "inbox"
ENGINE = Engine(name="fake", version="1", models={}, device="cpu", fingerprint="sha256:1")


def page_image(page_number: int, path: Path) -> PageImage:
    """A page of 100 by 100 pixels, said to lie in this file."""
    return PageImage(
        page_number=page_number,
        path=str(path),
        width_px=100,
        height_px=100,
        scale=2.0,
        dpi=144.0,
        downscaled=False,
        render_s=0.1,
    )


class FakeClock:
    """Wall-clock time that moves a second at every look."""

    def __init__(self) -> None:
        self._seconds = 0

    def now(self) -> datetime:
        self._seconds += 1
        return datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=self._seconds)

    def monotonic(self) -> float:
        self._seconds += 1
        return float(self._seconds)


@dataclass
class StoredObject:
    body: bytes
    metadata: Mapping[str, str] = field(default_factory=dict)
    version_id: str | None = None

    @property
    def etag(self) -> str:
        return hashlib.md5(self.body).hexdigest()


class MemoryStore:
    """A bucket; it keeps what is uploaded as a version.

    `calls` lists what was asked; `before[operation]` runs once, before the operation does.
    """

    def __init__(self) -> None:
        self.objects: dict[str, StoredObject] = {}
        self._versions: dict[tuple[str, str], StoredObject] = {}
        self.calls: list[tuple[str, str]] = []
        self.before: dict[str, Callable[[], None]] = {}
        self.lose_answer_of_put = False

    def upload(self, key: str, body: bytes, version_id: str | None = None) -> StoredObject:
        stored = self.objects[key] = StoredObject(body, version_id=version_id)
        if version_id is not None:
            self._versions[key, version_id] = stored
        return stored

    def _called(self, operation: str, key: str) -> None:
        self.calls.append((operation, key))
        if (action := self.before.pop(operation, None)) is not None:
            action()

    async def check_bucket(self, bucket: str) -> None:
        _must_exist(bucket)

    async def head(self, bucket: str, key: str) -> ObjectHead | None:
        self._called("head", key)
        if bucket != BUCKET or (found := self.objects.get(key)) is None:
            return None
        source = Source(
            bucket=bucket,
            key=key,
            version_id=found.version_id,
            etag=found.etag,
            size_bytes=len(found.body),
            content_type=None,
            last_modified=datetime(2026, 1, 1, tzinfo=UTC),
        )
        return ObjectHead(source, found.metadata)

    async def read_start(self, source: Source, size_bytes: int) -> bytes:
        self._called("read_start", source.key)
        return self._pinned(source)[:size_bytes]

    async def download(self, source: Source, path: Path, progress: Progress) -> None:
        self._called("download", source.key)
        path.write_bytes(self._pinned(source))
        progress()

    def _pinned(self, source: Source) -> bytes:
        _must_exist(source.bucket)
        if source.version_id is None:
            found = self.objects.get(source.key)
        else:
            found = self._versions.get((source.key, source.version_id))
        if found is None:
            raise SourceGoneError(source.key)
        if found.etag != source.etag:
            raise SourceChangedError(source.key)
        return found.body

    async def put_result(
        self, bucket: str, key: str, body: bytes, metadata: Mapping[str, str], *, replaces: str | None
    ) -> None:
        self._called("put", key)
        _must_exist(bucket)
        there = self.objects.get(key)
        if (there.etag if there else None) != replaces:
            raise ConflictError(key)
        self.objects[key] = StoredObject(body, dict(metadata))
        if self.lose_answer_of_put:
            # As the SDK shows it: the put is sent again, and the service refuses the second one.
            raise ConflictError(key)


def _must_exist(bucket: str) -> None:
    if bucket != BUCKET:
        raise ServiceError(f"no bucket s3://{bucket}")


class TextRenderer:
    """Documents whose bytes are `%PDF-` and their text, a form feed between pages."""

    def __init__(self, pages_dir: Path) -> None:
        self._pages_dir = pages_dir

    @asynccontextmanager
    async def open(self, path: Path, file_format: Format) -> AsyncIterator["TextDocument"]:
        text = path.read_bytes().removeprefix(b"%PDF-")
        if text == b"broken":
            raise DocumentError(Code.CORRUPT_DOCUMENT, "it is broken")
        yield TextDocument(text.split(b"\f"), self._pages_dir)


class TextDocument:
    def __init__(self, pages: Sequence[bytes], pages_dir: Path) -> None:
        self._pages = pages
        self._pages_dir = pages_dir
        self.page_count = len(pages)

    async def render(self, page_number: int) -> PageImage:
        path = self._pages_dir / f"{id(self)}-{page_number}.bgr"
        path.write_bytes(self._pages[page_number - 1])
        return page_image(page_number, path)


class TextRecognizer:
    """Reads what `TextRenderer` rendered, or fails. `gate`: nothing is read while it is closed."""

    concurrency = 1

    def __init__(self) -> None:
        self.pages_read = 0
        self.failure: Exception | None = None
        self.breaker = asyncio.Event()
        self.breaker.set()
        self.reading = asyncio.Event()

    async def read(self, images: Sequence[PageImage]) -> Sequence[PageResult]:
        self.reading.set()
        await self.breaker.wait()
        if self.failure is not None:
            raise self.failure
        self.pages_read += len(images)
        return [_page_result(image, Path(image.path).read_text()) for image in images]


def _page_result(image: PageImage, text: str) -> PageResult:
    box = ((0, 0), (9, 0), (9, 9), (0, 9))
    number = image.page_number
    return PageResult(
        page=Page(page_number=number, status=Status.SUCCESS, width_px=100, height_px=100, scale=2, dpi=144),
        detections=(Detection(text=text, box=box, confidence=0.9, page_number=number),),
    )


@dataclass
class QueuedMessage:
    body: str
    sent_at: datetime
    receive_count: int
    visible_at: float
    receipt: str = ""


class MemoryQueue:
    """A queue that remembers what became of its messages.

    Time passes for it where a test moves its `clock`; those that were received the least come first.
    """

    def __init__(self, lease_s: float = 300) -> None:
        self.clock = VirtualClock()
        self.messages: dict[str, QueuedMessage] = {}
        self._lease_s = lease_s
        self._shown = asyncio.Event()
        self.asked = asyncio.Event()
        self.poll_s = 0.05
        self.received = 0
        self.deleted: list[str] = []
        self.returned: dict[str, int] = {}
        self.most_receives: int | None = 5
        self.failures: list[Exception] = []
        self.settled = asyncio.Condition()

    def put(self, message_id: str, body: str, receive_count: int = 1) -> None:
        """Send a message; when it comes, it is received for the `receive_count`-th time."""
        now = self.clock.now()
        self.messages[message_id] = QueuedMessage(body, now, receive_count - 1, self.clock.seconds)
        self._shown.set()

    async def receive(self) -> Message | None:
        self.asked.set()
        if self.failures:
            raise self.failures.pop()
        asked_at = self.clock.seconds
        try:
            async with asyncio.timeout(self.poll_s):
                while (message_id := self._next()) is None:
                    self._shown.clear()
                    await self._shown.wait()
        except TimeoutError:
            return None
        self.received += 1
        there = self.messages[message_id]
        there.receive_count += 1
        there.receipt = f"{message_id} #{there.receive_count}"
        there.visible_at = self.clock.seconds + self._lease_s
        return Message(message_id, there.receipt, there.body, there.receive_count, there.sent_at, asked_at)

    def _next(self) -> str | None:
        """Give up the messages that were received too often, and choose one of the others."""
        most = math.inf if self.most_receives is None else self.most_receives
        visible = {name: m for name, m in self.messages.items() if m.visible_at <= self.clock.seconds}
        for name in [name for name, m in visible.items() if m.receive_count >= most]:
            del self.messages[name], visible[name]
        return min(visible, key=lambda name: visible[name].receive_count, default=None)

    def _held(self, message: Message) -> QueuedMessage | None:
        """Find the message, if this is the last that was handed out of it."""
        there = self.messages.get(message.message_id)
        return there if there is not None and there.receipt == message.receipt else None

    async def max_receive_count(self) -> int | None:
        return self.most_receives

    async def delete(self, message: Message) -> None:
        if self._held(message) is not None:
            del self.messages[message.message_id]
            self.deleted.append(message.message_id)
        await self._notify()

    async def retry_after(self, message: Message, delay_s: int) -> None:
        if (there := self._held(message)) is None:
            raise ServiceError(f"{message.receipt} is not in flight")
        there.visible_at = self.clock.seconds + delay_s
        self._shown.set()
        self.returned[message.message_id] = delay_s
        await self._notify()

    async def _notify(self) -> None:
        async with self.settled:
            self.settled.notify_all()

    async def until(self, holds: Callable[[], bool]) -> None:
        """Wait, with a deadline, until something holds after a message was settled."""
        async with asyncio.timeout(10), self.settled:
            await self.settled.wait_for(holds)


class FakeLease:
    def __init__(self) -> None:
        self.lost = asyncio.Event()
        self.overdue = asyncio.Event()
        self.reason = "no progress in 300 s"
        self.steps = 0

    def progress(self) -> None:
        self.steps += 1


class FakeLeases:
    """Leases that are lost when a test says so; `held` are those of now."""

    def __init__(self) -> None:
        self.held: dict[str, FakeLease] = {}

    @asynccontextmanager
    async def hold(self, message: Message) -> AsyncIterator[FakeLease]:
        lease = self.held[message.message_id] = FakeLease()
        try:
            yield lease
        finally:
            del self.held[message.message_id]


@dataclass
class World:
    """A pipeline over a bucket in memory; `work_dir` is where its files lie while they are needed."""

    store: MemoryStore
    recognizer: TextRecognizer
    pipeline: Pipeline
    work_dir: Path
    metrics: Metrics


@asynccontextmanager
async def memory_world(work_dir: Path) -> AsyncIterator[World]:
    """A world whose engine is named by `ENGINE`, and files of more than 1,000 bytes are too large for."""
    store, recognizer, metrics = MemoryStore(), TextRecognizer(), Metrics()
    room = DiskSpace(work_dir)
    scheduler = PageScheduler(recognizer, room, metrics, batch_pages=2, window_pages=4)
    pipeline = Pipeline(
        store,
        TextRenderer(work_dir),
        scheduler,
        ENGINE,
        room,
        work_dir=work_dir,
        max_file_bytes=1000,
        clock=FakeClock(),
        metrics=metrics,
    )
    async with scheduler.running():
        yield World(store, recognizer, pipeline, work_dir, metrics)
