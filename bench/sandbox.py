"""What the walls round child processes cost: processor seconds of a page, and of a start, with and without.

    make bench/sandbox

Renders the sample report, and reads its pages with the engine for processors. A process with walls and one
without take turns, page by page, so that both meet the same machine; medians are compared. It exits with 1 if
a page takes over 1.02 times as long, or a start over 50 ms longer.
"""

import asyncio
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median

from bench.common import asked_for, report
from consumer import protocol
from consumer.domain.formats import Format
from consumer.domain.page import PageImage
from consumer.processes.layout import ProcessLayout
from consumer.processes.process import NO_SANDBOX, ProcessSpec, WorkerProcess
from consumer.settings import Settings

_REPORT = Path(__file__).resolve().parents[1] / "tests" / "samples" / "report.pdf"
_PAGES = 3
_STARTS = 20
_MOST_TIMES, _MOST_START_S = 1.02, 0.05
_DEADLINE_S = 600.0

#: Processor seconds with walls and without, in turn: those of the clock are other programs' as well.
Pairs = Sequence[tuple[float, float]]


def main() -> int:
    """Measure once; returns the exit status."""
    count = asked_for(__doc__, "rounds", 10)
    with tempfile.TemporaryDirectory(prefix="bucket-ocr-bench-") as folder:
        return asyncio.run(_measure(count, Path(folder)))


async def _measure(count: int, folder: Path) -> int:
    layout = ProcessLayout.of(Settings(queue_url="none", engine="rapidocr", engine_workers=1), folder)
    renderer, engine = layout.renderers[0].spec, layout.engines[0].spec
    starts = [await _start(renderer) for _ in range(_STARTS)]
    renders, images = await _rendered(renderer, 10 * count, folder)
    reads = await _read(engine, count, images)
    start_more_s = median(walled - bare for walled, bare in starts)
    figures = {
        "start_s": _medians(starts),
        "render_s": _medians(renders),
        "read_s": _medians(reads),
        "render_times": round(_times(renders), 4),
        "read_times": round(_times(reads), 4),
        "start_more_s": round(start_more_s, 4),
    }
    kept = max(_times(renders), _times(reads)) <= _MOST_TIMES and start_more_s <= _MOST_START_S
    return report(figures, kept=kept)


def _medians(pairs: Pairs) -> list[float]:
    return [round(median(column), 4) for column in zip(*pairs, strict=True)]


def _times(pairs: Pairs) -> float:
    return median(walled / bare for walled, bare in pairs)


def _processor_s(process: WorkerProcess) -> float:
    """Of all threads of a process, by its clock (clock_getcpuclockid(3))."""
    return time.clock_gettime(~process.pid << 3 | 2)


async def _start(spec: ProcessSpec) -> tuple[float, float]:
    seconds = []
    for each in (spec, replace(spec, sandbox=NO_SANDBOX)):
        process = await WorkerProcess.started(each)
        seconds.append(_processor_s(process))
        await process.kill()
    return seconds[0], seconds[1]


async def _rendered(spec: ProcessSpec, count: int, folder: Path) -> tuple[Pairs, list[PageImage]]:
    requests = [
        protocol.RenderPage(
            path=str(_REPORT), format=Format.PDF, page_number=number, image_path=str(folder / f"{number}.bgr")
        )
        for number in range(1, _PAGES + 1)
    ]
    pairs, replies = await _in_turn(spec, requests * count)
    return pairs, [reply for reply in replies[:_PAGES] if isinstance(reply, PageImage)]


async def _read(spec: ProcessSpec, count: int, images: Sequence[PageImage]) -> Pairs:
    pairs, _ = await _in_turn(spec, [protocol.ReadPages(images=(image,)) for image in images] * count)
    return pairs


async def _in_turn(
    spec: ProcessSpec, requests: Sequence[protocol.Request]
) -> tuple[Pairs, list[protocol.Reply]]:
    """Have both processes fulfil each request; which of them is the first changes every time."""
    both = [await WorkerProcess.started(each) for each in (spec, replace(spec, sandbox=NO_SANDBOX))]
    pairs, replies = [], []
    for number, request in enumerate(requests):
        seconds = [0.0, 0.0]
        for which in (0, 1) if number % 2 else (1, 0):
            started = _processor_s(both[which])
            replies.append(await both[which].request(request, _DEADLINE_S, lambda: None))
            seconds[which] = _processor_s(both[which]) - started
        pairs.append((seconds[0], seconds[1]))
    for process in both:
        await process.kill()
    # The first of each size is compiled.
    return pairs[_PAGES:], replies[::2]


if __name__ == "__main__":
    sys.exit(main())
