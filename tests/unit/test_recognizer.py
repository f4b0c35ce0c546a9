"""The pools of children: whose fault it is that a page is not rendered or read; on scripted seats."""

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from consumer import protocol
from consumer.domain.errors import ChildError, Code, DiskFullError, DocumentError, HostError, PageError
from consumer.domain.formats import Format
from consumer.domain.page import PageImage
from consumer.domain.result import Status
from consumer.processes.pool import RecyclePolicy
from consumer.processes.process import ChildTimeoutError
from consumer.processes.recognizer import PageRecognizer
from consumer.processes.renderer import RenderPool
from consumer.processes.slot import BusyTimer
from tests.fakes import page_image

PAGE = Path("page.bgr")
RECYCLING = RecyclePolicy(pages=1000, resident_bytes=2**30)
CRASH = ChildError("the child process was killed by SIGSEGV")
HANG = ChildTimeoutError("no answer in 60 s")
RAISED = protocol.RequestFailed(code=Code.ENGINE_ERROR, message="cv2.error")


@dataclass
class NewChild:
    """A child that does not wear."""

    resident_bytes = 0
    pages_read = 0
    is_alive = True
    is_recycle_due = False


class ScriptedSeat:
    """Answers requests with what the script holds for each page; None: as it should."""

    def __init__(self, script: dict[int, list[object]] | None = None) -> None:
        self.script = script or {}
        self.asked: list[list[int]] = []
        self.restarts = 0
        self.load = 0
        self.child = NewChild()
        self.is_running = True
        self.busy = BusyTimer()
        self.page_count = 3

    async def request(self, message: protocol.Request, deadline_s: float) -> protocol.Reply:
        match message:
            case protocol.ReadPages(images=images):
                numbers = [image.page_number for image in images]
                read = protocol.PagesRead(pages=(protocol.PageContent(lines=()),) * len(numbers))
                return self._scripted(numbers) or read
            case protocol.RenderPage(page_number=number, image_path=image_path):
                Path(image_path).write_bytes(b"pixels")
                return self._scripted([number]) or page_image(number, Path(image_path))
            case protocol.OpenDocument():
                return self._scripted([0]) or protocol.DocumentOpened(page_count=self.page_count)

    def _scripted(self, numbers: list[int]) -> protocol.Reply | None:
        self.asked.append(numbers)
        for number in numbers:
            if steps := self.script.get(number):
                match steps.pop(0):
                    case Exception() as error:
                        raise error
                    case protocol.RequestFailed() as failed:
                        return failed
        return None

    async def stop(self, reason: str) -> None:
        self.restarts += 1


async def read(slot: ScriptedSeat, numbers: Sequence[int]) -> list[str]:
    """Read pages in one batch; per page, the code of its failure or `ok`."""
    pool = PageRecognizer([slot], RECYCLING, 60.0)  # type: ignore[list-item]
    results = await pool.read([page_image(number, PAGE) for number in numbers], lambda: None)
    assert [result.page.page_number for result in results] == list(numbers)
    return [result.warnings[0].code if result.page.status is Status.FAILURE else "ok" for result in results]


@pytest.mark.parametrize(
    ("failure", "code"), [(CRASH, "ENGINE_CRASH"), (HANG, "ENGINE_TIMEOUT"), (RAISED, "ENGINE_ERROR")]
)
async def test_a_page_that_fails_again_when_read_alone_is_the_only_one_that_is_lost(
    failure: object, code: str
) -> None:
    slot = ScriptedSeat({2: [failure, failure]})

    assert await read(slot, [1, 2, 3]) == ["ok", code, "ok"]
    assert slot.asked == [[1, 2, 3], [1], [2], [3]]


@pytest.mark.parametrize("failure", [CRASH, HANG, RAISED])
async def test_a_batch_that_failed_once_costs_no_page(failure: object) -> None:
    assert await read(ScriptedSeat({2: [failure]}), [1, 2, 3]) == ["ok", "ok", "ok"]


async def test_an_engine_that_raised_is_replaced_before_it_reads_again() -> None:
    slot = ScriptedSeat({1: [RAISED]})
    await read(slot, [1])
    assert slot.restarts == 1


async def test_an_engine_that_cannot_be_started_is_no_fault_of_the_page() -> None:
    with pytest.raises(HostError):
        await read(ScriptedSeat({1: [CRASH, HostError("out of memory")]}), [1])


async def test_an_engine_gives_its_place_back_whatever_happened() -> None:
    slot = ScriptedSeat({1: [HostError("no")]})
    pool = PageRecognizer([slot], RECYCLING, 60.0)  # type: ignore[list-item]
    with pytest.raises(HostError):
        await pool.read([page_image(1, PAGE)], lambda: None)

    async with asyncio.timeout(5):
        (result,) = await pool.read([page_image(1, PAGE)], lambda: None)

    assert result.page.status is Status.SUCCESS


async def render(slot: ScriptedSeat, folder: Path) -> PageImage:
    source = folder / "source"
    source.touch()
    pool = RenderPool([slot], folder, max_pages=3)  # type: ignore[list-item]
    try:
        async with pool.open(source, Format.PDF) as document:
            return await document.render(1)
    finally:
        source.unlink()


async def test_a_renderer_that_was_killed_once_costs_no_page(tmp_path: Path) -> None:
    assert (await render(ScriptedSeat({0: [CRASH], 1: [CRASH]}), tmp_path)).page_number == 1


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
async def test_what_cannot_be_rendered_fails_with_its_code_and_leaves_no_file(
    tmp_path: Path, script: dict[int, list[object]], error: type[DocumentError | PageError], code: Code
) -> None:
    with pytest.raises(error, match=code.value):
        await render(ScriptedSeat(script), tmp_path)

    assert list(tmp_path.iterdir()) == []


async def test_a_machine_that_cannot_render_is_no_fault_of_the_document(tmp_path: Path) -> None:
    with pytest.raises(HostError):
        await render(ScriptedSeat({1: [HostError("disk full")]}), tmp_path)


async def test_documents_are_spread_over_the_renderers(tmp_path: Path) -> None:
    slots = [ScriptedSeat(), ScriptedSeat(), ScriptedSeat()]
    pool = RenderPool(slots, tmp_path, max_pages=3)  # type: ignore[arg-type]
    async with AsyncExitStack() as stack:
        for number in range(6):
            source = tmp_path / f"{number}"
            source.touch()
            await stack.enter_async_context(pool.open(source, Format.PDF))
        assert [len(slot.asked) for slot in slots] == [2, 2, 2]


async def test_a_document_goes_to_a_renderer_that_runs(tmp_path: Path) -> None:
    gone, running = ScriptedSeat(), ScriptedSeat()
    gone.is_running = False
    pool = RenderPool([gone, running], tmp_path, max_pages=3)  # type: ignore[list-item]
    for number in range(3):
        source = tmp_path / f"{number}"
        source.touch()
        async with pool.open(source, Format.PDF):
            pass
    assert (len(gone.asked), len(running.asked)) == (0, 3)


async def test_a_renderer_cannot_make_a_document_endless(tmp_path: Path) -> None:
    slot = ScriptedSeat()
    slot.page_count = 10**12
    with pytest.raises(ChildError):
        await render(slot, tmp_path)


async def test_a_page_without_room_needs_the_room_of_its_source_too(tmp_path: Path) -> None:
    pool = RenderPool([ScriptedSeat({1: [DiskFullError("full", 1000)]})], tmp_path, max_pages=3)  # type: ignore[list-item]
    source = tmp_path / "source"
    source.write_bytes(bytes(234))
    async with pool.open(source, Format.PDF) as document:
        with pytest.raises(DiskFullError) as caught:
            await document.render(1)
    assert caught.value.needed_bytes == 1234
    assert list(tmp_path.iterdir()) == [source]
