"""The pages that are read: those of the samples, as the consumer would render them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import pymupdf

from bench.gpu.engines import SCALE
from consumer.domain.page import POINTS_PER_INCH, PageImage
from tests.page_images import bgr, stored

_SAMPLES: Final = Path(__file__).resolve().parents[2] / "tests" / "samples"
_NAMES: Final = ("report.pdf", "letter.pdf")


def rendered(folder: Path, count: int, part: float = 1.0) -> list[PageImage]:
    """Render so many pages, or this part of each, into files of their own; there are four different ones."""
    matrix = pymupdf.Matrix(SCALE, SCALE)
    pixels = []
    for name in _NAMES:
        with pymupdf.open(_SAMPLES / name) as document:
            whole = [bgr(page.get_pixmap(matrix=matrix)) for page in document]
            pixels += [page[: round(part * len(page))] for page in whole]
    return [
        stored(
            pixels[n % len(pixels)],
            folder / f"{n + 1}.bgr",
            n + 1,
            scale=SCALE,
            dpi=SCALE * POINTS_PER_INCH,
        )
        for n in range(count)
    ]


def document(pages: int) -> bytes:
    """Return a PDF of so many pages."""
    with pymupdf.open() as made, pymupdf.open(_SAMPLES / _NAMES[0]) as sample:
        for n in range(pages):
            made.insert_pdf(sample, from_page=n % len(sample), to_page=n % len(sample))
        return bytes(made.tobytes())


def batches(images: Sequence[PageImage], process: int, pages: int) -> list[PageImage]:
    """Return the pages of a request of one process, none of which another one reads."""
    return [images[(process * pages + n) % len(images)] for n in range(pages)]
