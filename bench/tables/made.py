"""Pages with a table between paragraphs, made here: with rules round every cell, with some, with none."""

import random
import string
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Literal

import pymupdf

from bench.tables import markup
from bench.tables.markup import Cell
from bench.tables.pages import SCALE, Page, Table, rasterised
from consumer.domain.geometry import Rect
from tests.reading.texts import Writer

Rules = Literal["all", "horizontal", "vertical", "none"]

_LEFT_PT, _RIGHT_PT, _TOP_PT = 60.0, 535.0, 90.0
_PADDING_PT, _RULE_PT = 5.0, 0.6
#: Height of a row, in sizes of the font.
_LINE = 1.9
#: Of the width of a table, what the column of names takes.
_NAMES = 0.34


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of table; `grouped`: with cells that span columns in its head and rows at its left."""

    name: str
    rules: Rules
    rows: int
    columns: int
    size_pt: float
    grouped: bool = False

    @property
    def head(self) -> int:
        """Rows of its head."""
        return 2 if self.grouped else 1


KINDS: Sequence[Kind] = (
    Kind("ruled", "all", 9, 4, 10),
    Kind("horizontal", "horizontal", 12, 5, 10),
    Kind("vertical", "vertical", 10, 4, 10),
    Kind("plain", "none", 10, 4, 10),
    Kind("grouped", "all", 9, 5, 10, grouped=True),
    Kind("grouped-horizontal", "horizontal", 9, 5, 10, grouped=True),
    Kind("dense", "all", 28, 7, 7.5),
    Kind("dense-plain", "none", 28, 6, 8),
)


def made(count: int, folder: Path) -> list[Page]:
    """Make so many pages, the kinds one after the other."""
    return [_page(number, KINDS[number % len(KINDS)], folder) for number in range(count)]


def _page(number: int, kind: Kind, folder: Path) -> Page:
    name = f"made-{number:02}-{kind.name}"
    rng = random.Random(name)
    writer = Writer(rng)
    cells = list(_cells(kind, writer, rng))
    with pymupdf.open() as document:
        page = document.new_page(width=595, height=842)
        page.insert_textbox((_LEFT_PT, 40, _RIGHT_PT, _TOP_PT), writer.paragraph()[:220], fontsize=10)
        bottom_pt = _draw(page, kind, cells)
        below = (_LEFT_PT, bottom_pt + 20, _RIGHT_PT, 820)
        page.insert_textbox(below, writer.paragraph()[:400], fontsize=10)
        box = Rect(*(SCALE * side for side in (_LEFT_PT, _TOP_PT, _RIGHT_PT, bottom_pt)))
        return rasterised(name, page, [Table(box, markup.written(cells))], folder)


def _cells(kind: Kind, writer: Writer, rng: random.Random) -> Iterator[Cell]:
    """A head, names at the left, amounts; in a grouped table two names stand beside one of their group."""
    first = 2 if kind.grouped else 1
    yield Cell(0, 0, kind.head, first, "Goods")
    if kind.grouped:
        yield Cell(0, first, 1, kind.columns - first, "Turnover in EUR")
    names = [name for name, _ in writer.receipt(kind.rows)[1]]
    for column in range(first, kind.columns):
        yield Cell(kind.head - 1, column, text=str(2020 + column))
    for row in range(kind.head, kind.rows):
        if kind.grouped and (row - kind.head) % 2 == 0:
            group = f"Group {string.ascii_uppercase[(row - kind.head) // 2]}"
            yield Cell(row, 0, min(2, kind.rows - row), 1, group)
        yield Cell(row, first - 1, text=names[row])
        for column in range(first, kind.columns):
            yield Cell(row, column, text=f"{rng.uniform(10, 9000):,.2f}")


def _draw(page: pymupdf.Page, kind: Kind, cells: Sequence[Cell]) -> float:
    """Draw a table; returns where it ends, in points from the top."""
    row_pt = _LINE * kind.size_pt
    width_pt = _RIGHT_PT - _LEFT_PT
    widths_pt = [width_pt * (1 - _NAMES) / (kind.columns - 1)] * kind.columns
    widths_pt[1 if kind.grouped else 0] = width_pt * _NAMES
    edges_pt = list(accumulate(widths_pt, initial=_LEFT_PT))
    for cell in cells:
        box = pymupdf.Rect(
            *(edges_pt[cell.column], _TOP_PT + row_pt * cell.row),
            *(edges_pt[cell.column + cell.columns], _TOP_PT + row_pt * (cell.row + cell.rows)),
        )
        _write(page, cell.text, kind.size_pt, box)
        if kind.rules == "all":
            page.draw_rect(box, width=_RULE_PT)
    bottom_pt = _TOP_PT + row_pt * kind.rows
    if kind.rules == "horizontal":
        for y in (_TOP_PT, _TOP_PT + row_pt * kind.head, bottom_pt):
            page.draw_line((_LEFT_PT, y), (_RIGHT_PT, y), width=_RULE_PT)
    if kind.rules == "vertical":
        for x in edges_pt[1:-1]:
            page.draw_line((x, _TOP_PT), (x, bottom_pt), width=_RULE_PT)
    return bottom_pt


def _write(page: pymupdf.Page, text: str, size_pt: float, box: pymupdf.Rect) -> None:
    """Write the text of a cell: numbers end at its right, others begin at its left."""
    length_pt = pymupdf.get_text_length(text, fontname="helv", fontsize=size_pt)
    x = box.x1 - _PADDING_PT - length_pt if text[0].isdecimal() else box.x0 + _PADDING_PT
    y = (box.y0 + box.y1) / 2 + size_pt / 3
    page.insert_text((x, y), text, fontname="helv", fontsize=size_pt)
