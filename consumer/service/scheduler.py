"""The page scheduler: pages of all documents in flight, fairly, from the renderer to the engine.

Pages are rendered ahead of reading, but never more than the window holds, however long the documents are;
so memory and disk do not grow with them. Batches take pages of the documents in turn, so a one-page letter
behind a long report waits for a batch or two, not for the report.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import KW_ONLY, dataclass, field
from pathlib import Path
from typing import Final

import structlog

from consumer.clock import Watchdog
from consumer.domain.errors import Code, PageError
from consumer.domain.page import PageImage
from consumer.domain.parts import PageRange
from consumer.domain.result import PageResult, failed_page
from consumer.metrics import Metrics
from consumer.ports import Recognizer, RenderedDocument
from consumer.service.disk_space import DiskSpace
from consumer.service.page_window import PageWindow
from consumer.service.round_robin import RoundRobin

#: After so many pages in a row on which a renderer or an engine hung, the rest of a document is not tried:
#: at a minute or two each, a long one would hold up others for days.
_HUNG_PAGES: Final = 3

#: Most pages of a document that wait, read or not, for a slow one before them: each is a value in memory.
_PENDING_PAGES: Final = 256

_TIMEOUTS: Final = frozenset({Code.RENDER_TIMEOUT, Code.ENGINE_TIMEOUT})

log = structlog.get_logger(__name__)


@dataclass(eq=False, slots=True)
class _ReadyPage:
    image: PageImage
    result: asyncio.Future[PageResult]
    is_part: bool


@dataclass(eq=False)
class _Run:
    """The pages of one document that were begun and not yet handed on.

    `next_page`: the next to be handed on; `last_page`: the last of all. `is_part`: they are a part of it.
    `hung`: codes of the latest consecutive pages that timed out.
    """

    add: Callable[[PageResult], None]
    next_page: int
    last_page: int
    is_part: bool
    pending: deque[asyncio.Future[PageResult]] = field(default_factory=deque)
    hung: list[Code] = field(default_factory=list)

    @property
    def is_hopeless(self) -> bool:
        """Whether the rest of the document is not worth a try."""
        return len(self.hung) >= _HUNG_PAGES

    def hand_on(self) -> None:
        """Hand on the pages that are read, in page order."""
        while self.pending and self.pending[0].done() and not self.is_hopeless:
            page = self.pending.popleft().result()
            self.hung = [*self.hung, page.failure] if page.failure in _TIMEOUTS else []
            self.next_page += 1
            self.add(page)


@dataclass(eq=False)
class PageScheduler:
    """Reads documents page by page.

    `watchdog`: marked at every step of any document. `batch_pages`: most pages handed to an engine at once;
    `window_pages`: most pages of all documents that are rendered and not yet read.
    """

    recognizer: Recognizer
    disk_space: DiskSpace
    watchdog: Watchdog
    metrics: Metrics
    _: KW_ONLY
    batch_pages: int
    window_pages: int
    _ready: RoundRobin[_ReadyPage] = field(default_factory=RoundRobin, init=False)
    _has_ready: asyncio.Event = field(default_factory=asyncio.Event, init=False)

    def __post_init__(self) -> None:
        self._window = PageWindow(self.window_pages, self.metrics)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Keep the engines busy as long as the context lasts."""
        async with asyncio.TaskGroup() as group:
            dispatchers = [
                group.create_task(self._dispatch(), name=f"dispatch to engine {n}")
                for n in range(self.recognizer.concurrency)
            ]
            yield
            for dispatcher in dispatchers:
                dispatcher.cancel()

    async def run(
        self,
        document: RenderedDocument,
        add: Callable[[PageResult], None],
        pages: PageRange | None = None,
    ) -> Code | None:
        """Render and read these pages, by default all; `add` gets each, in page order.

        A page that cannot be rendered or read is a failed one, and the rest go on; after three in a row that
        hung, the rest is not tried, and the code of the last of them is returned. A cancelled document takes
        its waiting pages with it.
        """
        is_part = pages is not None
        pages = pages or PageRange(1, document.page_count)
        run = _Run(add, pages.first, pages.last, is_part)
        try:
            await self._read_all(run, document)
            return run.hung[-1] if run.is_hopeless else None
        except asyncio.CancelledError:
            # It may have waited for a place in the window while pages of it were read.
            if not any(page.done() and page.exception() for page in run.pending):
                run.hand_on()
            raise
        finally:
            self._drop_ready(run)
            for result in run.pending:
                # An error that nobody waits for any more is the same as the one that ended the document.
                if not result.cancel() and not result.cancelled():
                    result.exception()

    async def _read_all(self, run: _Run, document: RenderedDocument) -> None:
        while run.next_page <= run.last_page and not run.is_hopeless:
            page_number = run.next_page + len(run.pending)
            if page_number <= run.last_page and len(run.pending) < _PENDING_PAGES:
                run.pending.append(await self._render(run, document, page_number))
                self.watchdog.mark()
            else:
                await asyncio.wait([run.pending[0]])
            run.hand_on()
        if run.is_hopeless:
            await self._skip_rest(run)

    async def _skip_rest(self, run: _Run) -> None:
        """Hand on what an engine has already begun to read, and mark all other pages as not tried."""
        self._drop_ready(run)
        code = run.hung[-1]
        for page_number in range(run.next_page, run.last_page + 1):
            result = run.pending.popleft() if run.pending else None
            if result is None or result.cancelled():
                reason = f"{_HUNG_PAGES} pages in a row before it took too long"
                run.add(self.not_tried(page_number, code, reason))
            else:
                run.add(await result)

    def not_tried(self, page_number: int, code: Code, reason: str) -> PageResult:
        """Make the result of a page that is not worth a try."""
        return self._counted(failed_page(page_number, code, f"not tried: {reason}"))

    async def _render(
        self, run: _Run, document: RenderedDocument, page_number: int
    ) -> asyncio.Future[PageResult]:
        """Wait for a place in the window, render a page, and queue it; the future gets its result."""
        result: asyncio.Future[PageResult] = asyncio.get_running_loop().create_future()

        async def attempt() -> PageImage:
            # Given back while the document waits for disk space: the pages ahead of it free that.
            await self._window.enter(is_part=run.is_part)
            try:
                return await document.render(page_number)
            except BaseException:
                self._window.leave(is_part=run.is_part)
                raise
            finally:
                self.watchdog.mark()

        try:
            image = await self.disk_space.run_when_free(attempt)
        except PageError as error:
            result.set_result(self._counted(failed_page(page_number, error.code, error.message)))
        else:
            self.disk_space.hold()
            goes_first = page_number == 1 and not run.is_part
            self._ready.add(run, _ReadyPage(image, result, run.is_part), goes_first=goes_first)
            self._has_ready.set()
        return result

    async def _dispatch(self) -> None:
        """Hand batches to one engine until cancelled."""
        while True:
            while not (batch := self._ready.take(self.batch_pages)):
                self._has_ready.clear()
                await self._has_ready.wait()
            try:
                results = await self.recognizer.read([page.image for page in batch])
                for page, result in zip(batch, results, strict=True):
                    self._counted(result)
                    if not page.result.done():
                        page.result.set_result(result)
            except Exception as error:  # noqa: BLE001 - raised again in the documents' own tasks
                for page in batch:
                    if not page.result.done():
                        page.result.set_exception(error)
            finally:
                self.watchdog.mark()
                for page in batch:
                    self._delete(page)

    def _drop_ready(self, run: _Run) -> None:
        """Take back the pages of a document that no engine has begun to read."""
        for page in self._ready.discard(run):
            page.result.cancel()
            self._delete(page)

    def _delete(self, page: _ReadyPage) -> None:
        """Delete the image, which frees space for another page."""
        try:
            Path(page.image.path).unlink(missing_ok=True)
        except OSError as error:
            log.warning("page.not_deleted", path=page.image.path, error=str(error))
        self.disk_space.release()
        self._window.leave(is_part=page.is_part)

    def _counted(self, result: PageResult) -> PageResult:
        self.metrics.count_page(result)
        return result
