"""Pages whose text is known: each is a drawing without text, and lines that an engine might have read on it.

Boxes are pixels of the page rendered at 144 dpi.
"""

import math
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

import pymupdf

from consumer.domain.result import Corner, Detection, Page, PageResult, Status, Word

SCALE: Final = 2.0
Box = tuple[Corner, Corner, Corner, Corner]

#: Height of a line in pixels; widths of its letters and of its spaces, in heights: not those of our font.
_LINE_PX, _LETTER, _SPACE = 40.0, (0.35, 0.75), (0.25, 0.6)


def line(
    text: str, start: tuple[float, float], *, degrees: float = 0.0, height: float = _LINE_PX, page: int = 1
) -> Detection:
    """A line whose first corner is at `start`, turned clockwise; where its words are, chance decides.

    The words of a line that begins with a letter of Hebrew or Arabic follow each other to the left.
    """
    chance = random.Random(text)
    words = text.split()
    is_leftward = "\u0590" < text[0] < "\u0700"
    placed, x = [], 0.0
    for word in reversed(words) if is_leftward else words:
        width = height * sum(chance.uniform(*_LETTER) for _ in word)
        placed.append(Word(text=word, box=_box(start, degrees, x, x + width, height), confidence=0.9))
        end = x + width
        x = end + height * chance.uniform(*_SPACE)
    ordered = reversed(placed) if is_leftward else placed
    return Detection(
        text=text,
        box=_box(start, degrees, 0.0, end, height),
        confidence=0.9,
        page_number=page,
        words=tuple(ordered),
    )


def _box(start: tuple[float, float], degrees: float, left: float, right: float, height: float) -> Box:
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))

    def corner(x: float, y: float) -> Corner:
        return round(start[0] + x * cos - y * sin), round(start[1] + x * sin + y * cos)

    return corner(left, 0), corner(right, 0), corner(right, height), corner(left, height)


class Sheet(NamedTuple):
    """A page: its keys beside those of an A4 page, what it draws, and its lines."""

    lines: Sequence[Detection]
    keys: dict[str, str] = {}  # noqa: RUF012 - nobody changes it
    contents: bytes = b"0.5 w 20 20 500 700 re S"

    def write(self, path: Path) -> Path:
        """Write it as a PDF."""
        with pymupdf.open() as document:
            page = document.new_page(width=595, height=842)
            number = document.get_new_xref()
            document.update_object(number, "<<>>")
            document.update_stream(number, self.contents)
            document.xref_set_key(page.xref, "Contents", f"{number} 0 R")
            for key, value in self.keys.items():
                document.xref_set_key(page.xref, key, value)
            document.save(path)
        return path

    def result(self, path: Path) -> PageResult:
        """The result that an engine would have."""
        with pymupdf.open(path) as document:
            width, height = (round(SCALE * side) for side in document[0].rect[2:])
        return page_result(self.lines, width, height)


def page_result(
    lines: Sequence[Detection], width: int, height: int, number: int = 1, scale: float = SCALE
) -> PageResult:
    """The result of a page."""
    page = Page(page_number=number, status=Status.SUCCESS, width_px=width, height_px=height, scale=scale)
    return PageResult(page=page, detections=tuple(lines))


PROSE = (
    "Invoice number 2024-0117 of May 3rd,",
    "to be paid within fourteen (14) days:",
    "€ 1,234.50 — “net”, no discount; café & co.",
)


def prose(
    start: tuple[float, float] = (80, 90), degrees: float = 0.0, height: float = _LINE_PX
) -> list[Detection]:
    """Three lines below each other, as they are read."""
    down = math.radians(degrees + 90)
    step = 1.6 * height
    return [
        line(
            text,
            (start[0] + n * step * math.cos(down), start[1] + n * step * math.sin(down)),
            degrees=degrees,
            height=height,
        )
        for n, text in enumerate(PROSE)
    ]


def from_the_right(hebrew: Detection) -> Detection:
    """The same line with boxes whose first corner is where its text starts: at the right."""

    def turned_over(box: Box) -> Box:
        return box[1], box[0], box[3], box[2]

    words = tuple(
        Word(text=word.text, box=turned_over(word.box), confidence=0.9) for word in hebrew.words or ()
    )
    return hebrew.model_copy(update={"box": turned_over(hebrew.box), "words": words})


def sheets() -> dict[str, Sheet]:
    """All pages by their names."""
    crop = "[50 100 550 800]"
    found = {
        f"turned by {rotation}, {box}, user unit {unit}": Sheet(
            prose(),
            {"Rotate": str(rotation), "CropBox": crop if box == "cropped" else "null", "UserUnit": str(unit)},
        )
        for rotation in (0, 90, 180, 270)
        for box in ("whole", "cropped")
        for unit in (1, 2)
    }
    found |= {
        f"askew by {degrees}, turned by {rotation}": Sheet(
            prose((100, 300), degrees), {"Rotate": str(rotation)}
        )
        for degrees, rotation in ((0.5, 0), (1, 270), (2, 0), (-3, 90), (7, 180), (30, 0))
    }
    found |= {
        "small print askew by 2": Sheet(prose((100, 300), 2, height=20)),
        "print of 11 points askew by 2.5": Sheet(prose((100, 300), 2.5, height=22)),
        "small print askew by -1.5": Sheet(prose((100, 300), -1.5, height=20), {"Rotate": "270"}),
        "upside down": Sheet(prose((1100, 600), 180)),
        "running down": Sheet(prose((1000, 100), 90)),
        "running up": Sheet(prose((200, 1600), 270)),
        "a media box off the origin": Sheet(
            prose(), {"MediaBox": "[-100 -50 495 792]", "CropBox": "[-80 0 400 700]"}
        ),
        "vertical Japanese": Sheet(
            [
                line("吾輩は猫である。", (1000, 100), degrees=90),
                line("名前はまだ無い。", (900, 100), degrees=90),
            ]
        ),
        "vertical Japanese, turned": Sheet(
            [
                line("吾輩は猫である。", (1000, 100), degrees=90),
                line("名前はまだ無い。", (900, 100), degrees=90),
            ],
            {"Rotate": "90"},
        ),
        "Japanese and Chinese": Sheet(
            [
                line("請求書 二〇二四年五月", (100, 100)),
                line("合計 一二三四五円 税込", (100, 200)),
                line("𠮷野家 発票", (100, 300)),
            ]
        ),
        "Hebrew": Sheet([line("שלום עולם טוב", (100, 100)), line("מסמך סרוק בעברית", (100, 200))]),
        "Hebrew with vowels": Sheet([line("שָׁלוֹם עוֹלָם", (100, 100))]),
        "Hebrew with numbers": Sheet([line("סכום 1,234 שקל", (100, 100)), line("חשבון 12", (100, 200))]),
        "Hebrew in boxes that start at the right": Sheet([from_the_right(line("שלום עולם טוב", (100, 100)))]),
        "Arabic": Sheet([line("مرحبا بالعالم", (100, 100)), line("وثيقة ممسوحة ضوئيا", (100, 200))]),
        "marks": Sheet(
            [
                line("ภาษาไทย น้ำ", (100, 100)),
                line("हिन्दी में लिखा", (100, 200)),
                line("cafe\u0301 nai\u0308ve", (100, 300)),
            ]
        ),
        "two columns": Sheet(
            [
                line(text, (x, y))
                for x, column in (
                    (80, ("The left column", "is read first,", "to its end;")),
                    (700, ("then the right", "column, which", "stands beside.")),
                )
                for text, y in zip(column, (100, 170, 240), strict=True)
            ]
        ),
        "small and large": Sheet(
            [*prose(height=14), line("A headline", (80, 300), height=160), line("I", (80, 600))]
        ),
        "a state left open": Sheet(
            prose(), contents=b"q 0.1 0 0 0.1 50 60 cm 3 Tr 5 w 200 200 5000 7000 re S"
        ),
        "a state closed too often": Sheet(prose(), contents=b"Q Q 2 0 0 2 0 0 cm 10 10 100 200 re S Q"),
        "a line of spaces and one letter": Sheet(
            [
                line("x", (80, 90)),
                Detection(
                    text="  ", box=((80, 200), (90, 200), (90, 220), (80, 220)), confidence=0.5, page_number=1
                ),
            ]
        ),
    }
    return found
