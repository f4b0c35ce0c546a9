"""The cost of replacing engines that leak 20 MB a page, compared with engines that do not leak.

    make bench/recycling

A thousand tiny pages through two engines that take a fixed time for each, without LocalStack; first with
engines that do not leak, then with engines that do. It exits with 1 if an engine held more than its limit,
a page was lost, or the leaking ones read less than 0.97 of the others' pages a second.
"""

import asyncio
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path

from bench.common import asked_for, report
from consumer import logs, protocol
from consumer.clock import SystemClock, Watchdog
from consumer.domain.page import PageImage
from consumer.domain.result import PageResult
from consumer.metrics import Metrics
from consumer.processes.pool import RecyclePolicy
from consumer.processes.process import ProcessSpec
from consumer.processes.recognizer import PageRecognizer
from consumer.processes.slot import RECYCLED, Slot
from consumer.service.disk_space import DiskSpace
from consumer.service.scheduler import PageScheduler
from consumer.settings import Settings
from tests.e2e.scripted import engine
from tests.e2e.stack import Document, null_engine

_ENGINES = 2
_PAGE_S = 0.1
_LEAK_BYTES = 20_000_000
_POLICY = RecyclePolicy(pages=10**6, resident_bytes=1_800_000_000)
_CHECK_S = 0.01
_SIDE_PX = 2


def main() -> int:
    """Measure once; returns the exit status."""
    pages = asked_for(__doc__, "pages", 1000)
    logs.configure("json", "warning")
    steady = asyncio.run(_read(pages, leak_bytes=0))
    leaking = asyncio.run(_read(pages, leak_bytes=_LEAK_BYTES))
    ratio = leaking["pages_per_s"] / steady["pages_per_s"]
    figures = {
        "pages": pages,
        "limit_bytes": _POLICY.resident_bytes,
        "throughput_ratio": round(ratio, 4),
        "leaking": leaking,
        "steady": steady,
    }
    whole = steady["read"] == leaking["read"] == pages
    return report(
        figures, kept=whole and leaking["highest_bytes"] <= _POLICY.resident_bytes and ratio >= 0.97
    )


class TinyPages:
    """A document of so many pages, rendered in no time into `folder`."""

    def __init__(self, page_count: int, folder: Path) -> None:
        self._page_count = page_count
        self._folder = folder

    @property
    def page_count(self) -> int:
        """Number of pages."""
        return self._page_count

    async def render(self, page_number: int) -> PageImage:
        """Make the page."""
        path = self._folder / f"{page_number}.bgr"
        path.write_bytes(bytes(3 * _SIDE_PX**2))
        return PageImage(
            page_number=page_number,
            path=str(path),
            width_px=_SIDE_PX,
            height_px=_SIDE_PX,
            scale=1.0,
            dpi=72.0,
            downscaled=False,
            render_s=0.0,
        )


async def _read(pages: int, *, leak_bytes: int) -> Document:
    """Read a document of so many pages with fresh engines."""
    path, *arguments = null_engine(_PAGE_S, leak_bytes=leak_bytes)
    scripted = engine(Path(path), tuple(arguments))
    spec = ProcessSpec(
        name=scripted.name,
        entry=scripted.entry,
        options=scripted.options(Settings(queue_url="none"), protocol.EngineOptions(threads=1), Path()),
        retired_bytes=_POLICY.retired_bytes,
        killed_bytes=_POLICY.killed_bytes,
    )
    slots = [Slot(spec) for _ in range(_ENGINES)]
    watchdog = Watchdog(SystemClock())
    pool = PageRecognizer(slots, _POLICY, 60.0, watchdog)
    highest = 0
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        scheduler = PageScheduler(
            pool, DiskSpace(folder), watchdog, Metrics(), batch_pages=1, window_pages=2 * _ENGINES + 2
        )
        for part in (pool, scheduler):
            await stack.enter_async_context(part.running())
        started = time.monotonic()
        results: list[PageResult] = []
        work = asyncio.create_task(scheduler.run(TinyPages(pages, folder), results.append))
        while not work.done():
            await asyncio.wait([work], timeout=_CHECK_S)
            highest = max(highest, *_resident_bytes(slots))
        wall_s = time.monotonic() - started
        await work
        read = sum(page.failure is None for page in results)
        replaced = sum(slot.replacements[RECYCLED] for slot in slots)
    return {
        "read": read,
        "wall_s": round(wall_s, 2),
        "pages_per_s": round(read / wall_s, 3),
        "highest_bytes": highest,
        "replaced": replaced,
    }


def _resident_bytes(slots: list[Slot]) -> Iterator[int]:
    return (slot.process.resident_bytes if slot.process else 0 for slot in slots)


if __name__ == "__main__":
    sys.exit(main())
