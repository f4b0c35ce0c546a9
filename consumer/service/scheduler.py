"""The page scheduler: pages of all documents in work, fairly, from the renderer to the engine.

Pages are rendered ahead of reading, but never more than the window holds, whatever the documents'
lengths; so memory and disk do not grow with them. Batches take pages of the documents in turn, so a
one-page letter behind a long report waits for a batch or two, not for the report.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Hashable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Generic, TypeVar

import structlog

from consumer.domain.assembly import EncodedPage
from consumer.domain.errors import Code, PageError
from consumer.domain.page import PageImage
from consumer.domain.result import PageResult, failed_page
from consumer.metrics import Metrics
from consumer.ports import Progress, Recognizer, RenderedDocument
from consumer.service.disk_space import DiskSpace

_Item = TypeVar("_Item")

#: After so many pages in a row on which a renderer or an engine hung, the rest of a document is not tried: a
#: minute or two for each would be days for a long one, in which others wait.
_HUNG_PAGES: Final = 3

log = structlog.get_logger(__name__)


class RoundRobin(Generic[_Item]):
    """A queue of many owners' items, which takes one of each owner in turn, each owner's in order."""

    def __init__(self) -> None:
        # Owners with items only; the first is served next.
        self._items: dict[Hashable, deque[_Item]] = {}

    def __len__(self) -> int:
        return sum(map(len, self._items.values()))

    def add(self, owner: Hashable, item: _Item) -> None:
        """Queue an item; a new owner is served after all that wait already."""
        self._items.setdefault(owner, deque()).append(item)

    def take(self, count: int) -> list[_Item]:
        """Remove and return up to `count` items."""
        taken: list[_Item] = []
        while self._items and len(taken) < count:
            owner, items = next(iter(self._items.items()))
            del self._items[owner]
            taken.append(items.popleft())
            if items:
                self._items[owner] = items
        return taken

    def discard(self, owner: Hashable) -> list[_Item]:
        """Remove and return all items of one owner."""
        return list(self._items.pop(owner, ()))


@dataclass(eq=False, slots=True)
class _ReadyPage:
    image: PageImage
    answer: asyncio.Future[EncodedPage]


class PageScheduler:
    """Reads documents page by page.

    `batch_pages`: most pages handed to an engine at once; `window_pages`: most pages of all documents
    that are rendered and not yet read.
    """

    def __init__(
        self,
        recognizer: Recognizer,
        disk_space: DiskSpace,
        metrics: Metrics,
        *,
        batch_pages: int,
        window_pages: int,
    ) -> None:
        self._recognizer = recognizer
        self._disk_space = disk_space
        self._metrics = metrics
        metrics.ready_pages_limit.set(window_pages)
        self._batch_pages = batch_pages
        self._window = asyncio.Semaphore(window_pages)
        self._ready: RoundRobin[_ReadyPage] = RoundRobin()
        self._more = asyncio.Event()
        self._progresses: dict[object, Progress] = {}

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Keep the engines fed as long as the context lasts."""
        async with asyncio.TaskGroup() as group:
            feeders = [
                group.create_task(self._feed(), name=f"feed engine {n}")
                for n in range(self._recognizer.concurrency)
            ]
            yield
            for feeder in feeders:
                feeder.cancel()

    async def read(self, document: RenderedDocument, progress: Progress) -> list[EncodedPage]:
        """Render and read all pages, in page order; one that cannot be is a failed one, the rest go on.

        A cancelled document takes its waiting pages with it. `progress` is called at every step of any
        document: one that waits for its turn behind others is not stalled.
        """
        owner = object()
        answers: list[asyncio.Future[EncodedPage]] = []
        try:
            with self.waiting(progress):
                return await self._read(owner, document, answers)
        finally:
            for answer in answers:
                # An error that nobody waits for any more is the same as the one that ended the document.
                if not answer.cancel() and not answer.cancelled():
                    answer.exception()
            for page in self._ready.discard(owner):
                self._leave(page)

    @contextmanager
    def waiting(self, progress: Progress) -> Iterator[None]:
        """Count what any document achieves as progress of one that waits for its turn behind others."""
        key = object()
        self._progresses[key] = progress
        try:
            yield
        finally:
            self._progress()
            del self._progresses[key]

    def _progress(self) -> None:
        for progress in self._progresses.values():
            progress()

    async def _read(
        self, owner: Hashable, document: RenderedDocument, answers: list[asyncio.Future[EncodedPage]]
    ) -> list[EncodedPage]:
        """Render and read all pages; `answers` gets what they will be."""
        read = 0
        hung: list[Code] = []
        for page_number in range(1, document.page_count + 1):
            answers.append(await self._render(owner, document, page_number))
            self._progress()
            # What cannot be read now is noticed now, and not when all pages have been rendered.
            while read < len(answers) and answers[read].done():
                code = _hung(answers[read].result())
                hung = [*hung, code] if code else []
                read += 1
            if len(hung) >= _HUNG_PAGES:
                rest = range(page_number + 1, document.page_count + 1)
                return [await answer for answer in answers] + [self._given_up(n, hung[-1]) for n in rest]
        return [await answer for answer in answers]

    async def _render(
        self, owner: Hashable, document: RenderedDocument, page_number: int
    ) -> asyncio.Future[EncodedPage]:
        """Wait for room in the window, render a page, and queue it; the future gets what is read."""
        answer: asyncio.Future[EncodedPage] = asyncio.get_running_loop().create_future()

        async def attempt() -> PageImage:
            # Whoever waits for room must leave the window to those that will make some.
            await self._window.acquire()
            self._metrics.ready_pages.inc()
            try:
                return await document.render(page_number)
            except BaseException:
                self._free_window()
                raise

        try:
            image = await self._disk_space.run_when_free(attempt, self._progress)
        except PageError as error:
            answer.set_result(self._record(failed_page(page_number, error.code, error.message)))
        else:
            self._disk_space.enter()
            self._ready.add(owner, _ReadyPage(image, answer))
            self._more.set()
        return answer

    async def _feed(self) -> None:
        """Hand batches to one engine, for ever."""
        while True:
            while not (batch := self._ready.take(self._batch_pages)):
                self._more.clear()
                await self._more.wait()
            try:
                results = await self._recognizer.read([page.image for page in batch])
                for page, result in zip(batch, results, strict=True):
                    record = self._record(result)
                    if not page.answer.done():
                        page.answer.set_result(record)
            except Exception as error:  # noqa: BLE001 - raised again in the documents' own tasks
                for page in batch:
                    if not page.answer.done():
                        page.answer.set_exception(error)
            finally:
                self._progress()
                for page in batch:
                    self._leave(page)

    def _leave(self, page: _ReadyPage) -> None:
        """Make room for another page."""
        try:
            Path(page.image.path).unlink(missing_ok=True)
        except OSError as error:
            log.warning("page.not_deleted", path=page.image.path, error=str(error))
        self._disk_space.leave()
        self._free_window()

    def _free_window(self) -> None:
        """Let another page be rendered."""
        self._metrics.ready_pages.dec()
        self._window.release()

    def _record(self, result: PageResult) -> EncodedPage:
        """Write down what became of a page."""
        record = EncodedPage.of(result)
        self._metrics.page(record)
        return record

    def _given_up(self, page_number: int, code: Code) -> EncodedPage:
        message = f"not tried: {_HUNG_PAGES} pages in a row before it took too long"
        return self._record(failed_page(page_number, code, message))


def _hung(page: EncodedPage) -> Code | None:
    """Return the code of a page that took too long; None for any other."""
    codes = {warning.code for warning in page.warnings} & {Code.RENDER_TIMEOUT, Code.ENGINE_TIMEOUT}
    return next(iter(codes), None)
