"""Rendering pages in child processes."""

import uuid
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

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


class RenderPool:
    """Render processes; a document stays with the one that opened it.

    `max_pages`: most pages that a process may count in a document.
    """

    def __init__(
        self, slots: Sequence[Slot], pages_dir: Path, max_pages: int, deadline_s: float = DEADLINE_S
    ) -> None:
        self._slots = slots
        self._pages_dir = pages_dir
        self._max_pages = max_pages
        self._deadline_s = deadline_s
        self._documents: Counter[Slot] = Counter()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Keep the processes running until the context ends; raises HostError."""
        async with running_slots(self._slots):
            yield

    async def check(self) -> None:
        """Raise HostError if no process is running and none can be started."""
        # A busy slot finds out itself.
        if not any(slot.is_running or slot.load for slot in self._slots):
            await self._slots[0].start()

    @asynccontextmanager
    async def open(self, path: Path, file_format: Format) -> AsyncIterator["Document"]:
        """Open a downloaded file in the process with the fewest documents; raises DocumentError.

        The process closes it after its last page, or when it has to open others.
        """
        slot = min(self._slots, key=lambda slot: (not slot.is_running, self._documents[slot], slot.load))
        self._documents[slot] += 1
        try:
            count = await self._open(slot, path, file_format)
            yield Document(self, slot, path, file_format, count)
        finally:
            self._documents[slot] -= 1

    async def _open(self, slot: Slot, path: Path, file_format: Format) -> int:
        try:
            reply = await self.request(slot, protocol.OpenDocument(path=str(path), format=file_format))
        except PageError as error:
            raise DocumentError(error.code, error.message) from error
        match reply:
            case protocol.DocumentOpened(page_count=count) if count <= self._max_pages:
                return count
            case protocol.RequestFailed(code=code, message=message):
                raise DocumentError(code, message)
            case _:
                raise ChildError(f"a renderer answered open with {reply}")

    async def request(self, slot: Slot, request: protocol.Request) -> protocol.Reply:
        """Send a request, twice if the process dies; raises PageError if it dies again or hangs."""
        for _ in range(_TRIES):
            try:
                return await slot.request(request, self._deadline_s)
            except ChildTimeoutError as error:
                # Not tried again: a page that hangs would hang twice as long.
                raise PageError(Code.RENDER_TIMEOUT, str(error)) from error
            except ChildKilledError as error:
                # The slot has tried it often enough already.
                raise PageError(Code.RENDER_CRASH, str(error)) from error
            except ChildError as error:
                last = error
        raise PageError(Code.RENDER_CRASH, str(last)) from last

    def new_image_path(self) -> Path:
        """Name a file for the image of a page."""
        return self._pages_dir / f"{uuid.uuid4().hex}.bgr"


class Document:
    """A document opened in a render process; a new process opens it again if that one dies."""

    def __init__(
        self, pool: RenderPool, slot: Slot, path: Path, file_format: Format, page_count: int
    ) -> None:
        self._pool = pool
        self._slot = slot
        self._path = path
        self._format = file_format
        self._source_bytes = path.stat().st_size
        self.page_count = page_count

    async def render(self, page_number: int) -> PageImage:
        """Render a page (from 1) to a file of its own; raises PageError."""
        image_path = self._pool.new_image_path()
        request = protocol.RenderPage(
            path=str(self._path),
            format=self._format,
            page_number=page_number,
            image_path=str(image_path),
        )
        try:
            return _image(await self._pool.request(self._slot, request))
        except BaseException as error:
            image_path.unlink(missing_ok=True)
            if isinstance(error, DiskFullError):
                # A retry of the document needs space for its source as well.
                raise DiskFullError(str(error), error.needed_bytes + self._source_bytes) from error
            raise


def _image(reply: protocol.Reply) -> PageImage:
    match reply:
        case PageImage():
            return reply
        case protocol.RequestFailed(code=code, message=message):
            raise PageError(code, message)
        case _:
            raise ChildError(f"a renderer answered with {reply.kind}")
