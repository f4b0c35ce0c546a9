"""What the consumer needs of the world, as Protocols; `adapters` fulfil them, tests fake them."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol

from consumer.domain.completion import Completion
from consumer.domain.formats import Format
from consumer.domain.page import PageImage
from consumer.domain.result import PageResult, Source

#: Announces a document that has a result; raises ServiceError where that is not possible now.
Announce = Callable[[Completion], Awaitable[None]]

#: Called at every step forward of the work on a message.
Progress = Callable[[], None]


@dataclass(frozen=True, slots=True)
class Message:
    """A message in our hands. `received_at` is monotonic seconds, taken before it was asked for."""

    message_id: str
    receipt: str
    body: str
    receive_count: int
    sent_at: datetime
    received_at: float


class Queue(Protocol):
    """The queue of work; raises ServiceError where it cannot be reached or refuses."""

    async def receive(self) -> Message | None:
        """Wait a few seconds for a message and lease it; None where there was none.

        One call at a time. Must not be cancelled: a message the service has already handed out would
        stay hidden until its lease ends.
        """
        ...

    async def max_receive_count(self) -> int | None:
        """How often a message is received before the queue gives it up; None where it never does."""
        ...

    async def delete(self, message: Message) -> None:
        """Delete the message for good."""
        ...

    async def retry_after(self, message: Message, delay_s: int) -> None:
        """Let others see the message again after `delay_s` seconds."""
        ...


class Lease(Protocol):
    """Our hold on a message, kept up while its work makes progress."""

    @property
    def lost(self) -> asyncio.Event:
        """Set when the message may be in other hands: stop the work, and do not touch the message."""
        ...

    @property
    def overdue(self) -> asyncio.Event:
        """Set when the work has taken too long: end it, and settle the message, which is still ours."""
        ...

    @property
    def reason(self) -> str:
        """Why it is overdue."""
        ...

    def progress(self) -> None:
        """Say that the work has come a step further."""
        ...


class LeaseKeeper(Protocol):
    """Keeps leases."""

    def hold(self, message: Message) -> AbstractAsyncContextManager[Lease]:
        """Keep the message hidden from others until the context ends.

        After that no renewal touches the message's visibility any more, and `lost` tells whether the lease
        has ended before.
        """
        ...


@dataclass(frozen=True, slots=True)
class ObjectHead:
    """What a HEAD tells. `metadata` is the user metadata, names in lower case."""

    source: Source
    metadata: Mapping[str, str]


class ObjectStore(Protocol):
    """The bucket; raises ServiceError where it cannot be reached or refuses."""

    async def check_bucket(self, bucket: str) -> None:
        """Raise ServiceError where the bucket does not exist or may not be used."""
        ...

    async def head(self, bucket: str, key: str) -> ObjectHead | None:
        """Look at an object as it is now; None where there is none."""
        ...

    async def read_start(self, source: Source, size_bytes: int) -> bytes:
        """Return the first bytes of this very object; SourceChangedError, SourceGoneError."""
        ...

    async def download(self, source: Source, path: Path, progress: Progress) -> None:
        """Write this very object to a file; SourceChangedError, SourceGoneError where it is another."""
        ...

    async def put_result(
        self, bucket: str, key: str, body: bytes, metadata: Mapping[str, str], *, replaces: str | None
    ) -> None:
        """Write the result, only if the object there still has the ETag `replaces` (None: is absent).

        Raises ConflictError where it is another by now.
        """
        ...


class RenderedDocument(Protocol):
    """An opened document."""

    @property
    def page_count(self) -> int:
        """Number of pages, at least 1."""
        ...

    async def render(self, page_number: int) -> PageImage:
        """Render a page (from 1); raises PageError. The caller deletes the file."""
        ...


class Renderer(Protocol):
    """Turns documents into page images."""

    def open(self, path: Path, file_format: Format) -> AbstractAsyncContextManager[RenderedDocument]:
        """Open a downloaded file for as long as the context lasts; raises DocumentError."""
        ...


class Recognizer(Protocol):
    """Reads page images."""

    @property
    def concurrency(self) -> int:
        """How many batches are read at the same time."""
        ...

    async def read(self, images: Sequence[PageImage]) -> Sequence[PageResult]:
        """Read pages, in their order; a page that cannot be read comes back as a failed one."""
        ...


class Clock(Protocol):
    """The time."""

    def now(self) -> datetime:
        """Wall-clock time, aware, for people."""
        ...

    def monotonic(self) -> float:
        """Seconds that never go back, for durations."""
        ...
