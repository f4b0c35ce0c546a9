"""Pages of many documents are read fairly, in bounded room, and each document ends for itself."""

import asyncio
import gc
import json
from collections import deque
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumer.domain.assembly import EncodedPage
from consumer.domain.errors import ChildError, Code, DiskFullError, PageError
from consumer.domain.page import PageImage
from consumer.domain.result import Detection, Page, PageResult, Status, failed_page
from consumer.metrics import Metrics
from consumer.service.disk_space import DiskSpace
from consumer.service.scheduler import PageScheduler, RoundRobin
from tests.fakes import page_image

_Result = TypeVar("_Result")
DEADLINE_S = 20.0


def files(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


class FakeDocument:
    """Pages are files that name the document and the page; `rendered` gets each page's number."""

    def __init__(
        self, folder: Path, name: str, page_count: int, *, broken: frozenset[int] = frozenset()
    ) -> None:
        self.folder = folder
        self.name = name
        self.page_count = page_count
        self.broken = broken
        self.rendered: asyncio.Queue[int] = asyncio.Queue()
        self.most_files = 0
        #: Opened by default; a closed one keeps `render` waiting, and `rendering` says that it does.
        self.breaker = asyncio.Event()
        self.breaker.set()
        self.rendering = asyncio.Event()

    async def render(self, page_number: int) -> PageImage:
        self.rendering.set()
        await self.breaker.wait()
        if page_number in self.broken:
            raise PageError(Code.PAGE_UNREADABLE, "torn")
        path = self.folder / f"{self.name}-{page_number}"
        path.write_bytes(b"\0\0\0")
        self.most_files = max(self.most_files, len(files(self.folder)))
        self.rendered.put_nowait(page_number)
        return page_image(page_number, path)


class FakeRecognizer:
    """Reads off each page its file's name; a page of a document called `bad` breaks its batch."""

    def __init__(self, *, concurrency: int = 1, held: bool = False) -> None:
        self.concurrency = concurrency
        self.batches: list[list[str]] = []
        #: Gets the names of every batch that an engine begins with.
        self.begun: asyncio.Queue[list[str]] = asyncio.Queue()
        self.breaker = asyncio.Event()
        if not held:
            self.breaker.set()

    async def read(self, images: Sequence[PageImage]) -> Sequence[PageResult]:
        names = [Path(image.path).name for image in images]
        self.batches.append(names)
        self.begun.put_nowait(names)
        await self.breaker.wait()
        assert set(names) <= set(files(Path(images[0].path).parent))
        if any(name.startswith("bad") for name in names):
            raise ChildError("died")
        return [
            PageResult(
                page=Page(
                    page_number=image.page_number, status=Status.SUCCESS, width_px=1, height_px=1, scale=1
                ),
                detections=(
                    Detection(
                        text=name,
                        box=((0, 0), (1, 0), (1, 1), (0, 1)),
                        confidence=1,
                        page_number=image.page_number,
                    ),
                ),
            )
            for name, image in zip(names, images, strict=True)
        ]


@asynccontextmanager
async def scheduling(
    recognizer: FakeRecognizer,
    *,
    batch_pages: int = 2,
    window_pages: int = 4,
    disk_space: DiskSpace | None = None,
) -> AsyncIterator[PageScheduler]:
    """A scheduler at work; whatever hangs in the body ends at the deadline."""
    scheduler = PageScheduler(
        recognizer,
        disk_space or DiskSpace(Path.cwd()),
        Metrics(),
        batch_pages=batch_pages,
        window_pages=window_pages,
    )
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(asyncio.timeout(DEADLINE_S))
        await stack.enter_async_context(scheduler.running())
        yield scheduler


def begin(work: Coroutine[Any, Any, _Result]) -> asyncio.Task[_Result]:
    return asyncio.create_task(work, name="a document's own task")


def no_progress() -> None:
    pass


def texts(pages: Sequence[EncodedPage]) -> list[str]:
    return [line["text"] for page in pages for line in json.loads(b"[%b]" % page.detections)]


OWNERS = st.sampled_from("abcd")
OPERATIONS = st.lists(OWNERS | st.integers(1, 4), max_size=60)


@given(OPERATIONS)
def test_owners_are_served_in_turn_and_each_ones_items_in_order(operations: list[str | int]) -> None:
    """An owner's name adds an item of it, a number takes as many."""
    queue: RoundRobin[tuple[str, int]] = RoundRobin()
    waiting: dict[str, deque[int]] = {owner: deque() for owner in "abcd"}
    # Of each owner: those who have waited since it was served last, and were not served themselves.
    passed_over: dict[str, set[str]] = {owner: set() for owner in waiting}
    for number, operation in enumerate(operations):
        if isinstance(operation, str):
            queue.add(operation, (operation, number))
            waiting[operation].append(number)
            continue
        disk_space = min(operation, sum(map(len, waiting.values())))
        taken = queue.take(operation)
        assert len(taken) == disk_space
        for owner, item in taken:
            assert item == waiting[owner].popleft()
            assert not passed_over[owner]
            passed_over[owner] = {other for other in waiting if other != owner and waiting[other]}
            for others in passed_over.values():
                others.discard(owner)
        assert len(queue) == sum(map(len, waiting.values()))


@given(st.lists(OWNERS, max_size=20))
def test_a_discarded_owner_takes_its_items_along_and_nobody_elses(owners: list[str]) -> None:
    queue: RoundRobin[tuple[str, int]] = RoundRobin()
    items = [(owner, number) for number, owner in enumerate(owners)]
    for item in items:
        queue.add(item[0], item)
    assert queue.discard("a") == [item for item in items if item[0] == "a"]
    assert queue.discard("a") == []
    assert sorted(queue.take(100)) == sorted(item for item in items if item[0] != "a")


@pytest.mark.parametrize(
    ("concurrency", "batch_pages", "window_pages"), [(1, 1, 1), (1, 8, 3), (2, 3, 7), (3, 2, 40)]
)
async def test_pages_come_in_order_and_no_more_are_rendered_and_unread_than_the_window_holds(
    tmp_path: Path, concurrency: int, batch_pages: int, window_pages: int
) -> None:
    recognizer = FakeRecognizer(concurrency=concurrency, held=True)
    documents = [FakeDocument(tmp_path, name, 30) for name in "abc"]
    async with scheduling(recognizer, batch_pages=batch_pages, window_pages=window_pages) as scheduler:
        work = [begin(scheduler.read(document, no_progress)) for document in documents]
        # The engines hold what they have, so exactly a windowful of pages can be rendered now.
        for _ in range(window_pages):
            await anyone_renders(documents)
        recognizer.breaker.set()
        read = await asyncio.gather(*work)
    for document, pages in zip(documents, read, strict=True):
        assert texts(pages) == [f"{document.name}-{number}" for number in range(1, 31)]
        assert [page.page_number for page in pages] == list(range(1, 31))
    assert max(document.most_files for document in documents) == window_pages
    assert max(map(len, recognizer.batches)) <= batch_pages
    assert files(tmp_path) == []


async def anyone_renders(documents: Sequence[FakeDocument]) -> None:
    """Wait until one of the documents has one more page rendered, and count it as seen."""
    waits = {begin(document.rendered.get()): document for document in documents}
    done, pending = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    for task in pending:
        task.cancel()
    for task in list(done)[1:]:
        waits[task].rendered.put_nowait(task.result())


async def test_a_letter_behind_a_long_report_waits_for_a_few_batches_not_for_the_report(
    tmp_path: Path,
) -> None:
    recognizer = FakeRecognizer(held=True)
    report, letter = FakeDocument(tmp_path, "report", 500), FakeDocument(tmp_path, "letter", 1)
    async with scheduling(recognizer, batch_pages=2, window_pages=4) as scheduler:
        long_work = begin(scheduler.read(report, no_progress))
        await recognizer.begun.get()
        for _ in range(4):
            await report.rendered.get()
        work = begin(scheduler.read(letter, no_progress))
        recognizer.breaker.set()
        assert texts(await work) == ["letter-1"]
        assert not long_work.done()
        (place,) = (n for n, batch in enumerate(recognizer.batches) if "letter-1" in batch)
        assert place <= 3
        assert len(texts(await long_work)) == 500


async def test_a_page_that_cannot_be_rendered_is_a_failed_one_and_the_others_stand(tmp_path: Path) -> None:
    document = FakeDocument(tmp_path, "torn", 9, broken=frozenset({1, 4, 5, 9}))
    async with scheduling(FakeRecognizer(), window_pages=1) as scheduler:
        pages = await scheduler.read(document, no_progress)
    assert [page.page_number for page in pages] == list(range(1, 10))
    failed = {page.page_number: page for page in pages if page.status is Status.FAILURE}
    assert set(failed) == document.broken
    assert {warning.code for page in failed.values() for warning in page.warnings} == {Code.PAGE_UNREADABLE}
    assert texts(pages) == ["torn-2", "torn-3", "torn-6", "torn-7", "torn-8"]


async def test_an_engine_that_breaks_ends_the_documents_of_its_batch_and_no_others(tmp_path: Path) -> None:
    recognizer = FakeRecognizer(held=True)
    names = ("first", "bad", "neighbour", "later")
    documents = {name: FakeDocument(tmp_path, name, 1) for name in names}
    async with scheduling(recognizer, batch_pages=2, window_pages=9) as scheduler:
        work = [begin(scheduler.read(documents["first"], no_progress))]
        await recognizer.begun.get()
        for name in names[1:]:
            work.append(begin(scheduler.read(documents[name], no_progress)))
            await documents[name].rendered.get()
        recognizer.breaker.set()
        first, bad, neighbour, later = await asyncio.gather(*work, return_exceptions=True)
    assert recognizer.batches == [["first-1"], ["bad-1", "neighbour-1"], ["later-1"]]
    assert isinstance(bad, ChildError)
    assert isinstance(neighbour, ChildError)
    assert [isinstance(pages, list) and texts(pages) for pages in (first, later)] == [
        ["first-1"],
        ["later-1"],
    ]
    assert files(tmp_path) == []


async def test_a_broken_batch_gives_all_its_room_back(tmp_path: Path) -> None:
    async with scheduling(FakeRecognizer(), window_pages=2) as scheduler:
        for _ in range(5):
            with pytest.raises(ChildError):
                await scheduler.read(FakeDocument(tmp_path, "bad", 7), no_progress)
        assert len(await scheduler.read(FakeDocument(tmp_path, "good", 7), no_progress)) == 7
    assert files(tmp_path) == []


async def test_what_breaks_several_pages_of_a_document_is_told_once(tmp_path: Path) -> None:
    complaints: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
    async with scheduling(FakeRecognizer()) as scheduler:
        with pytest.raises(ChildError):
            await scheduler.read(FakeDocument(tmp_path, "bad", 4), no_progress)
    gc.collect()
    assert complaints == []


async def test_a_cancelled_document_leaves_no_file_and_gives_its_room_back(tmp_path: Path) -> None:
    recognizer = FakeRecognizer(held=True)
    document = FakeDocument(tmp_path, "given-up", 9)
    async with scheduling(recognizer, batch_pages=1, window_pages=3) as scheduler:
        work = begin(scheduler.read(document, no_progress))
        # One page is in the engine, two wait for it, and the fourth waits for room.
        assert await recognizer.begun.get() == ["given-up-1"]
        for _ in range(3):
            await document.rendered.get()
        work.cancel()
        with pytest.raises(asyncio.CancelledError):
            await work
        assert files(tmp_path) == ["given-up-1"]
        recognizer.breaker.set()
        heir = FakeDocument(tmp_path, "heir", 9)
        assert len(await scheduler.read(heir, no_progress)) == 9
    assert recognizer.batches[1:] == [[f"heir-{number}"] for number in range(1, 10)]
    assert files(tmp_path) == []


async def test_a_document_cancelled_in_the_engine_takes_nobody_along(tmp_path: Path) -> None:
    recognizer = FakeRecognizer(held=True)
    async with scheduling(recognizer) as scheduler:
        work = begin(scheduler.read(FakeDocument(tmp_path, "given-up", 1), no_progress))
        heir = begin(scheduler.read(FakeDocument(tmp_path, "heir", 1), no_progress))
        assert await recognizer.begun.get() == ["given-up-1", "heir-1"]
        work.cancel()
        recognizer.breaker.set()
        assert texts(await heir) == ["heir-1"]
        assert work.cancelled()


async def test_a_document_cancelled_while_it_is_rendered_gives_its_room_back(tmp_path: Path) -> None:
    document = FakeDocument(tmp_path, "given-up", 1)
    document.breaker.clear()
    async with scheduling(FakeRecognizer(), window_pages=1) as scheduler:
        work = begin(scheduler.read(document, no_progress))
        await document.rendering.wait()
        work.cancel()
        with pytest.raises(asyncio.CancelledError):
            await work
        assert len(await scheduler.read(FakeDocument(tmp_path, "heir", 3), no_progress)) == 3


async def test_every_page_rendered_and_every_batch_read_is_progress(tmp_path: Path) -> None:
    recognizer = FakeRecognizer(held=True)
    document = FakeDocument(tmp_path, "a", 3)
    steps: asyncio.Queue[None] = asyncio.Queue()
    async with scheduling(recognizer) as scheduler:
        work = begin(scheduler.read(document, lambda: steps.put_nowait(None)))
        for _ in range(3):
            await steps.get()
        assert not work.done()
        recognizer.breaker.set()
        await work
        await steps.get()


async def test_a_document_that_waits_for_its_turn_is_not_stalled(tmp_path: Path) -> None:
    recognizer = FakeRecognizer(held=True)
    behind = FakeDocument(tmp_path, "behind", 1)
    steps: list[None] = []
    async with scheduling(recognizer, batch_pages=1, window_pages=9) as scheduler:
        first = begin(scheduler.read(FakeDocument(tmp_path, "first", 3), no_progress))
        second = begin(scheduler.read(behind, lambda: steps.append(None)))
        recognizer.breaker.set()
        await asyncio.gather(first, second)

    assert len(steps) > behind.page_count * 2


async def test_documents_without_room_all_end_even_if_they_are_more_than_the_window_holds(
    tmp_path: Path,
) -> None:
    class Homeless(FakeDocument):
        async def render(self, page_number: int) -> PageImage:
            await asyncio.sleep(0)
            raise DiskFullError("full", 1000)

    usage = SimpleNamespace(total=10**9, free=0)
    disk_space = DiskSpace(tmp_path, lambda _: usage)

    async def read(scheduler: PageScheduler) -> None:
        with disk_space.held():
            await scheduler.read(Homeless(tmp_path, "homeless", 1), no_progress)

    async with scheduling(FakeRecognizer(), window_pages=2, disk_space=disk_space) as scheduler:
        ended = await asyncio.gather(*(read(scheduler) for _ in range(7)), return_exceptions=True)
    assert {type(error) for error in ended} == {DiskFullError}


async def test_a_document_that_cannot_be_read_now_is_not_rendered_to_its_end(tmp_path: Path) -> None:
    document = FakeDocument(tmp_path, "bad", 500)
    async with scheduling(FakeRecognizer(), window_pages=4) as scheduler:
        with pytest.raises(ChildError):
            await scheduler.read(document, no_progress)
    assert document.rendered.qsize() <= 8


async def test_a_document_that_waits_to_be_opened_is_not_stalled(tmp_path: Path) -> None:
    steps: list[None] = []
    async with scheduling(FakeRecognizer()) as scheduler:
        with scheduler.waiting(lambda: steps.append(None)):
            await scheduler.read(FakeDocument(tmp_path, "ahead", 3), no_progress)
    assert len(steps) >= 3


@pytest.mark.parametrize(("hung", "tried"), [({1, 2, 3}, 3), ({2, 4, 6, 8}, 20), ({18, 19, 20}, 20)])
async def test_after_three_pages_in_a_row_that_hang_the_rest_is_not_tried(
    tmp_path: Path, hung: set[int], tried: int
) -> None:
    class Slow(FakeDocument):
        async def render(self, page_number: int) -> PageImage:
            if page_number in hung:
                self.rendered.put_nowait(page_number)
                raise PageError(Code.RENDER_TIMEOUT, "too slow")
            return await super().render(page_number)

    document = Slow(tmp_path, "slow", 20)
    async with scheduling(FakeRecognizer()) as scheduler:
        pages = await scheduler.read(document, no_progress)

    assert document.rendered.qsize() == tried
    assert [page.page_number for page in pages] == list(range(1, 21))
    failed = {page.page_number for page in pages if page.status is Status.FAILURE}
    assert failed == (hung if tried == 20 else set(range(1, 21)))
    assert {warning.code for page in pages for warning in page.warnings} == {Code.RENDER_TIMEOUT}


async def test_the_rest_of_a_document_fails_as_its_pages_did(tmp_path: Path) -> None:
    class Slow(FakeRecognizer):
        async def read(self, images: Sequence[PageImage]) -> Sequence[PageResult]:
            return [failed_page(image.page_number, Code.ENGINE_TIMEOUT, "too slow") for image in images]

    async with scheduling(Slow(), window_pages=1) as scheduler:
        pages = await scheduler.read(FakeDocument(tmp_path, "slow", 9), no_progress)

    assert {warning.code for page in pages for warning in page.warnings} == {Code.ENGINE_TIMEOUT}
    assert [page.warnings[0].message.startswith("not tried") for page in pages[-4:]] == [True] * 4
