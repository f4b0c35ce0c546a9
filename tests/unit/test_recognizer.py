"""A page that is not rendered or read: its own fault or the machine's. On slots of fake processes."""

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from consumer import protocol
from consumer.clock import SystemClock, Watchdog
from consumer.domain.errors import ChildError, Code, DiskFullError, DocumentError, HostError, PageError
from consumer.domain.formats import Format
from consumer.domain.page import PageImage
from consumer.domain.result import PageResult, Status
from consumer.processes.pool import RecyclePolicy
from consumer.processes.process import ChildTimeoutError
from consumer.processes.recognizer import PageRecognizer
from consumer.processes.renderer import RenderPool
from tests.children.fake_process import FakeSlot, Script
from tests.fakes import page_image

PAGE = Path("page.bgr")
POLICY = RecyclePolicy(pages=1000, resident_bytes=2**30)
CRASH = ChildError("the child process was killed by SIGSEGV")
HANG = ChildTimeoutError("no reply in 60 s")
RAISED = protocol.RequestFailed(code=Code.ENGINE_ERROR, message="cv2.error")
BROKEN = protocol.HostFailure(message="Input/output error")

Outcome = Exception | protocol.Reply


class CountingWatchdog(Watchdog):
    """Counts its marks."""

    marks = 0

    def mark(self) -> None:
        super().mark()
        self.marks += 1


def recognizer(slot: FakeSlot, watchdog: Watchdog | None = None) -> PageRecognizer:
    return PageRecognizer([slot], POLICY, 60.0, watchdog or Watchdog(SystemClock()))


def codes(results: Sequence[PageResult]) -> list[str]:
    """Per page, the code of its failure or `ok`."""
    return [result.warnings[0].code if result.page.status is Status.FAILURE else "ok" for result in results]


async def read(slot: FakeSlot, numbers: Sequence[int]) -> list[str]:
    """Read pages in one batch."""
    engines = recognizer(slot)
    async with engines.running():
        results = await engines.read([page_image(number, PAGE) for number in numbers])
    assert [result.page.page_number for result in results] == list(numbers)
    return codes(results)


@pytest.mark.parametrize(
    ("failure", "code"), [(CRASH, "ENGINE_CRASH"), (HANG, "ENGINE_TIMEOUT"), (RAISED, "ENGINE_ERROR")]
)
async def test_a_page_that_fails_again_when_read_alone_fails_alone(failure: Outcome, code: str) -> None:
    slot = FakeSlot({2: [failure, failure]})

    assert await read(slot, [1, 2, 3]) == ["ok", code, "ok"]
    assert slot.requests == [[1, 2, 3], [1], [2], [3]]


@pytest.mark.parametrize("failure", [CRASH, HANG, RAISED])
async def test_a_batch_that_failed_once_costs_no_page(failure: Outcome) -> None:
    assert await read(FakeSlot({2: [failure]}), [1, 2, 3]) == ["ok", "ok", "ok"]


async def test_an_engine_that_raised_is_replaced_before_it_reads_again() -> None:
    slot = FakeSlot({1: [RAISED]})
    await read(slot, [1])
    assert (len(slot.started), slot.replacements) == (2, {"error": 1})


async def test_a_failure_of_the_machine_is_no_fault_of_the_page() -> None:
    slot = FakeSlot({1: [CRASH, BROKEN]})
    engines = recognizer(slot)
    async with engines.running():
        with pytest.raises(HostError, match="Input/output error"):
            await engines.read([page_image(1, PAGE)])


async def test_an_engine_is_free_again_whatever_happened() -> None:
    slot = FakeSlot({1: [BROKEN]})
    engines = recognizer(slot)
    async with engines.running(), asyncio.timeout(60):
        with pytest.raises(HostError):
            await engines.read([page_image(1, PAGE)])
        assert codes(await engines.read([page_image(1, PAGE)])) == ["ok"]


async def test_every_step_of_a_batch_marks_the_watchdog() -> None:
    watchdog = CountingWatchdog(SystemClock())
    engines = recognizer(FakeSlot({1: [CRASH]}), watchdog)
    async with engines.running():
        await engines.read([page_image(number, PAGE) for number in (1, 2, 3)])
    assert watchdog.marks == 1 + 3


async def test_a_page_has_its_part_of_the_time_of_its_batch() -> None:
    engines = recognizer(FakeSlot())
    async with engines.running():
        pages = await engines.read([page_image(1, PAGE), page_image(2, PAGE)])
    assert pages[0].engine_s == pages[1].engine_s > 0
    assert [page.render_s for page in pages] == [0.1, 0.1]


async def render(slot: FakeSlot, folder: Path) -> PageImage:
    source = folder / "source"
    source.touch()
    pool = RenderPool([slot], folder, max_pages=3)
    try:
        async with pool.open(source, Format.PDF) as document:
            return await document.render(1)
    finally:
        source.unlink()


async def test_a_renderer_that_was_killed_once_costs_no_page(tmp_path: Path) -> None:
    assert (await render(FakeSlot({0: [CRASH], 1: [CRASH]}), tmp_path)).page_number == 1


@pytest.mark.parametrize(
    ("script", "error", "code"),
    [
        ({0: [CRASH, CRASH]}, DocumentError, Code.RENDER_CRASH),
        ({0: [HANG]}, DocumentError, Code.RENDER_TIMEOUT),
        ({1: [CRASH, CRASH]}, PageError, Code.RENDER_CRASH),
        ({1: [HANG]}, PageError, Code.RENDER_TIMEOUT),
        (
            {1: [protocol.RequestFailed(code=Code.PAGE_UNREADABLE, message="")]},
            PageError,
            Code.PAGE_UNREADABLE,
        ),
    ],
)
async def test_a_page_that_cannot_be_rendered_fails_with_its_code_and_leaves_no_file(
    tmp_path: Path, script: Script, error: type[DocumentError | PageError], code: Code
) -> None:
    with pytest.raises(error, match=code.value):
        await render(FakeSlot(script), tmp_path)

    assert list(tmp_path.iterdir()) == []


async def test_a_machine_that_cannot_render_is_no_fault_of_the_document(tmp_path: Path) -> None:
    with pytest.raises(HostError):
        await render(FakeSlot({1: [BROKEN]}), tmp_path)


async def test_documents_are_spread_over_the_renderers(tmp_path: Path) -> None:
    slots = [FakeSlot(), FakeSlot(), FakeSlot()]
    await asyncio.gather(*(slot.start() for slot in slots))
    pool = RenderPool(slots, tmp_path, max_pages=3)
    async with AsyncExitStack() as stack:
        for number in range(6):
            source = tmp_path / f"{number}"
            source.touch()
            await stack.enter_async_context(pool.open(source, Format.PDF))
        assert [len(slot.requests) for slot in slots] == [2, 2, 2]


async def test_a_document_goes_to_a_renderer_that_runs(tmp_path: Path) -> None:
    stopped, running = FakeSlot(), FakeSlot()
    await running.start()
    pool = RenderPool([stopped, running], tmp_path, max_pages=3)
    for number in range(3):
        source = tmp_path / f"{number}"
        source.touch()
        async with pool.open(source, Format.PDF):
            pass
    assert (len(stopped.requests), len(running.requests)) == (0, 3)


async def test_a_renderer_cannot_make_a_document_endless(tmp_path: Path) -> None:
    with pytest.raises(ChildError):
        await render(FakeSlot(page_count=10**12), tmp_path)


async def test_a_page_without_disk_space_needs_that_of_its_source_too(tmp_path: Path) -> None:
    full = protocol.HostFailure(message="full", needed_bytes=1000)
    pool = RenderPool([FakeSlot({1: [full]})], tmp_path, max_pages=3)
    source = tmp_path / "source"
    source.write_bytes(bytes(234))
    async with pool.open(source, Format.PDF) as document:
        with pytest.raises(DiskFullError) as caught:
            await document.render(1)
    assert caught.value.needed_bytes == 1234
    assert list(tmp_path.iterdir()) == [source]
