"""Rendering pages in child processes."""

import uuid
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeVar

from consumer import protocol
from consumer.domain.errors import ChildError, Code, DiskFullError, DocumentError, PageError
from consumer.domain.formats import Format
from consumer.domain.page import PageImage
from consumer.processes.process import ChildKilledError, ChildTimeoutError
from consumer.processes.slot import Slot, running_slots

#: Longest time to open a document or to render one page.
DEADLINE_S: Final = 60.0

#: A process may die of the remains of other documents, so its request gets a second try in a new one; a page
#: that ends two processes is the cause itself.
_TRIES: Final = 2


_Reply = TypeVar("_Reply", protocol.DocumentOpened, PageImage)


@dataclass(eq=False)
class RenderPool:
    """Render processes; a document stays with the one that opened it.

    `max_pages`: most pages that a process may count in a document.
    """

    slots: Sequence[Slot]
    pages_dir: Path
    max_pages: int
    deadline_s: float = DEADLINE_S
    _documents: Counter[Slot] = field(default_factory=Counter, init=False)

    def running(self) -> AbstractAsyncContextManager[None]:
        """Keep the processes running until the context ends; raises HostError."""
        return running_slots(self.slots)

    async def check(self) -> None:
        """Raise HostError if no process is running and none can be started."""
        # A busy slot finds out itself.
        if not any(slot.is_running or slot.load for slot in self.slots):
            await self.slots[0].start()

    @asynccontextmanager
    async def open(self, path: Path, file_format: Format) -> AsyncIterator["Document"]:
        """Open a downloaded file in the process with the fewest documents; raises DocumentError.

        The process closes it after its last page, or when it has to open others.
        """
        slot = min(self.slots, key=lambda slot: (not slot.is_running, self._documents[slot], slot.load))
        self._documents[slot] += 1
        try:
            count = await self._page_count(slot, path, file_format)
            source_bytes = path.stat().st_size  # noqa: ASYNC240 - a local file, just written
            yield Document(self, slot, path, file_format, count, source_bytes)
        finally:
            self._documents[slot] -= 1

    async def _page_count(self, slot: Slot, path: Path, file_format: Format) -> int:
        request = protocol.OpenDocument(path=str(path), format=file_format)
        try:
            opened = await self.request(slot, request, protocol.DocumentOpened)
        except PageError as error:
            raise DocumentError(error.code, error.message) from error
        if opened.page_count > self.max_pages:
            raise ChildError(f"a renderer counted {opened.page_count} pages")
        return opened.page_count

    async def request(self, slot: Slot, request: protocol.Request, expected: type[_Reply]) -> _Reply:
        """Send a request, twice if the process dies; raises PageError if it fails, dies again or hangs."""
        for _ in range(_TRIES):
            try:
                reply = await slot.request(request, self.deadline_s)
                break
            except ChildTimeoutError as error:
                # Not tried again: a page that hangs would hang twice as long.
                raise PageError(Code.RENDER_TIMEOUT, str(error)) from error
            except ChildKilledError as error:
                # The slot has tried it often enough already.
                raise PageError(Code.RENDER_CRASH, str(error)) from error
            except ChildError as error:
                last = error
        else:
            raise PageError(Code.RENDER_CRASH, str(last)) from last
        if isinstance(reply, protocol.RequestFailed):
            raise PageError(reply.code, reply.message)
        if not isinstance(reply, expected):
            raise ChildError(f"a renderer sent {reply.kind}")
        return reply


@dataclass(frozen=True, slots=True)
class Document:
    """A document opened in a render process; a new process opens it again if that one dies."""

    pool: RenderPool
    slot: Slot
    path: Path
    file_format: Format
    page_count: int
    source_bytes: int

    async def render(self, page_number: int) -> PageImage:
        """Render a page (from 1) to a file of its own; raises PageError."""
        image_path = self.pool.pages_dir / f"{uuid.uuid4().hex}.bgr"
        request = protocol.RenderPage(
            path=str(self.path), format=self.file_format, page_number=page_number, image_path=str(image_path)
        )
        try:
            return await self.pool.request(self.slot, request, PageImage)
        except BaseException as error:
            image_path.unlink(missing_ok=True)
            if isinstance(error, DiskFullError):
                # A retry of the document needs space for its source as well.
                raise DiskFullError(str(error), error.needed_bytes + self.source_bytes) from error
            raise
