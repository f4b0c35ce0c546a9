"""Tables of a page: where they are, their cells, and what these say."""

import html
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from consumer.child.page_layout.detector import Region
from consumer.child.page_layout.grid import build_grid, text_rows
from consumer.child.page_layout.paragraphs import BlockLine, print_height
from consumer.child.page_layout.rules import Rule, ruled_areas
from consumer.child.page_layout.spans import Cell, TableEvidence
from consumer.child.page_layout.structure import StructureCell
from consumer.child.page_layout.words import Word, words_of
from consumer.child.pixels import Image
from consumer.domain.areas import share, union
from consumer.domain.geometry import Rect
from consumer.domain.scripts import is_right_to_left

#: A cell has so many lines, or less than a quarter of those of its table.
_MOST_LINES: Final = 12

#: Rows of a table that was taken for a picture, at least, and cells of each.
_TABULAR_ROWS: Final = 4
_TABULAR_CELLS: Final = 3

#: An area lies in another if so much of it does.
_WITHIN: Final = 0.7


@dataclass(frozen=True, slots=True)
class FoundTable:
    """A table, in pixels. `texts`: of each cell; `lines`: numbers of the lines that it has taken.

    `confidence`: 0 to 1; None if it is known by its rules alone.
    """

    box: Rect
    confidence: float | None
    cells: tuple[Cell, ...]
    texts: tuple[str, ...]
    lines: frozenset[int]

    @property
    def html(self) -> str:
        """The table as HTML, without attributes but spans."""
        rows: dict[int, list[str]] = {}
        for cell, text in zip(self.cells, self.texts, strict=True):
            spans = "".join(
                f' {name}="{count}"'
                for name, count in (("rowspan", cell.rows), ("colspan", cell.columns))
                if count > 1
            )
            rows.setdefault(cell.row, []).append(f"<td{spans}>{html.escape(text, quote=False)}</td>")
        count = max(cell.row + cell.rows for cell in self.cells)
        body = "".join(f"<tr>{''.join(rows.get(n, []))}</tr>" for n in range(count))
        return f"<table>{body}</table>"


def table_regions(
    regions: Sequence[Region], rules: Sequence[Rule], boxes: Sequence[Rect], line_px: float
) -> list[Region]:
    """Return where tables are: what the layout network detected, and what rules draw, put together.

    `regions`: of any label. The network takes tables without rules for pictures. `boxes`: of the lines of
    text. Several ruled areas in one detected table are tables of their own.
    """
    detected = [
        region._replace(label="table")
        for region in regions
        if region.label == "table" or (region.label == "image" and _is_tabular(region.box, boxes, line_px))
    ]
    ruled = [area for area in ruled_areas(rules, line_px) if _has_text(area, boxes)]
    tables = []
    for region in detected:
        box = region.box
        inner = [area for area in ruled if share(area, box) > _WITHIN or share(box, area) > _WITHIN]
        if len(inner) < 2:
            tables.append(region._replace(box=_round_lines(box, boxes, inner)))
            ruled = [area for area in ruled if area not in inner]
    tables += [Region("table", area, None) for area in ruled]
    return [
        table
        for n, table in enumerate(tables)
        if all(share(table.box, other.box) <= 0.5 for other in tables[:n])
    ]


def _is_tabular(area: Rect, boxes: Sequence[Rect], line_px: float) -> bool:
    """Whether most rows of text in an area have three cells; those of receipts have two."""
    words = [Word("", box, n) for n, box in enumerate(boxes) if share(box, area) > _WITHIN]
    rows = text_rows(words, line_px)
    full = sum(len(row) >= _TABULAR_CELLS for row in rows)
    return full >= max(_TABULAR_ROWS, 0.6 * len(rows))


def _has_text(area: Rect, boxes: Sequence[Rect]) -> bool:
    return sum(share(box, area) > _WITHIN for box in boxes) >= 3


def _round_lines(area: Rect, boxes: Sequence[Rect], ruled: Sequence[Rect]) -> Rect:
    """The smallest box round ruled areas and the lines that lie in an area for the most part."""
    parts = [*ruled, *(box for box in boxes if share(box, area) > 0.5)]
    return union(parts) if parts else area


def read_table(
    page: Image,
    region: Region,
    lines: Sequence[BlockLine],
    rules: Sequence[Rule],
    network: Sequence[StructureCell],
) -> FoundTable | None:
    """Read a table; None if no upright one of these lines lies in it, or it is no table."""
    inner = [line for line in lines if share(line.box, region.box) > 0.5]
    upright = [line for line in inner if line.is_upright]
    if not upright:
        return None
    line_px = print_height(upright)
    words = words_of(page, upright)
    words += [Word(line.text, line.box, line.number) for line in inner if not line.is_upright]
    grid = build_grid(
        TableEvidence(region.box, words, _inside(rules, region.box, upright, line_px), network, line_px)
    )
    if grid is None:
        return None
    held = grid.held(words)
    if max(len({word.line for word in each}) for each in held) > max(_MOST_LINES, len(inner) / 4):
        return None
    texts = tuple(_text(each, line_px) for each in held)
    numbers = frozenset(line.number for line in inner)
    return FoundTable(region.box, region.confidence, grid.cells, texts, numbers)


def _inside(rules: Sequence[Rule], area: Rect, lines: Sequence[BlockLine], line_px: float) -> list[Rule]:
    """Rules in an area; what is within a line of text is strokes of its letters."""
    near = line_px / 2
    kept = []
    for rule in rules:
        across = (area.y1, area.y2) if rule.axis == "horizontal" else (area.x1, area.x2)
        along = (area.x1, area.x2) if rule.axis == "horizontal" else (area.y1, area.y2)
        if across[0] - near <= rule.at <= across[1] + near and rule.common(*along) > 0:
            kept.append(rule)
    return [rule for rule in kept if not any(_is_stroke(rule, line.box, near) for line in lines)]


def _is_stroke(rule: Rule, box: Rect, near: float) -> bool:
    inset = (box.y2 - box.y1) / 5
    return (
        rule.axis == "horizontal"
        and box.y1 + inset < rule.at < box.y2 - inset
        and box.x1 - near < rule.start
        and rule.end < box.x2 + near
    )


def _text(words: Sequence[Word], line_px: float) -> str:
    rows = text_rows(words, line_px)
    return " ".join(word.text for row in rows for word in _in_order(row))


def _in_order(row: Sequence[Word]) -> Sequence[Word]:
    is_reversed = is_right_to_left("".join(word.text for word in row))
    return sorted(row, key=lambda word: word.box.x1, reverse=is_reversed)
