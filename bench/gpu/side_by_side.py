"""Engine processes side by side on one device: pages a second, and memory."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from bench.gpu import pages
from bench.gpu.card import Card
from bench.gpu.engines import Measured
from consumer.clock import SystemClock, Watchdog
from consumer.domain.page import PageImage
from consumer.domain.result import PageResult, Status
from consumer.processes import host
from consumer.processes.capacity import share_processors
from consumer.processes.pool import RecyclePolicy
from consumer.processes.process import ProcessSpec
from consumer.processes.recognizer import PageRecognizer
from consumer.processes.slot import Slot

#: Nothing is replaced while it is measured.
_POLICY: Final = RecyclePolicy(pages=10**9, resident_bytes=10**12)
_CHECK_S: Final = 0.2


@dataclass(frozen=True, slots=True)
class Figures:
    """What was measured. `busy`: share of the time in which the GPU ran something, None on a processor."""

    engine: str
    processes: int
    batch_pages: int
    pages: int
    failed: int
    wall_s: float
    start_s: float
    busy: float | None
    device_bytes_each: int
    resident_bytes_each: int

    @property
    def pages_per_s(self) -> float:
        """Pages a second, of all processes."""
        return self.pages / self.wall_s


@dataclass(frozen=True, slots=True)
class Bench:
    """What is measured: an engine on a device, with these pages."""

    engine: Measured
    card: Card
    images: Sequence[PageImage]

    async def measure(self, processes: int, batch_pages: int, seconds: float) -> Figures:
        """Read for so many seconds with each process, all at the same time, at least one request each."""
        free_bytes = self.card.free_bytes
        slots = _slots(self.engine, processes, batch_pages)
        deadline_s = self.engine.spec.progress_deadline_s
        recognizer = PageRecognizer(slots, _POLICY, deadline_s, Watchdog(SystemClock()))
        began_s = time.monotonic()
        async with recognizer.running():
            start_s, began_s = time.monotonic() - began_s, time.monotonic()
            resident_bytes = 0
            async with self.card.watched(), asyncio.TaskGroup() as group:
                requests = [pages.batches(self.images, n, batch_pages) for n in range(processes)]
                work = [group.create_task(_read(recognizer, each, began_s + seconds)) for each in requests]
                while (await asyncio.wait(work, timeout=_CHECK_S))[1]:
                    held_bytes = [slot.process.resident_bytes for slot in slots if slot.process]
                    resident_bytes = max([resident_bytes, *held_bytes])
            wall_s = time.monotonic() - began_s
        read = [page for task in work for page in task.result()]
        good = sum(page.page.status is Status.SUCCESS for page in read)
        return Figures(
            engine=self.engine.name,
            processes=processes,
            batch_pages=batch_pages,
            pages=good,
            failed=len(read) - good,
            wall_s=wall_s,
            start_s=start_s,
            busy=self.card.busy,
            device_bytes_each=(free_bytes - self.card.least_free_bytes) // processes,
            resident_bytes_each=resident_bytes,
        )


def _slots(engine: Measured, processes: int, batch_pages: int) -> list[Slot]:
    options = engine.options(batch_pages)
    return [
        Slot(
            ProcessSpec(
                engine.name,
                engine.spec.entry,
                options.model_copy(update={"threads": share.threads, "cpus": share.cpus}),
                retired_bytes=10**12,
                killed_bytes=10**12,
            )
        )
        for share in share_processors(host.processors(), host.cpu_quota(), processes)
    ]


async def _read(recognizer: PageRecognizer, batch: Sequence[PageImage], end_s: float) -> list[PageResult]:
    read: list[PageResult] = []
    while not read or time.monotonic() < end_s:
        read += await recognizer.read(batch)
    return read
