"""Rendering in child processes."""

import contextlib
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from consumer import wire
from consumer.adapters.children import ChildTimeoutError
from consumer.adapters.seats import Seat, seated
from consumer.domain.errors import ChildError, Code, DocumentError, PageError, PassingError
from consumer.domain.formats import Format
from consumer.domain.page import PageImage

#: Longest time to open a document or to render one page.
DEADLINE_S: Final = 60.0

#: A child may be killed for what it did not do (memory ran out elsewhere), so its request gets a second
#: chance in a fresh one; a page that ends two children is to blame itself.
_TRIES: Final = 2


class RenderPool:
    """Render children; a document stays with the one that opened it."""

    def __init__(self, seats: Sequence[Seat], pages_dir: Path, deadline_s: float = DEADLINE_S) -> None:
        self._seats = seats
        self._pages_dir = pages_dir
        self._deadline_s = deadline_s

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Keep the children running as long as the context lasts; raises MachineError."""
        async with seated(self._seats):
            yield

    async def check(self) -> None:
        """Raise MachineError where no child is running and none can be started."""
        for seat in self._seats:
            # One that is at work sees for itself.
            if not seat.load:
                await seat.fill()

    @asynccontextmanager
    async def open(self, path: Path, file_format: Format) -> AsyncIterator["Document"]:
        """Open a downloaded file in the least busy child; raises DocumentError."""
        seat = min(self._seats, key=lambda seat: seat.load)
        try:
            reply = await self.request(seat, wire.OpenDocument(path=str(path), format=file_format))
        except PageError as error:
            raise DocumentError(error.code, error.message) from error
        match reply:
            case wire.DocumentOpened(page_count=count):
                pass
            case wire.Failed(code=code, message=message):
                raise DocumentError(code, message)
            case _:
                raise ChildError(f"a renderer answered open with {reply.kind}")
        yield Document(self, seat, path, file_format, count)
        # Work that failed or was cancelled does not wait for its turn: the child forgets the file when
        # it opens others.
        with contextlib.suppress(PassingError):
            await seat.request(wire.CloseDocument(path=str(path)), self._deadline_s)

    async def request(self, seat: Seat, request: wire.Request) -> wire.Reply:
        """Ask, twice where the child dies; raises PageError where that is of no use, or it hangs."""
        for _ in range(_TRIES):
            try:
                return await seat.request(request, self._deadline_s)
            except ChildTimeoutError as error:
                # Not tried again: a page that hangs would hang twice as long.
                raise PageError(Code.RENDER_TIMEOUT, str(error)) from error
            except ChildError as error:
                last = error
        raise PageError(Code.RENDER_CRASH, str(last)) from last

    def new_image_path(self) -> Path:
        """Name a file for the image of a page."""
        return self._pages_dir / f"{uuid.uuid4().hex}.bgr"


class Document:
    """A document opened in a render child; the child may die and open it again."""

    def __init__(
        self, pool: RenderPool, seat: Seat, path: Path, file_format: Format, page_count: int
    ) -> None:
        self._pool = pool
        self._seat = seat
        self._path = path
        self._format = file_format
        self.page_count = page_count

    async def render(self, page_number: int) -> PageImage:
        """Render a page (from 1) to a file of its own; raises PageError."""
        image_path = self._pool.new_image_path()
        request = wire.RenderPage(
            path=str(self._path),
            format=self._format,
            page_number=page_number,
            image_path=str(image_path),
        )
        try:
            return _image(await self._pool.request(self._seat, request))
        except BaseException:
            image_path.unlink(missing_ok=True)
            raise


def _image(reply: wire.Reply) -> PageImage:
    match reply:
        case PageImage():
            return reply
        case wire.Failed(code=code, message=message):
            raise PageError(code, message)
        case _:
            raise ChildError(f"a renderer answered with {reply.kind}")
