"""Layouts of the embedded engine: the time of a page and the memory of a process, with each and without.

    make bench/layout

One process each of LAYOUT none, fast and full, of one thread, read the same pages in turn. Times are
processor time, so that others on the machine count little. It prints a table, and exits with 1 if a page
takes more than 1.15 times (fast) or twice (full) the time without, or a process more than 1.5 times the
memory.
"""

import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import Final

import numpy as np
import pymupdf
from PIL import Image as Pictures

from bench.common import asked_for, report
from bench.engines.process import EngineProcess, Used
from consumer.child.pixels import Image
from tests.page_images import stored
from tests.reading.running_heads import book_page

_REPOSITORY: Final = Path(__file__).resolve().parents[1]
_SAMPLES: Final = _REPOSITORY / "tests" / "samples"
_KINDS: Final = ("none", "fast", "full")
_MOST_TIME: Final = {"fast": 1.15, "full": 2.0}
_MOST_MEMORY: Final = 1.5
_BOOK_PAGES: Final = 6


def main() -> int:
    """Measure; returns the exit status."""
    rounds = asked_for(__doc__, "rounds", 3)
    used: dict[str, list[Used]] = {kind: [] for kind in _KINDS}
    with tempfile.TemporaryDirectory(prefix="bucket-ocr-bench-") as folder, ExitStack() as running:
        engines = {kind: running.enter_context(EngineProcess(_REPOSITORY, 0, layout=kind)) for kind in _KINDS}
        pages = [stored(image, Path(folder) / f"{n}.bgr") for n, image in enumerate(_pages())]
        # The first round compiles what these sizes of pages need.
        for _ in range(rounds + 1):
            for page in pages:
                for kind, engine in engines.items():
                    used[kind].append(engine.read(page))
    seconds = {kind: [each.processor_s for each in used[kind][len(pages) :]] for kind in _KINDS}
    peak = {kind: max(each.resident_bytes for each in used[kind]) for kind in _KINDS}
    time_ratios = {kind: round(sum(seconds[kind]) / sum(seconds["none"]), 3) for kind in _KINDS}
    memory_ratios = {kind: round(peak[kind] / peak["none"], 3) for kind in _KINDS}
    print("| layout | processor s a page, median | all pages, to none | most resident MiB | to none |")
    print("|---|---|---|---|---|")
    for kind in _KINDS:
        time, memory = f"{median(seconds[kind]):.2f}", f"{peak[kind] / 2**20:.0f}"
        print(f"| {kind} | {time} | {time_ratios[kind]:.2f} | {memory} | {memory_ratios[kind]:.2f} |")
    kept = all(time_ratios[kind] <= most for kind, most in _MOST_TIME.items())
    figures = {"pages": len(pages), "time_to_none": time_ratios, "memory_to_none": memory_ratios}
    return report(figures, kept=kept and max(memory_ratios.values()) <= _MOST_MEMORY)


def _pages() -> Iterator[Image]:
    """A report, a delivery note with a table, and pages of books, as they are rendered."""
    for seed in range(_BOOK_PAGES):
        yield book_page(seed).image
    with Pictures.open(_SAMPLES / "scan.png") as scan:
        yield np.ascontiguousarray(np.asarray(scan.convert("RGB"))[:, :, ::-1])
    with pymupdf.open(_SAMPLES / "report.pdf") as document:
        for page in document:
            pixels = page.get_pixmap(matrix=pymupdf.Matrix(2, 2), alpha=False)
            rgb = np.frombuffer(pixels.samples, np.uint8).reshape(pixels.height, pixels.width, 3)
            yield np.ascontiguousarray(rgb[:, :, ::-1])


if __name__ == "__main__":
    sys.exit(main())
