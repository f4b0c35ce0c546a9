"""Searchable PDFs: processor time, bytes and memory of the text layer.

    make bench/searchable

Scanned pages of 50 lines with the boxes of their words, pages that have all of their text already, and faxes
(TIFF): each a short and a long document, in a process of its own. Beside each, as many of its pages are
rendered, which is the least that reading takes. It exits with 1 if a page takes over 0.1 s or 15 kB more, or
a process over 300 MB.
"""

import io
import multiprocessing
import random
import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Final, NamedTuple

import pymupdf
from PIL import Image, ImageDraw, ImageFont

from bench.common import asked_for, report
from consumer import protocol
from consumer.child.rendering.opening import open_document
from consumer.child.textlayer.interface import Original
from consumer.child.textlayer.searchable import write_searchable_pdf
from consumer.domain.formats import Format
from consumer.domain.result import Detection, PageResult
from tests.children.searchable.sheets import line, page_result

_SHORT: Final = 20
_LINES: Final = 50
_HEIGHT_PX: Final = 22
_WIDTH, _HEIGHT = 1190, 1684
#: Pages of one document that are made; the others are copies of them.
_DIFFERENT: Final = 20
_MOST_PAGE_S, _MOST_PAGE_BYTES, _MOST_BYTES = 0.1, 15_000, 300_000_000

_OPTIONS: Final = protocol.RenderOptions(
    scale=2.0,
    max_page_pixels=40_000_000,
    max_pages=100_000,
    open_documents=1,
    address_space_bytes=2**40,
    processor_s=3600,
)


class _Measured(NamedTuple):
    """Processor time, bytes and memory of a document. `render_page_s`: rendering of a page, beside it."""

    page_s: float
    render_page_s: float
    page_bytes: float
    peak_bytes: int


def main() -> int:
    """Measure once; returns the exit status."""
    pages = asked_for(__doc__, "pages", 2000)
    figures, kept = {}, True
    with tempfile.TemporaryDirectory(prefix="bucket-ocr-bench-") as name:
        for kind, make in (("scanned", _scanned), ("digital", _digital), ("fax", _fax)):
            for count in (_SHORT, pages):
                source = Path(name) / f"{kind}-{count}"
                make(source, count)
                measured = _in_process(source, Format.TIFF if kind == "fax" else Format.PDF, count)
                source.unlink()
                figures[f"{kind}, {count} pages"] = {
                    "page_ms": round(1000 * measured.page_s, 2),
                    "of_rendering": round(measured.page_s / measured.render_page_s, 2),
                    "page_bytes": round(measured.page_bytes),
                    "peak_mb": round(measured.peak_bytes / 1e6),
                }
                kept &= measured.page_s <= _MOST_PAGE_S and measured.peak_bytes <= _MOST_BYTES
                # A short document pays for its font.
                kept &= measured.page_bytes <= _MOST_PAGE_BYTES
    return report(figures, kept=kept)


def _in_process(source: Path, file_format: Format, count: int) -> _Measured:
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        return pool.submit(_measure, source, file_format, count).result()


def _measure(source: Path, file_format: Format, count: int) -> _Measured:
    output = source.with_suffix(".out")
    waited_s = 0.0

    def pages() -> Iterator[PageResult]:
        nonlocal waited_s
        made = [_lines(number) for number in range(_DIFFERENT)]
        for number in range(1, count + 1):
            started = time.process_time()
            page = page_result(made[number % _DIFFERENT], _WIDTH, _HEIGHT, number, 2.0)
            waited_s += time.process_time() - started
            yield page

    started = time.process_time()
    with source.open("rb") as file, output.open("wb") as written:
        outcome = write_searchable_pdf(Original(file, file_format, _OPTIONS), pages(), written, lambda: None)
    page_s = (time.process_time() - started - waited_s) / count
    assert outcome.written, outcome.notes
    peak_bytes = 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    page_bytes = (output.stat().st_size - source.stat().st_size) / count
    output.unlink()
    return _Measured(page_s, _render_s(source, file_format), page_bytes, peak_bytes)


def _render_s(source: Path, file_format: Format) -> float:
    document = open_document(source.open("rb"), file_format, _OPTIONS)
    started = time.process_time()
    for number in range(1, _SHORT + 1):
        document.render(number)
    document.close()
    return (time.process_time() - started) / _SHORT


def _text(seed: int) -> list[str]:
    """Lines of about ten words of about six letters."""
    chance = random.Random(seed)
    letters = "abcdefghijklmnopqrstuvwxyz" * 4 + "ABCDEFGHIJ0123456789,.-"
    return [
        " ".join("".join(chance.choices(letters, k=chance.randint(2, 10))) for _ in range(10))
        for _ in range(_LINES)
    ]


def _lines(seed: int) -> list[Detection]:
    return [line(text, (100, 80 + 30 * number), height=_HEIGHT_PX) for number, text in enumerate(_text(seed))]


def _drawn(seed: int) -> Image.Image:
    page = Image.new("L", (_WIDTH, _HEIGHT), 255)
    draw, font = ImageDraw.Draw(page), ImageFont.load_default(_HEIGHT_PX - 4)
    for number, text in enumerate(_text(seed)):
        draw.text((100, 80 + 30 * number), text, fill=0, font=font)
    return page


def _scanned(path: Path, count: int) -> None:
    """A PDF whose pages are pictures."""
    with pymupdf.open() as document:
        for number in range(_DIFFERENT):
            packed = io.BytesIO()
            _drawn(number + 1).save(packed, "JPEG", quality=70)
            page = document.new_page(width=_WIDTH / 2, height=_HEIGHT / 2)
            page.insert_image(page.rect, stream=packed.getvalue())
        _save(document, path, count)


def _digital(path: Path, count: int) -> None:
    """A PDF whose pages have the text that is read on them."""
    with pymupdf.open() as document:
        for number in range(_DIFFERENT):
            page = document.new_page(width=_WIDTH / 2, height=_HEIGHT / 2)
            for place, text in enumerate(_text((number + 1) % _DIFFERENT)):
                page.insert_text((50, 49 + 15 * place), text, fontsize=9)
        _save(document, path, count)


def _save(document: pymupdf.Document, path: Path, count: int) -> None:
    """Save a document with copies of its pages, until there are so many."""
    for number in range(count - _DIFFERENT):
        document.fullcopy_page(number % _DIFFERENT)
    document.save(path, deflate=True)


def _fax(path: Path, count: int) -> None:
    """A TIFF in black and white."""
    frames = [_drawn(number).convert("1") for number in range(_DIFFERENT)]
    rest = (frames[number % _DIFFERENT] for number in range(1, count))
    frames[0].save(path, "TIFF", save_all=True, append_images=rest, compression="group4")


if __name__ == "__main__":
    sys.exit(main())
