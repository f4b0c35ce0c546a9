"""Pages of many documents are read fairly, in a window, and each document ends for itself."""

import asyncio
import gc
import uuid
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumer.clock import Watchdog
from consumer.domain.errors import ChildError, Code, DiskFullError
from consumer.domain.page import PageImage
from consumer.domain.parts import PageRange
from consumer.domain.result import PageResult
from consumer.metrics import Metrics
from consumer.service.disk_space import DiskSpace
from consumer.service.round_robin import RoundRobin
from consumer.service.scheduler import PageScheduler
from tests.fakes.cloud import Cloud
from tests.fakes.network import Faults, Network
from tests.fakes.reading import FakeDocument, FakeRecognizer
from tests.fakes.service import large_disk
from tests.fakes.virtual_time import running_loop


def document(folder: Path, *texts: str, render_s: float = 0.0) -> FakeDocument:
    return FakeDocument(texts, lambda: folder / uuid.uuid4().hex, render_s)


def pages_of(name: str, count: int, seconds: float = 0.0) -> list[str]:
    """Texts of pages, each of which takes so long to be read."""
    return [f"{name}-{number} {seconds:g}" for number in range(1, count + 1)]


@asynccontextmanager
async def scheduling(
    *,
    concurrency: int = 1,
    batch_pages: int = 2,
    window_pages: int = 4,
    disk_space: DiskSpace | None = None,
) -> AsyncIterator[tuple[PageScheduler, FakeRecognizer]]:
    """A scheduler at work, and the recognizer that gets its batches."""
    clock = running_loop().clock
    recognizer = FakeRecognizer(Network(Cloud(clock), Faults()), Watchdog(clock), concurrency)
    scheduler = PageScheduler(
        recognizer,
        disk_space or DiskSpace(Path.cwd(), large_disk),
        Watchdog(clock),
        Metrics(),
        batch_pages=batch_pages,
        window_pages=window_pages,
    )
    async with asyncio.timeout(100_000), scheduler.running():
        yield scheduler, recognizer


async def read(scheduler: PageScheduler, document: FakeDocument) -> list[PageResult]:
    pages: list[PageResult] = []
    await scheduler.run(document, pages.append)
    return pages


def numbers(pages: Sequence[PageResult]) -> list[int]:
    return [page.page.page_number for page in pages]


def texts(pages: Sequence[PageResult]) -> list[str]:
    return [line.text for page in pages for line in page.detections]


def codes(pages: Sequence[PageResult]) -> set[Code]:
    return {warning.code for page in pages for warning in page.warnings}


def not_tried(pages: Sequence[PageResult]) -> list[bool]:
    return [bool(page.failure) and page.warnings[0].message.startswith("not tried") for page in pages]


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
        taken = queue.take(operation)
        assert len(taken) == min(operation, sum(map(len, waiting.values())))
        for owner, item in taken:
            assert item == waiting[owner].popleft()
            assert not passed_over[owner]
            passed_over[owner] = {other for other in waiting if other != owner and waiting[other]}
            for others in passed_over.values():
                others.discard(owner)


def test_an_owner_that_goes_first_does_so_between_two_turns_of_the_others() -> None:
    queue: RoundRobin[str] = RoundRobin()
    for owner in "abab":
        queue.add(owner, owner)
    for owner in "xyx":
        queue.add(owner, owner, goes_first=True)
    assert queue.take(5) + queue.take(5) == ["x", "a", "y", "b", "x", "a", "b"]


@given(st.lists(st.tuples(OWNERS, st.booleans()), max_size=20))
def test_a_discarded_owner_takes_its_own_items_along_and_no_others(owners: list[tuple[str, bool]]) -> None:
    queue: RoundRobin[tuple[str, int]] = RoundRobin()
    items = [(owner, number) for number, (owner, _) in enumerate(owners)]
    for item, (_, goes_first) in zip(items, owners, strict=True):
        queue.add(item[0], item, goes_first=goes_first)
    assert queue.discard("a") == [item for item in items if item[0] == "a"]
    assert queue.discard("a") == []
    assert sorted(queue.take(100)) == sorted(item for item in items if item[0] != "a")


@pytest.mark.parametrize(
    ("concurrency", "batch_pages", "window_pages"), [(1, 1, 1), (1, 8, 3), (2, 3, 7), (3, 2, 40)]
)
async def test_pages_come_in_order_and_no_more_wait_than_the_window_holds(
    tmp_path: Path, concurrency: int, batch_pages: int, window_pages: int
) -> None:
    written = [pages_of(name, 30, 10) for name in "abc"]
    documents = [document(tmp_path, *each) for each in written]
    async with scheduling(concurrency=concurrency, batch_pages=batch_pages, window_pages=window_pages) as (
        scheduler,
        recognizer,
    ):
        work = asyncio.gather(*(read(scheduler, each) for each in documents))
        await asyncio.sleep(5)
        # All engines are at work, so exactly a windowful of pages is rendered.
        assert len(list(tmp_path.iterdir())) == window_pages
        while not work.done():
            assert len(list(tmp_path.iterdir())) <= window_pages
            await asyncio.sleep(5)
        results = await work
    assert [texts(pages) for pages in results] == written
    assert [numbers(pages) for pages in results] == [list(range(1, 31))] * 3
    assert max(map(len, recognizer.batches)) <= batch_pages
    assert list(tmp_path.iterdir()) == []


async def test_a_letter_behind_a_long_report_waits_for_a_few_batches(tmp_path: Path) -> None:
    async with scheduling() as (scheduler, recognizer):
        report = asyncio.create_task(read(scheduler, document(tmp_path, *pages_of("report", 500, 1))))
        await asyncio.sleep(0.5)
        assert texts(await read(scheduler, document(tmp_path, "letter"))) == ["letter"]
        assert not report.done()
        (place,) = (n for n, batch in enumerate(recognizer.batches) if "letter" in batch)
        assert place <= 3
        assert len(texts(await report)) == 500


async def test_a_letter_behind_parts_of_a_long_document_is_read_next(tmp_path: Path) -> None:
    async with scheduling(batch_pages=1) as (scheduler, recognizer):
        long = [document(tmp_path, *pages_of(f"part{n}", 100, 1)) for n in range(4)]
        parts = [asyncio.create_task(scheduler.run(each, lambda _: None, PageRange(1, 100))) for each in long]
        await asyncio.sleep(10.5)
        begun = len(recognizer.batches)
        assert texts(await read(scheduler, document(tmp_path, "letter"))) == ["letter"]
        assert recognizer.batches.index(["letter"]) == begun
        for part in parts:
            part.cancel()
        await asyncio.wait(parts)
        # All places are free again.
        await scheduler.run(long[0], lambda _: None, PageRange(1, 10))
        assert len(texts(await read(scheduler, document(tmp_path, *pages_of("last", 10))))) == 10
        assert list(tmp_path.iterdir()) == []


async def test_a_page_that_cannot_be_rendered_fails_and_the_others_do_not(tmp_path: Path) -> None:
    torn = {1, 4, 5, 9}
    written = ["torn" if number in torn else str(number) for number in range(1, 10)]
    async with scheduling(window_pages=1) as (scheduler, _):
        pages = await read(scheduler, document(tmp_path, *written))
    assert numbers(pages) == list(range(1, 10))
    assert {page.page.page_number for page in pages if page.failure} == torn
    assert codes(pages) == {Code.PAGE_UNREADABLE}
    assert texts(pages) == ["2", "3", "6", "7", "8"]


async def test_a_batch_that_fails_ends_the_documents_of_its_pages_and_no_others(tmp_path: Path) -> None:
    async with scheduling(batch_pages=2, window_pages=9) as (scheduler, recognizer):
        work = [asyncio.create_task(read(scheduler, document(tmp_path, "first 1")))]
        await asyncio.sleep(0.5)
        later_texts = ("bad", "neighbour", "later")
        work += [asyncio.create_task(read(scheduler, document(tmp_path, text))) for text in later_texts]
        first, bad, neighbour, later = await asyncio.gather(*work, return_exceptions=True)
    assert recognizer.batches == [["first 1"], ["bad", "neighbour"], ["later"]]
    assert isinstance(bad, ChildError)
    assert isinstance(neighbour, ChildError)
    assert [isinstance(pages, list) and texts(pages) for pages in (first, later)] == [["first 1"], ["later"]]
    assert list(tmp_path.iterdir()) == []


async def test_a_failed_batch_frees_all_its_places_in_the_window(tmp_path: Path) -> None:
    async with scheduling(window_pages=2) as (scheduler, _):
        for _ in range(5):
            with pytest.raises(ChildError):
                await read(scheduler, document(tmp_path, *pages_of("bad", 7)))
        assert len(await read(scheduler, document(tmp_path, *pages_of("good", 7)))) == 7
    assert list(tmp_path.iterdir()) == []


async def test_an_error_of_several_pages_of_a_document_is_raised_once(tmp_path: Path) -> None:
    complaints: list[dict[str, Any]] = []
    running_loop().set_exception_handler(lambda _, context: complaints.append(context))
    async with scheduling() as (scheduler, _):
        with pytest.raises(ChildError):
            await read(scheduler, document(tmp_path, *pages_of("bad", 4)))
    gc.collect()
    assert complaints == []


async def test_a_cancelled_document_leaves_no_file_and_frees_its_places(tmp_path: Path) -> None:
    cancelled = document(tmp_path, *pages_of("cancelled", 9, 10))
    async with scheduling(batch_pages=1, window_pages=3) as (scheduler, recognizer):
        work = asyncio.create_task(read(scheduler, cancelled))
        await asyncio.sleep(5)
        # One page is in the engine, two wait for it, and the fourth waits for a place.
        assert cancelled.rendered == [1, 2, 3]
        work.cancel()
        with pytest.raises(asyncio.CancelledError):
            await work
        assert len(list(tmp_path.iterdir())) == 1
        assert len(await read(scheduler, document(tmp_path, *pages_of("heir", 9)))) == 9
    assert recognizer.batches == [["cancelled-1 10"], *([text] for text in pages_of("heir", 9))]
    assert list(tmp_path.iterdir()) == []


async def test_a_cancelled_document_hands_on_what_was_read_while_it_waited_for_the_window(
    tmp_path: Path,
) -> None:
    async with scheduling(batch_pages=1, window_pages=1) as (scheduler, _):
        first: list[PageResult] = []
        second: list[PageResult] = []
        runs = [
            asyncio.create_task(scheduler.run(document(tmp_path, *pages_of("p", 9, 1)), pages.append))
            for pages in (first, second)
        ]
        await asyncio.sleep(1.5)
        for run in runs:
            run.cancel()
        await asyncio.wait(runs)
        assert (numbers(first), numbers(second)) == ([1], [])


async def test_a_document_cancelled_in_the_engine_takes_no_other_along(tmp_path: Path) -> None:
    async with scheduling() as (scheduler, recognizer):
        work = asyncio.create_task(read(scheduler, document(tmp_path, "cancelled 10")))
        neighbour = asyncio.create_task(read(scheduler, document(tmp_path, "neighbour")))
        await asyncio.sleep(5)
        work.cancel()
        assert texts(await neighbour) == ["neighbour"]
        assert work.cancelled()
    assert recognizer.batches == [["cancelled 10", "neighbour"]]


async def test_a_document_cancelled_while_it_is_rendered_frees_its_place(tmp_path: Path) -> None:
    async with scheduling(window_pages=1) as (scheduler, _):
        work = asyncio.create_task(read(scheduler, document(tmp_path, "cancelled", render_s=10)))
        await asyncio.sleep(5)
        work.cancel()
        with pytest.raises(asyncio.CancelledError):
            await work
        assert len(await read(scheduler, document(tmp_path, *pages_of("heir", 3)))) == 3


async def test_every_page_rendered_and_every_batch_read_is_progress(tmp_path: Path) -> None:
    async with scheduling() as (scheduler, _):
        slow = document(tmp_path, *pages_of("a", 3, 100), render_s=1)
        work = asyncio.create_task(read(scheduler, slow))
        for seconds, last_progress_at in ((50, 3), (150, 101)):
            await asyncio.sleep(seconds - running_loop().time())
            assert scheduler.watchdog.last_progress_at == last_progress_at
        await work
        assert scheduler.watchdog.last_progress_at == 301


async def test_a_document_that_waits_for_its_turn_or_to_be_opened_is_not_stalled(tmp_path: Path) -> None:
    async with scheduling() as (scheduler, _):
        waiting = Watchdog(running_loop().clock)
        with waiting.following(scheduler.watchdog):
            await read(scheduler, document(tmp_path, *pages_of("ahead", 3, 10)))
            assert waiting.seconds_since_progress == 0
        await asyncio.sleep(20)
        assert waiting.seconds_since_progress == 20


async def test_more_documents_without_disk_space_than_the_window_holds_all_end(tmp_path: Path) -> None:
    class TooLarge(FakeDocument):
        async def render(self, page_number: int) -> PageImage:
            await asyncio.sleep(0)
            raise DiskFullError("full", 1000)

    disk_space = DiskSpace(tmp_path, lambda _: (10**9, 10**9, 0))

    async def try_to_read(scheduler: PageScheduler) -> None:
        with disk_space.held():
            await read(scheduler, TooLarge(["a"], lambda: tmp_path))

    async with scheduling(window_pages=2, disk_space=disk_space) as (scheduler, _):
        ended = await asyncio.gather(*(try_to_read(scheduler) for _ in range(7)), return_exceptions=True)
    assert {type(error) for error in ended} == {DiskFullError}


async def test_few_pages_of_a_long_document_wait_for_a_slow_one_before_them(tmp_path: Path) -> None:
    long = document(tmp_path, "slow 1000", *pages_of("quick", 999))
    async with scheduling(concurrency=2, batch_pages=1) as (scheduler, _):
        work = asyncio.create_task(read(scheduler, long))
        await asyncio.sleep(500)
        assert 100 < len(long.rendered) <= 256
        pages = await work
    assert numbers(pages) == list(range(1, 1001))


async def test_a_document_that_cannot_be_read_now_is_not_rendered_to_its_end(tmp_path: Path) -> None:
    bad = document(tmp_path, *pages_of("bad", 500))
    async with scheduling(window_pages=4) as (scheduler, _):
        with pytest.raises(ChildError):
            await read(scheduler, bad)
    assert len(bad.rendered) <= 8


@pytest.mark.parametrize(("stuck", "tried"), [({1, 2, 3}, 3), ({2, 4, 6, 8}, 20), ({18, 19, 20}, 20)])
async def test_after_three_pages_in_a_row_that_hang_the_rest_is_not_tried(
    tmp_path: Path, stuck: set[int], tried: int
) -> None:
    slow = document(tmp_path, *("stuck" if number in stuck else "x" for number in range(1, 21)))
    async with scheduling() as (scheduler, _):
        pages = await read(scheduler, slow)

    assert len(slow.rendered) == tried
    assert numbers(pages) == list(range(1, 21))
    failed = {page.page.page_number for page in pages if page.failure}
    assert failed == (stuck if tried == 20 else set(range(1, 21)))
    assert codes(pages) == {Code.RENDER_TIMEOUT}


async def test_the_rest_of_a_document_fails_as_its_pages_did(tmp_path: Path) -> None:
    async with scheduling(window_pages=1) as (scheduler, _):
        pages = await read(scheduler, document(tmp_path, *["hung"] * 9))

    assert codes(pages) == {Code.ENGINE_TIMEOUT}
    assert not_tried(pages) == [False] * 3 + [True] * 6


@pytest.mark.parametrize("batch_pages", [1, 4, 8])
async def test_three_hanging_pages_in_a_row_are_noticed_also_within_one_batch(
    tmp_path: Path, batch_pages: int
) -> None:
    slow = document(tmp_path, *("hung" if number % 4 else "x" for number in range(1, 201)))
    window_pages = 2 * batch_pages + 2
    async with scheduling(batch_pages=batch_pages, window_pages=window_pages) as (scheduler, recognizer):
        pages = await read(scheduler, slow)

    tried = recognizer.pages_read
    assert 3 <= tried <= window_pages
    assert numbers(pages) == list(range(1, 201))
    assert not_tried(pages) == [False] * tried + [True] * (200 - tried)
    assert list(tmp_path.iterdir()) == []
