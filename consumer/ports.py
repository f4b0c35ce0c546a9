"""Ports of the service to the world, as Protocols: other packages implement them, tests pass fakes."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import NamedTuple, Protocol

from consumer.clock import Watchdog
from consumer.domain.body import Body
from consumer.domain.completion import Completion
from consumer.domain.errors import DocumentError
from consumer.domain.formats import Format
from consumer.domain.page import PageImage
from consumer.domain.result import PageResult, Source, Warning  # noqa: A004 - the contract's word

#: Announces a document that has a result; raises ServiceError if that is not possible now.
Announce = Callable[[Completion], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Message:
    """A received message. `received_at` is monotonic seconds, taken before the receive was sent."""

    message_id: str
    receipt: str
    body: str
    receive_count: int
    sent_at: datetime
    received_at: float


class Queue(Protocol):
    """The queue of work; raises ServiceError if it cannot be reached or refuses."""

    async def receive(self) -> Message | None:
        """Wait a few seconds for a message and lease it; None if there was none.

        One call at a time. It must not be cancelled: a message that the service has already handed out
        would stay hidden until its lease ends.
        """

    async def max_receive_count(self) -> int | None:
        """Return the queue's maxReceiveCount; None if it has no redrive policy."""

    async def send(self, bodies: Sequence[str], delay_s: int = 0) -> None:
        """Send messages, which can be received after `delay_s` seconds (at most 900).

        Raises ServiceError unless all were sent; some may have been sent then, and one may be sent twice.
        """

    async def delete(self, message: Message) -> None:
        """Delete the message for good."""

    async def retry_after(self, message: Message, delay_s: int) -> None:
        """Make the message visible again after `delay_s` seconds."""


class DeadLetterQueue(Protocol):
    """Messages that used up their receives; raises ServiceError if SQS cannot be reached or refuses."""

    #: How many it had when it was opened, and how many of other readers were hidden; SQS counts roughly.
    visible: int
    hidden: int

    def look(self) -> AsyncGenerator[Sequence[Message]]:
        """Yield all messages, a few at a time, each once. All that are not deleted are visible at the end."""

    async def delete(self, messages: Sequence[Message]) -> None:
        """Delete messages for good, of those that `look` yielded last."""


class Lease(Protocol):
    """Our hold on a message, renewed while its work makes progress."""

    #: Set when the message may be in other hands: stop the work, and do not touch the message.
    lost: asyncio.Event
    #: Set when the work has taken too long: end it, and settle the message, which is still ours.
    overdue: asyncio.Event
    #: Why it is overdue.
    reason: str


class LeaseKeeper(Protocol):
    """Keeps leases."""

    def hold(self, message: Message, watchdog: Watchdog) -> AbstractAsyncContextManager[Lease]:
        """Keep the message hidden from others until the context ends, while `watchdog` sees progress.

        After that no renewal touches the message's visibility any more, and `lost` says whether the lease
        ended before.
        """


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """An object as HEAD describes it. `metadata` is the user metadata, names in lower case.

    `unreadable`: why its bytes cannot be had, None if they can.
    """

    source: Source
    metadata: Mapping[str, str]
    unreadable: DocumentError | None = None

    @property
    def etag(self) -> str:
        """Its ETag, without quotation marks."""
        return self.source.etag


class ListedObject(NamedTuple):
    """An object as a listing describes it; `etag` without quotation marks."""

    key: str
    etag: str
    size_bytes: int
    last_modified: datetime


@dataclass(frozen=True, slots=True)
class NewObject:
    """An object to be written, with its user metadata."""

    bucket: str
    key: str
    body: Body
    metadata: Mapping[str, str]
    content_type: str = "application/json"


class ObjectStore(Protocol):
    """The bucket; raises ServiceError if it cannot be reached or refuses."""

    async def check_bucket(self, bucket: str) -> None:
        """Raise ServiceError if the bucket does not exist or may not be used."""

    async def head(self, bucket: str, key: str) -> ObjectInfo | None:
        """Describe an object as it is now; None if there is none."""

    async def find(self, bucket: str, key: str) -> ObjectInfo | None:
        """Describe an object by a listing, which tells no version and no metadata; None if there is none."""

    async def read_start(self, source: Source, size_bytes: int) -> bytes:
        """Return the first bytes of this very object; raises SourceChangedError, SourceGoneError."""

    async def download(self, source: Source, path: Path, watchdog: Watchdog) -> None:
        """Write this very object to a file; raises SourceChangedError, SourceGoneError if it is another.

        `watchdog` is marked with every chunk.
        """

    async def put(self, new: NewObject, watchdog: Watchdog, *, replaces: str | None) -> str:
        """Write an object only if the one there still has the ETag `replaces` (None: is absent).

        Returns the ETag of the new one. Raises ConflictError if there is another by now. `watchdog` is marked
        with every chunk.
        """

    async def put_new(self, new: NewObject, watchdog: Watchdog, tags: Mapping[str, str]) -> None:
        """Write an object only if there is none of this key; raises ConflictError if there is."""

    async def read(self, bucket: str, key: str) -> bytes | None:
        """Return a whole object, for objects known to be small; None if there is none."""

    async def delete(self, bucket: str, keys: Sequence[str]) -> None:
        """Delete objects; those that do not exist are no error."""

    def list(self, bucket: str, prefix: str) -> AsyncGenerator[tuple[str, str]]:
        """Yield key and ETag of the objects whose keys start with `prefix`, in the order of their keys."""


class Listing(Protocol):
    """A bucket that can be listed with sizes and times."""

    async def head(self, bucket: str, key: str) -> ObjectInfo | None:
        """Describe an object as it is now; None if there is none."""

    def listed(self, bucket: str, prefix: str) -> AsyncGenerator[ListedObject]:
        """Yield the objects whose keys start with `prefix`, in the order of their keys."""


class RenderedDocument(Protocol):
    """An opened document."""

    @property
    def page_count(self) -> int:
        """Number of pages, at least 1."""

    async def render(self, page_number: int) -> PageImage:
        """Render a page (from 1); raises PageError. The caller deletes the file."""


class Renderer(Protocol):
    """Turns documents into page images."""

    def open(self, path: Path, file_format: Format) -> AbstractAsyncContextManager[RenderedDocument]:
        """Open a downloaded file for as long as the context lasts; raises DocumentError."""


@dataclass(frozen=True, slots=True)
class SourceJob:
    """An output to be written from a downloaded source, into a new file.

    `pages`: a file with all pages of the document, a `PageResult` as JSON in each line.
    """

    output: str
    source: Path
    file_format: Format
    pages: Path
    target: Path


@dataclass(frozen=True, slots=True)
class SourceOutput:
    """An output that was written from its source: the endings of its objects' keys; warnings for the result.

    The file has the objects one after the other, of these sizes.
    """

    endings: Sequence[str]
    sizes_bytes: Sequence[int]
    warnings: Sequence[Warning]


class SourceOutputWriter(Protocol):
    """Writes outputs that need the source."""

    async def write(self, job: SourceJob, watchdog: Watchdog) -> SourceOutput:
        """Write an output; raises PageError if that is not possible. `watchdog` is marked with every page."""


class Recognizer(Protocol):
    """Recognizes the text of page images."""

    @property
    def concurrency(self) -> int:
        """How many batches are read at the same time."""

    async def read(self, images: Sequence[PageImage]) -> Sequence[PageResult]:
        """Read pages, in their order; a page that cannot be read comes back as a failed one."""
