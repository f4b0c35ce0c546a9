"""Programs that read the text of a PDF, and where each says it is.

A reader gives the words of the first page in its own order, with their boxes in pixels of the page as
rendered at 144 dpi: left, top, right, bottom.
"""

import ctypes
import re
import subprocess
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import pymupdf
import pypdfium2
from pdfminer.high_level import extract_pages
from pdfminer.layout import LAParams, LTAnno, LTChar, LTContainer
from pypdfium2 import raw

SCALE: Final = 2.0

_DIRECTIONS: Final = re.compile("[\u202a-\u202e]")


class Word(NamedTuple):
    text: str
    box: tuple[float, float, float, float]


Reader = Callable[[Path], list[Word]]


def mupdf(path: Path) -> list[Word]:
    with pymupdf.open(path) as document:
        text = pymupdf.TextPage(pymupdf.mupdf.FzStextPage(document[0].this, pymupdf.mupdf.FzStextOptions()))
        return [Word(word[4], tuple(SCALE * side for side in word[:4])) for word in text.extractWORDS()]


def pdfium(path: Path) -> list[Word]:
    # PDFium knows no user units.
    unit = user_unit(path)
    with pypdfium2.PdfDocument(path) as document:
        page = document[0]
        # In hundredths of pixels, because PDFium gives whole ones.
        width, height = (round(100 * SCALE * side) for side in page.get_size())

        def pixels(x: float, y: float) -> tuple[float, float]:
            device_x, device_y = ctypes.c_int(), ctypes.c_int()
            raw.FPDF_PageToDevice(page, 0, 0, width, height, 0, x, y, device_x, device_y)
            return unit * device_x.value / 100, unit * device_y.value / 100

        text = page.get_textpage()
        letters = []
        for index in range(text.count_chars()):
            left, bottom, right, top = text.get_charbox(index)
            # A half of a letter beyond the BMP counts as one.
            letter = chr(raw.FPDFText_GetUnicode(text, index))
            letters.append((letter, bounds([pixels(left, bottom), pixels(right, top)])))
        return [
            Word(word.text.encode("utf-16", "surrogatepass").decode("utf-16"), word.box)
            for word in words(letters)
        ]


def pdfminer(path: Path) -> list[Word]:
    """pdfminer.six turns the page and shows all of its MediaBox."""
    with pypdfium2.PdfDocument(path) as document:
        page = document[0]
        media, crop, rotation = page.get_mediabox(), page.get_cropbox(), page.get_rotation()
    # From each side of the MediaBox to that of the CropBox.
    left, bottom, right, top = (abs(a - b) for a, b in zip(media, crop, strict=True))
    left, top = {0: (left, top), 90: (bottom, left), 180: (right, bottom), 270: (top, right)}[rotation]
    height = media[2] - media[0] if rotation % 180 else media[3] - media[1]
    scale = SCALE * user_unit(path)

    def pixels(x: float, y: float) -> tuple[float, float]:
        return scale * (x - left), scale * (height - y - top)

    (layout,) = extract_pages(path, laparams=LAParams(detect_vertical=True))
    letters = []
    for item in _flat(layout):
        if isinstance(item, LTChar):
            letters.append((item.get_text(), bounds([pixels(item.x0, item.y0), pixels(item.x1, item.y1)])))
        elif isinstance(item, LTAnno):
            letters.append((" ", (0.0, 0.0, 0.0, 0.0)))
    return words(letters)


def _flat(item: Any) -> Iterator[Any]:
    yield item
    if isinstance(item, LTContainer):
        for each in item:
            yield from _flat(each)


def poppler(path: Path) -> list[Word]:
    """Pdftotext of poppler; with boxes it gives letters that run to the left from left to right."""
    scale = SCALE * user_unit(path)
    found = []
    for word in ET.fromstring(_pdftotext(path, "-bbox")).iter("{http://www.w3.org/1999/xhtml}word"):
        box = [scale * float(word.get(side, "")) for side in ("xMin", "yMin", "xMax", "yMax")]
        found.append(Word(word.text or "", (box[0], box[1], box[2], box[3])))
    return found


def pdftotext(path: Path) -> list[str]:
    """The words by pdftotext without boxes, and without its marks of direction."""
    return _DIRECTIONS.sub("", _pdftotext(path)).split()


def _pdftotext(path: Path, *options: str) -> str:
    command = ["pdftotext", *options, "-cropbox", str(path), "-"]
    return subprocess.run(command, capture_output=True, check=True, timeout=60).stdout.decode()


def user_unit(path: Path) -> float:
    with pymupdf.open(path) as document:
        kind, value = document.xref_get_key(document[0].xref, "UserUnit")
        return 1.0 if kind == "null" else float(value)


def bounds(corners: Iterable[tuple[float, float]]) -> tuple[float, float, float, float]:
    points = list(corners)
    xs, ys = [x for x, _ in points], [y for _, y in points]
    return min(xs), min(ys), max(xs), max(ys)


def words(letters: Iterable[tuple[str, tuple[float, float, float, float]]]) -> list[Word]:
    """Letters as words, which spaces and line breaks divide."""
    found: list[Word] = []
    joined = False
    for letter, box in letters:
        if letter.isspace() or not letter:
            joined = False
            continue
        if joined:
            before = found.pop()
            both = (before.box[:2], before.box[2:], box[:2], box[2:])
            found.append(Word(before.text + letter, bounds(both)))
        else:
            found.append(Word(letter, box))
        joined = True
    return found
