"""The memory of one engine for processors over thousands of pages of all sizes, without a replacement.

    make bench/engine-memory

Pages of the kinds of the sweep (tests/reading), with a few lines each, so that thousands take less than an
hour. They are cut to any width and height, so that the networks see many shapes. Every hundredth is a full
page of small print. Prints resident MiB when ready, and the median of each tenth of the pages. It exits with
1 if the last tenth takes more than 5 % over the third one; the usual shapes have been seen by then.
"""

import random
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import Final, get_args

import cv2
import numpy as np

from bench.common import asked_for, report
from bench.engines.process import EngineProcess
from consumer.child.pixels import Image
from tests.page_images import stored
from tests.reading.sheets import Family, Layout, Sheet, State, Style, draw, typeset

_FULL_EVERY: Final = 100
_MOST_GROWTH: Final = 1.05
_REPOSITORY: Final = Path(__file__).resolve().parents[2]


def main() -> int:
    """Measure once; returns the exit status."""
    pages = asked_for(__doc__, "pages", 5000)
    with tempfile.TemporaryDirectory() as folder, EngineProcess(_REPOSITORY, 0) as engine:
        path = Path(folder) / "page.bgr"
        used = [engine.read(stored(_page(number), path)) for number in range(pages)]
    tenth = max(1, pages // 10)
    mib = [each.resident_bytes / 2**20 for each in used]
    by_tenth = [round(median(mib[start : start + tenth])) for start in range(0, tenth * 10, tenth)]
    figures = {
        "pages": pages,
        "ready_mib": round(engine.ready.resident_bytes / 2**20),
        "median_mib_by_tenth": by_tenth,
        "most_mib": round(max(mib)),
        "peak_mib": round(used[-1].peak_bytes / 2**20),
        "processor_s_a_page": round(sum(each.processor_s for each in used) / pages, 3),
    }
    return report(figures, kept=by_tenth[-1] <= _MOST_GROWTH * by_tenth[2])


def _page(number: int) -> Image:
    rng = random.Random(number)
    is_full = number % _FULL_EVERY == _FULL_EVERY - 1
    sheet = Sheet(
        name=f"mixed-{number}",
        layout="full" if is_full else rng.choice(get_args(Layout)),
        state="clean" if is_full else rng.choice(get_args(State)),
        family=rng.choice(get_args(Family)),
        style=rng.choice(get_args(Style)),
        size_pt=8.0 if is_full else rng.uniform(7, 20),
        lines=60 if is_full else rng.randint(1, 8),
        paper="a4",
        dpi=rng.randint(100, 220),
    )
    pixels = draw(typeset(sheet).document[0], sheet)
    if not is_full:
        height, width = pixels.shape
        pixels = pixels[: rng.randint(height // 4, height), : rng.randint(width // 2, width)]
    return np.asarray(cv2.cvtColor(np.ascontiguousarray(pixels), cv2.COLOR_GRAY2BGR), np.uint8)


if __name__ == "__main__":
    sys.exit(main())
