"""The time of this checkout's engine for processors beside another's, for example that of an older commit.

    git worktree add --detach /tmp/base COMMIT
    make bench/engine-speed BASE=/tmp/base [IMAGES='--words FOLDER/*.png']

Both read the same pages at the same time, on a processor each; in the next round the processors are swapped.
The pages are the sample of the sweep (tests/reading), or images that are named. Prints the processor seconds
a page of each, their ratio for each round, and the share of pages of which both read the same text. With
--words this one tells words; BASE=. compares it with itself without them. No promise depends on it, so it
exits with 0.
"""

import argparse
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import cv2
import numpy as np

from bench.common import report
from bench.engines.process import EngineProcess, Used
from consumer.child.pixels import Image
from consumer.domain.page import PageImage
from tests.page_images import stored
from tests.reading.sheets import draw, typeset
from tests.reading.sweep import sample

_REPOSITORY: Final = Path(__file__).resolve().parents[2]


def main() -> int:
    """Measure; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("base", type=Path, help="the other checkout")
    parser.add_argument("images", type=Path, nargs="*", help="images to read instead of the sample")
    parser.add_argument("--rounds", type=int, default=3, help="default: %(default)s")
    parser.add_argument("--words", action="store_true", help="tell words here")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        pages = [
            stored(pixels, Path(folder) / f"{number}.bgr")
            for number, pixels in enumerate(_pixels(args.images))
        ]
        base = args.base.resolve()
        rounds = [_round(pages, base, number % 2, words=args.words) for number in range(args.rounds)]
    figures = {
        "pages": len(pages),
        "base_s_a_page": [_seconds(base) for base, _ in rounds],
        "here_s_a_page": [_seconds(here) for _, here in rounds],
        "here_to_base": [round(_seconds(here) / _seconds(base), 3) for base, here in rounds],
        "same_text": round(_same(*rounds[0]), 3),
        "resident_mib": [[round(used[-1].resident_bytes / 2**20) for used in each] for each in rounds],
        "peak_mib": [[round(used[-1].peak_bytes / 2**20) for used in each] for each in rounds],
    }
    return report(figures, kept=True)


def _pixels(images: Sequence[Path]) -> Iterator[Image]:
    if not images:
        for sheet in sample():
            grey = draw(typeset(sheet).document[0], sheet)
            yield np.asarray(cv2.cvtColor(grey, cv2.COLOR_GRAY2BGR), np.uint8)
    for path in images:
        pixels = cv2.imread(str(path), cv2.IMREAD_COLOR)
        if pixels is None:
            raise SystemExit(f"{path} is no image that OpenCV can read")
        yield np.asarray(pixels, np.uint8)


def _round(pages: Sequence[PageImage], base: Path, cpu: int, *, words: bool) -> tuple[list[Used], list[Used]]:
    """Read all pages with both builds at once; returns what each page took of the other build, and here."""
    with (
        EngineProcess(base, cpu) as other,
        EngineProcess(_REPOSITORY, 1 - cpu, words=words) as own,
        ThreadPoolExecutor(2) as threads,
    ):
        of_base, here = threads.map(lambda engine: [engine.read(page) for page in pages], (other, own))
    return of_base, here


def _seconds(used: Sequence[Used]) -> float:
    return round(sum(each.processor_s for each in used) / len(used), 3)


def _same(base: Sequence[Used], here: Sequence[Used]) -> float:
    return sum(a.texts == b.texts for a, b in zip(base, here, strict=True)) / len(base)


if __name__ == "__main__":
    sys.exit(main())
