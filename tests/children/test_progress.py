"""Time follows work: a page may take long if it makes progress, and a hang ends soon. Real processes."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import pytest
from PIL import Image, ImageDraw, ImageFont

from consumer import protocol
from consumer.clock import SystemClock, Watchdog
from consumer.domain.errors import ChildError, HostError
from consumer.domain.page import PageImage
from consumer.engines import ENGINES
from consumer.processes.pool import RecyclePolicy
from consumer.processes.process import ChildTimeoutError, ProcessSpec
from consumer.processes.recognizer import PageRecognizer
from consumer.processes.slot import Slot, running_slots
from tests.children import hostile, toy
from tests.children.hostile_documents import HostileEngineOptions
from tests.fakes import page_image

TEST_DEADLINE_S = 300.0
#: Ten steps of the toy engine, which may be late on a busy machine.
PROGRESS_DEADLINE_S = 2.0
STEP_S = 0.2
GIB = 1024**3
TOY = ProcessSpec("toy", toy.ENTRY, toy.ToyOptions(threads=1), retired_bytes=GIB, killed_bytes=GIB)


class CountingWatchdog(Watchdog):
    """Counts its marks."""

    def __init__(self) -> None:
        super().__init__(SystemClock())
        self.marks = 0

    def mark(self) -> None:
        super().mark()
        self.marks += 1


def in_steps(steps: int) -> Slot:
    """An engine whose pages have so many steps."""
    return Slot(replace(TOY, options=toy.ToyOptions(threads=1, steps=steps, step_s=STEP_S)))


def recognizer(slot: Slot, watchdog: Watchdog) -> PageRecognizer:
    policy = RecyclePolicy(pages=1000, resident_bytes=GIB)
    return PageRecognizer([slot], policy, PROGRESS_DEADLINE_S, watchdog)


@asynccontextmanager
async def hostile_engine(way: str, folder: Path) -> AsyncIterator[tuple[Slot, protocol.ReadPages]]:
    """An engine, and a page on which it misbehaves in this way."""
    options = HostileEngineOptions(threads=1, arguments=("engine", way))
    path = folder / "red.bgr"
    path.write_bytes(bytes([0, 0, 255]))
    image = page_image(1, path).model_copy(update={"width_px": 1, "height_px": 1})
    async with (
        asyncio.timeout(TEST_DEADLINE_S),
        running_slots([slot := Slot(replace(TOY, entry=hostile.ENTRY, options=options))]),
    ):
        yield slot, protocol.ReadPages(images=(image,))


@pytest.mark.parametrize("pages", [1, 2])
async def test_pages_that_take_longer_than_the_deadline_but_make_progress_are_read(
    pages: int, tmp_path: Path
) -> None:
    """Every step is noted by the watchdog, so the documents are not taken for stalled either."""
    slot, watchdog = in_steps(steps := 12), CountingWatchdog()
    assert steps * STEP_S > PROGRESS_DEADLINE_S
    (path := tmp_path / "page.bgr").touch()
    images = [page_image(number, path) for number in range(1, 1 + pages)]
    engines = recognizer(slot, watchdog)
    async with engines.running():
        results = await engines.read(images)
    assert [result.failure for result in results] == [None] * pages
    assert slot.replacements == {}
    assert watchdog.marks == 1 + pages * steps


async def test_an_engine_stopped_in_the_middle_of_a_page_is_replaced_and_the_page_is_read(
    tmp_path: Path,
) -> None:
    class Stopping(CountingWatchdog):
        """Stops the process at its third step."""

        def mark(self) -> None:
            super().mark()
            if self.marks == 1 + 3:
                assert slot.process is not None
                psutil.Process(slot.process.pid).suspend()

    slot, watchdog = in_steps(6), Stopping()
    engines = recognizer(slot, watchdog)
    async with asyncio.timeout(TEST_DEADLINE_S), engines.running():
        (path := tmp_path / "page.bgr").touch()
        (page,) = await engines.read([page_image(1, path)])
    assert page.failure is None
    assert slot.replacements == {"timeout": 1}


async def test_a_page_that_makes_no_more_progress_is_ended_at_the_deadline(tmp_path: Path) -> None:
    async with hostile_engine("hang_after_a_step", tmp_path) as (slot, request):
        watchdog = CountingWatchdog()
        with pytest.raises(ChildTimeoutError, match=r"^toy: no progress in 0\.5 s$"):
            await slot.request(request, 0.5, watchdog.mark)
    assert watchdog.marks == 1


async def test_a_page_that_makes_progress_for_ever_is_ended(tmp_path: Path) -> None:
    async with hostile_engine("make_progress_for_ever", tmp_path) as (slot, request):
        with pytest.raises(ChildTimeoutError, match=r"no (reply in 6|progress in 0\.2) s"):
            await slot.request(request, 0.2, lambda: None)


async def test_progress_of_a_request_with_one_deadline_does_not_extend_it(tmp_path: Path) -> None:
    """Renderers, which read hostile files, cannot take more time than they are given."""
    async with hostile_engine("make_progress_for_ever", tmp_path) as (slot, request):
        with pytest.raises(ChildTimeoutError, match=r"no reply in 0\.5 s"):
            await slot.request(request, 0.5)


async def test_progress_sent_without_end_is_ended_and_leaves_everything_else_its_turn(tmp_path: Path) -> None:
    turns = steps = waited = longest_wait = 0

    async def something_else() -> None:
        nonlocal turns, waited
        while True:
            turns, waited = turns + 1, 0
            await asyncio.sleep(0)

    def on_progress() -> None:
        nonlocal steps, waited, longest_wait
        steps, waited = steps + 1, waited + 1
        longest_wait = max(longest_wait, waited)

    async with hostile_engine("send_progress_without_end", tmp_path) as (slot, request):
        other = asyncio.create_task(something_else())
        with pytest.raises(ChildError, match="more than 100000 steps"):
            await slot.request(request, TEST_DEADLINE_S, on_progress)
        other.cancel()
    assert steps == 100_000
    assert longest_wait == 1


async def test_progress_before_an_engine_is_ready_is_no_start(tmp_path: Path) -> None:
    with pytest.raises(HostError, match="it sent progress instead of being ready"):
        async with hostile_engine("make_progress_before_it_is_ready", tmp_path):
            pass


def lines(count: int, folder: Path) -> PageImage:
    """A page with so many lines."""
    page = Image.new("RGB", (600, 30 * count + 60), "white")
    draw = ImageDraw.Draw(page)
    for number in range(count):
        draw.text(
            (40, 30 + 30 * number), f"This is line number {number}", "black", ImageFont.load_default(20)
        )
    path = folder / "lines.bgr"
    np.asarray(page)[:, :, ::-1].tofile(path)
    return page_image(1, path).model_copy(update={"width_px": page.width, "height_px": page.height})


async def test_rapidocr_tells_of_its_progress_within_a_page(tmp_path: Path) -> None:
    entry, options = ENGINES["rapidocr"].entry, protocol.EngineOptions(threads=1)
    spec = replace(TOY, entry=entry, options=options, retired_bytes=4 * GIB, killed_bytes=4 * GIB)
    watchdog = CountingWatchdog()
    async with running_slots([slot := Slot(spec)]):
        request = protocol.ReadPages(images=(lines(60, tmp_path),))
        reply = await slot.request(request, TEST_DEADLINE_S, watchdog.mark)
    assert isinstance(reply, protocol.PagesRead)
    assert len(reply.pages[0].detections) == 60
    assert watchdog.marks >= 3
