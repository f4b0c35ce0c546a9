"""Documents read by processes that misbehave as they are told: what the tests of these share."""

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

from consumer import protocol
from consumer.clock import SystemClock, Watchdog
from consumer.domain.assembly import Assembly, failure
from consumer.domain.body import chunks
from consumer.domain.errors import DocumentError
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
from consumer.service.spool import FileSpool
from tests.children import hostile
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


@dataclass
class HostileDocuments:
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
        assembly = Assembly(lambda: FileSpool(self.work_dir))
        now = SystemClock().now()
        timing = Timing(queued_at=None, started_at=now, finished_at=now)
        try:
            async with self.renderer.open(self._path(name), Format.PDF) as document:
                await self.scheduler.run(document, assembly.add)
            result = assembly.encode(assembly.head(SOURCE, ENGINE, timing))
        except DocumentError as error:
            result = failure(SOURCE, ENGINE, error.code, error.message, timing)
        return ResultDocument.model_validate_json(b"".join(chunks(result.body)))

    def _path(self, name: str) -> Path:
        return self.work_dir.with_name(f"{self.work_dir.name}-{name}")

    @property
    def replacements(self) -> int:
        return sum(slot.replacements.total() for slot in (*self.engines, *self.renderers))


@asynccontextmanager
async def hostile_documents(
    folder: Path,
    *,
    engine: str = "behave",
    engine_kind: str = "engine",
    engine_count: int = 1,
    renderer: str | None = None,
    batch_pages: int = 1,
    recycle_pages: int = 1000,
    render_deadline_s: float = PAGE_DEADLINE_S,
    start_deadline_s: float = 120.0,
) -> AsyncIterator[HostileDocuments]:
    """All that reads documents, with engines and a renderer that behave as said; without, a painter."""
    policy = RecyclePolicy(pages=recycle_pages, resident_bytes=ENGINE_BYTES)
    engines = [
        Slot(
            ProcessSpec(
                name="engine",
                entry=hostile.ENTRY,
                options=HostileEngineOptions(threads=1, arguments=(engine_kind, engine)),
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
        yield HostileDocuments(render_pool, scheduler, engines, renderers, folder)
    assert list(folder.iterdir()) == []
    assert hostile_processes() == []


def hostile_processes(kind: str = "") -> list[psutil.Process]:
    """All processes of ours that run now, or those of a kind."""
    processes = []
    for child in psutil.Process(os.getpid()).children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            command = child.cmdline()
            if hostile.ENTRY in command and kind in command[-2]:
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


async def costs_one_page_alone(world: HostileDocuments, code: str) -> None:
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
