"""Documents made by the tests, and what should be read on them."""

import io
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from difflib import SequenceMatcher
from pathlib import Path
from typing import Any

import pymupdf
from PIL import Image

Box = tuple[float, float, float, float]

_ORIENTATION = 0x0112
_WORD = re.compile(r"[^\W_]+")


def pdf(*pages: str, **save: Any) -> bytes:
    """Make a small PDF, one line of text to a page; `save`: options of PyMuPDF."""
    with pymupdf.open() as document:
        for text in pages:
            page = document.new_page(width=360, height=60)
            page.insert_text((20, 38), text, fontsize=20)
        data: bytes = document.tobytes(**save)
    return data


def blank_pdf(width_pt: int, pages: int = 1) -> bytes:
    """Make a PDF of empty pages, which is told from others by their width."""
    with pymupdf.open() as document:
        for _ in range(pages):
            document.new_page(width=width_pt, height=50)
        data: bytes = document.tobytes()
    return data


def numbered_pdf(pages: int, shift: int = 0) -> bytes:
    """Make a PDF of empty pages, each with the size of its number plus `shift`; see `numbered_size`."""
    with pymupdf.open() as document:
        for number in range(1, pages + 1):
            width_px, height_px = numbered_size(number + shift)
            document.new_page(width=width_px / 2, height=height_px / 2)
        data: bytes = document.tobytes()
    return data


def numbered_size(number: int) -> tuple[int, int]:
    """Give the size of a page in pixels that no page with another number has."""
    return 200 + 2 * (number % 100), 100 + 2 * (number // 100)


def dense_pdf(columns: int, rows: int) -> bytes:
    """Make a PDF of one page with a line of text in each row of each column."""
    with pymupdf.open() as document:
        page = document.new_page(width=180 * columns, height=12 * rows + 60)
        for number in range(columns * rows):
            column, row = divmod(number, rows)
            page.insert_text((20 + 180 * column, 40 + 12 * row), f"Line {number} of a dense page", fontsize=9)
        data: bytes = document.tobytes()
    return data


def long_pdf(path: Path, copies: int) -> bytes:
    """Repeat a document, so that it takes time to read."""
    with pymupdf.open(path) as source, pymupdf.open() as document:
        for _ in range(copies):
            document.insert_pdf(source)
        data: bytes = document.tobytes()
    return data


def photo(path: Path, scale: float) -> bytes:
    """Make a JPEG of the first page as a camera held sideways would: upright only by its orientation 6."""
    with pymupdf.open(path) as document:
        pixels = document[0].get_pixmap(matrix=pymupdf.Matrix(scale, scale))
        upright = Image.frombytes("RGB", (pixels.width, pixels.height), pixels.samples)
    exif = Image.Exif()
    exif[_ORIENTATION] = 6  # turn by 90 degrees clockwise to see it
    data = io.BytesIO()
    upright.transpose(Image.Transpose.ROTATE_90).save(data, "JPEG", quality=90, exif=exif)
    return data.getvalue()


def text_lines(path: Path, scale: float) -> list[list[tuple[str, Box]]]:
    """Per page, the lines of a PDF's own text and their boxes in pixels."""
    with pymupdf.open(path) as document:
        return [
            [
                ("".join(span["text"] for span in line["spans"]), tuple(scale * x for x in line["bbox"]))
                for block in page.get_text("dict")["blocks"]
                for line in block.get("lines", ())
            ]
            for page in document
        ]


def text(result: dict[str, Any]) -> str:
    """All that was read; whether words far apart are one line is the engine's choice."""
    return " ".join(line["text"] for line in result["detections"])


def words(lines: Iterable[str]) -> Counter[str]:
    return Counter(_WORD.findall(" ".join(lines).lower()))


def share_of_words(read: Iterable[str], truth: Iterable[str]) -> float:
    """How many of the true words were read, 0 to 1; order does not count."""
    wanted = words(truth)
    return (words(read) & wanted).total() / wanted.total()


def share_of_lines(detections: Sequence[dict[str, Any]], truth: Sequence[tuple[str, Box]]) -> float:
    """How many of the true lines have a detection with about their text in their place, 0 to 1."""
    read = [(found["text"], _bounds(found["box"])) for found in detections]
    hits = sum(
        any(_same_place(box, there) and _alike(text, said) for said, there in read) for text, box in truth
    )
    return hits / len(truth)


def _bounds(quad: Sequence[Sequence[float]]) -> Box:
    xs, ys = [x for x, _ in quad], [y for _, y in quad]
    return min(xs), min(ys), max(xs), max(ys)


def _alike(one: str, other: str) -> bool:
    return SequenceMatcher(None, one.lower(), other.lower(), autojunk=False).ratio() > 0.8


def _same_place(one: Box, other: Box) -> bool:
    """Whether they overlap by more than half of their union, or the other's centre is in the one."""
    x, y = (other[0] + other[2]) / 2, (other[1] + other[3]) / 2
    if one[0] <= x <= one[2] and one[1] <= y <= one[3]:
        return True
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    if width <= 0 or height <= 0:
        return False
    return width * height > 0.5 * (_area(one) + _area(other) - width * height)


def _area(box: Box) -> float:
    return (box[2] - box[0]) * (box[3] - box[1])
