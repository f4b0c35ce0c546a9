"""A misbehaving process costs the page that it worked on, and nothing else: real processes and signals."""

import asyncio
import contextlib
import json
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import psutil
import pymupdf
import pytest

from consumer import protocol
from consumer.clock import SystemClock, Watchdog
from consumer.domain.assembly import Assembly, failure
from consumer.domain.errors import DocumentError, HostError
from consumer.domain.formats import Format
from consumer.domain.result import ResultDocument, Source, Status, Timing
from consumer.metrics import Metrics
from consumer.processes.pool import RecyclePolicy
from consumer.processes.process import ProcessSpec
from consumer.processes.recognizer import PageRecognizer
from consumer.processes.renderer import RenderPool
from consumer.processes.slot import Slot
from consumer.service.disk_space import DiskSpace
from consumer.service.scheduler import PageScheduler
from tests.children import hostile
from tests.children.toy import PYTHONPATH
from tests.fakes import BUCKET, ENGINE

RED, GREEN, BLUE, WHITE = (1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 1, 1)
TEXTS = {GREEN: "#00ff00", BLUE: "#0000ff", WHITE: "#ffffff"}
SOURCE = Source(
    bucket=BUCKET,
    key="hostile.pdf",
    version_id=None,
    etag="e",
    size_bytes=1,
    content_type=None,
    last_modified=datetime(2026, 1, 1, tzinfo=UTC),
)
#: Far above what a good page takes on a busy machine, and waited for twice by each that hangs.
PAGE_DEADLINE_S = 2.5
TEST_DEADLINE_S = 600.0
ENGINE_BYTES = 400_000_000


class HostileEngineOptions(protocol.EngineOptions):
    arguments: tuple[str, str]


class HostileRenderOptions(protocol.RenderOptions):
    arguments: tuple[str, str]


@pytest.fixture(autouse=True)
def _importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", PYTHONPATH)


@dataclass
class World:
    renderer: RenderPool
    scheduler: PageScheduler
    engines: Sequence[Slot]
    renderers: Sequence[Slot]
    work_dir: Path

    def store(self, name: str, body: bytes) -> None:
        """Put a document beside the work folder."""
        self._path(name).write_bytes(body)

    async def result(self, name: str) -> ResultDocument:
        """Read a document whole."""
        assembly = Assembly()
        now = SystemClock().now()
        timing = Timing(queued_at=None, started_at=now, finished_at=now)
        try:
            async with self.renderer.open(self._path(name), Format.PDF) as document:
                await self.scheduler.run(document, assembly.add)
            result = assembly.finish(SOURCE, ENGINE, timing)
        except DocumentError as error:
            result = failure(SOURCE, ENGINE, error.code, error.message, timing)
        return ResultDocument.model_validate_json(result.body)

    def _path(self, name: str) -> Path:
        return self.work_dir.with_name(f"{self.work_dir.name}-{name}")

    @property
    def replacements(self) -> int:
        return sum(slot.replacements.total() for slot in (*self.engines, *self.renderers))


@asynccontextmanager
async def world_with(
    folder: Path,
    *,
    engine: str = "behave",
    engine_count: int = 1,
    renderer: str | None = None,
    batch_pages: int = 1,
    recycle_pages: int = 1000,
    render_deadline_s: float = PAGE_DEADLINE_S,
    start_deadline_s: float = 120.0,
) -> AsyncIterator[World]:
    """All that reads documents, with engines and a renderer that behave as said; without, a painter."""
    policy = RecyclePolicy(pages=recycle_pages, resident_bytes=ENGINE_BYTES)
    engines = [
        Slot(
            ProcessSpec(
                name="engine",
                entry=hostile.ENTRY,
                options=HostileEngineOptions(threads=1, arguments=("engine", engine)),
                retired_bytes=policy.retired_bytes,
                killed_bytes=ENGINE_BYTES * 3 // 2,
                start_deadline_s=start_deadline_s,
            )
        )
        for _ in range(engine_count)
    ]
    renderers = [
        Slot(
            ProcessSpec(
                name="renderer",
                entry=hostile.ENTRY,
                options=HostileRenderOptions(
                    arguments=("renderer", renderer) if renderer else ("painter", "behave"),
                    scale=1.0,
                    max_page_pixels=10_000_000,
                    max_pages=1000,
                    open_documents=4,
                    address_space_bytes=600_000_000,
                    processor_s=2,
                ),
                retired_bytes=300_000_000,
                killed_bytes=600_000_000,
                start_deadline_s=start_deadline_s,
            )
        )
    ]
    disk_space, pages = DiskSpace(folder), Watchdog(SystemClock())
    render_pool = RenderPool(renderers, folder, 1000, render_deadline_s)
    engine_pool = PageRecognizer(engines, policy, PAGE_DEADLINE_S, pages)
    scheduler = PageScheduler(
        engine_pool, disk_space, pages, Metrics(), batch_pages=batch_pages, window_pages=8
    )
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(asyncio.timeout(TEST_DEADLINE_S))
        for part in (render_pool, engine_pool, scheduler):
            await stack.enter_async_context(part.running())
        yield World(render_pool, scheduler, engines, renderers, folder)
    assert list(folder.iterdir()) == []
    assert hostile_processes() == []


def hostile_processes(kind: str = "") -> list[psutil.Process]:
    """All processes of ours that run now, or those of a kind."""
    processes = []
    for child in psutil.Process(os.getpid()).children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            command = child.cmdline()
            if hostile.ENTRY in command and kind in command[-1]:
                processes.append(child)
    return processes


def pdf(*colours: tuple[int, int, int], comment: bytes = b"") -> bytes:
    """A document of one page per colour."""
    document = pymupdf.open()
    for colour in colours:
        page = document.new_page(width=20, height=20)
        page.draw_rect(page.rect, fill=colour, color=None)
    return bytes(document.tobytes()) + b"\n%" + comment + b"\n%" + json.dumps(colours).encode()


def texts(document: ResultDocument) -> list[tuple[int, str]]:
    return [(line.page_number, line.text) for line in document.detections]


def codes(document: ResultDocument) -> list[tuple[int | None, str]]:
    return [(warning.page_number, warning.code) for warning in document.warnings]


COSTS = {
    "die_of_a_segmentation_fault": "ENGINE_CRASH",
    "abort": "ENGINE_CRASH",
    "exit_with_0": "ENGINE_CRASH",
    "be_killed_from_outside": "ENGINE_CRASH",
    "hang_politely": "ENGINE_TIMEOUT",
    "hang_holding_the_interpreter_lock": "ENGINE_TIMEOUT",
    "spin": "ENGINE_TIMEOUT",
    "be_stopped": "ENGINE_TIMEOUT",
    "eat_memory": "ENGINE_CRASH",
    "send_without_end": "ENGINE_CRASH",
    "send_nonsense": "ENGINE_CRASH",
    "send_what_is_no_reply": "ENGINE_CRASH",
    "answer_for_nobody": "ENGINE_CRASH",
    "forge_another_page": "ENGINE_CRASH",
    "die_of_a_signal_without_a_name": "ENGINE_CRASH",
    "leave_a_process_behind": "ENGINE_CRASH",
    "raise_an_error": "ENGINE_ERROR",
}


@pytest.mark.parametrize(("way", "code"), COSTS.items())
async def test_an_engine_that_misbehaves_on_a_page_costs_that_page_alone(
    tmp_path: Path, way: str, code: str
) -> None:
    async with world_with(tmp_path, engine=way, batch_pages=4) as world:
        await costs_one_page_alone(world, code)


async def costs_one_page_alone(world: World, code: str) -> None:
    """Read a hostile document, a neighbour at the same time, and one after them."""
    world.store("hostile.pdf", pdf(GREEN, RED, BLUE, comment=hostile.HOSTILE_WORD))
    world.store("neighbour.pdf", pdf(WHITE, BLUE, GREEN))
    world.store("next.pdf", pdf(GREEN))
    bad, neighbour = await asyncio.gather(world.result("hostile.pdf"), world.result("neighbour.pdf"))
    after = await world.result("next.pdf")

    assert (bad.status, codes(bad)) == (Status.PARTIAL, [(2, code)])
    assert texts(bad) == [(1, TEXTS[GREEN]), (3, TEXTS[BLUE])]
    assert str(world.work_dir) not in bad.model_dump_json()
    assert neighbour.status is Status.SUCCESS
    assert texts(neighbour) == [(1, TEXTS[WHITE]), (2, TEXTS[BLUE]), (3, TEXTS[GREEN])]
    assert (after.status, texts(after)) == (Status.SUCCESS, [(1, TEXTS[GREEN])])


@pytest.mark.parametrize("batch_pages", [1, 8])
async def test_a_page_that_kills_the_engine_every_time_costs_two_engines_at_most(
    tmp_path: Path, batch_pages: int
) -> None:
    colours = [GREEN] * 16 + [RED] + [BLUE] * 33
    async with world_with(tmp_path, engine="die_of_a_segmentation_fault", batch_pages=batch_pages) as world:
        world.store("long.pdf", pdf(*colours))
        for name in ("a.pdf", "b.pdf", "c.pdf"):
            world.store(name, pdf(WHITE))
        long, *others = await asyncio.gather(
            *(world.result(name) for name in ("long.pdf", "a.pdf", "b.pdf", "c.pdf"))
        )
        assert world.replacements <= 2

    assert long.status is Status.PARTIAL
    assert codes(long) == [(17, "ENGINE_CRASH")]
    assert len(long.detections) == 49
    assert [other.status for other in others] == [Status.SUCCESS] * 3


async def test_output_of_an_engine_is_not_taken_for_a_log_line_or_a_reply(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    async with world_with(tmp_path, engine="print_to_stdout") as world:
        world.store("loud.pdf", pdf(RED, GREEN))
        document = await world.result("loud.pdf")

    assert texts(document) == [(1, "#ff0000"), (2, TEXTS[GREEN])]
    printed = capfd.readouterr()
    assert "not a log line" not in printed.out
    assert "not a log line" in printed.err


async def test_an_engine_that_leaks_is_replaced_by_a_warm_one_without_a_lost_page(tmp_path: Path) -> None:
    pages = 60
    highest = 0
    async with world_with(tmp_path, engine="leak") as world:
        world.store("long.pdf", pdf(*[RED] * pages))
        (slot,) = world.engines
        work = asyncio.create_task(world.result("long.pdf"))
        while not work.done():
            await asyncio.wait([work], timeout=0.01)
            highest = max(highest, slot.process.resident_bytes if slot.process else 0)
        document = await work
        assert set(slot.replacements) == {"recycled"}
        assert slot.replacements["recycled"] >= pages * hostile.LEAK_BYTES // ENGINE_BYTES

    assert document.status is Status.SUCCESS
    assert len(document.detections) == pages
    assert highest < ENGINE_BYTES


async def test_an_engine_works_until_its_successor_is_ready_one_at_a_time(
    tmp_path: Path,
) -> None:
    recycle_pages = 20
    oldest, most_processes = 0, 0
    async with world_with(tmp_path, engine_count=2, recycle_pages=recycle_pages) as world:
        world.store("long.pdf", pdf(*[GREEN] * 240))
        work = asyncio.create_task(world.result("long.pdf"))
        while not work.done():
            await asyncio.wait([work], timeout=0.005)
            oldest = max(oldest, *(slot.process.pages_read for slot in world.engines if slot.process))
            most_processes = max(most_processes, len(hostile_processes('"engine"')))
        document = await work
        replacements = [dict(slot.replacements) for slot in world.engines]

    assert len(document.detections) == 240
    assert all(set(reasons) == {"recycled"} for reasons in replacements)
    # Starting a process takes longer than reading a page of these.
    assert oldest > recycle_pages
    assert most_processes == 3


@pytest.mark.parametrize("kind", ["engine", "renderer"])
async def test_a_process_that_never_gets_ready_is_the_machines_failure(tmp_path: Path, kind: str) -> None:
    with pytest.raises(HostError, match="not ready in"):
        async with world_with(tmp_path, start_deadline_s=2, **{kind: "never_get_ready"}):  # type: ignore[arg-type]
            pass


RENDERING_COSTS = {
    "die_of_a_segmentation_fault": "RENDER_CRASH",
    "abort": "RENDER_CRASH",
    "exit_with_0": "RENDER_CRASH",
    "hang_politely": "RENDER_TIMEOUT",
    "hang_holding_the_interpreter_lock": "RENDER_TIMEOUT",
    "spin": "RENDER_TIMEOUT",
    "be_stopped": "RENDER_TIMEOUT",
    "eat_memory": "RENDER_CRASH",
    "send_nonsense": "RENDER_CRASH",
    "send_what_is_no_reply": "RENDER_CRASH",
    "answer_for_nobody": "RENDER_CRASH",
    "raise_an_error": "PAGE_UNREADABLE",
}


@pytest.mark.parametrize(("way", "code"), RENDERING_COSTS.items())
async def test_a_renderer_that_misbehaves_on_a_page_costs_that_page_alone(
    tmp_path: Path, way: str, code: str
) -> None:
    async with world_with(tmp_path, renderer=way) as world:
        await costs_one_page_alone(world, code)


async def test_a_renderer_that_burns_processor_time_is_ended_by_the_kernel(tmp_path: Path) -> None:
    async with world_with(tmp_path, renderer="spin", render_deadline_s=TEST_DEADLINE_S) as world:
        world.store("hostile.pdf", pdf(GREEN, RED, comment=hostile.HOSTILE_WORD))
        document = await world.result("hostile.pdf")

    assert codes(document) == [(2, "RENDER_TIMEOUT")]
    assert "used up its processor time" in document.warnings[0].message


async def test_a_renderer_that_leaks_is_replaced_and_no_page_is_lost(tmp_path: Path) -> None:
    async with world_with(tmp_path, renderer="leak") as world:
        for number in range(20):
            key = f"{number}.pdf"
            world.store(key, pdf(GREEN, BLUE, comment=hostile.HOSTILE_WORD))
            assert (await world.result(key)).status is Status.SUCCESS
        (slot,) = world.renderers
        assert set(slot.replacements) == {"recycled"}
