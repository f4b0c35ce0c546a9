"""Rows, columns and cells of a table: what its rules, its text, and the network for structure say together.

Rules are believed most, then white between words, and the network where these leave it open. The network's
boxes are inexact; its rows and columns are moved to the text.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np

from consumer.child.page_layout.rules import clusters
from consumer.child.page_layout.spans import Cell, TableEvidence, merged, place_of
from consumer.child.page_layout.structure import StructureCell
from consumer.child.page_layout.words import Word

#: Rules count as a border between columns if together they are this part of the table's height.
_BORDER: Final = 0.5

#: White divides columns if it is crossed by this part of the rows at most.
_CROSSED: Final = 0.2

#: Text between two rules is rows of a table if so many of its lines have several cells, and digits; or if
#: there are several, and the network sees a row for every two at least. Otherwise it is the text of one row.
#: The network is not believed if it sees fewer rows in a list of many.
_ROWS: Final = 0.6
_SEVERAL: Final = 4
_MANY: Final = 8

#: A table has so few cells, or so few to each of its words.
_MOST_CELLS: Final = 600
_MOST_TO_WORDS: Final = 6

#: White without rules or a network is at least this many lines' heights wide between columns.
_RIVER: Final = 0.7


@dataclass(frozen=True, slots=True)
class Grid:
    """A table. `xs`, `ys`: borders of its columns and rows, the outer ones too, in pixels."""

    xs: tuple[float, ...]
    ys: tuple[float, ...]
    cells: tuple[Cell, ...]

    def held(self, words: Sequence[Word]) -> list[list[Word]]:
        """Return the words of each cell: those whose middle lies in it, or nearest to it."""
        owner = {
            (cell.row + r, cell.column + c): n
            for n, cell in enumerate(self.cells)
            for r in range(cell.rows)
            for c in range(cell.columns)
        }
        held: list[list[Word]] = [[] for _ in self.cells]
        for word in words:
            held[owner[place_of(self.xs, self.ys, *word.middle)]].append(word)
        return held


def build_grid(table: TableEvidence) -> Grid | None:
    """Return the grid of a table, with at least one cell; None if it is graph paper rather than a table."""
    rows = text_rows(table.words, table.line_px)
    xs = _columns(table, rows)
    ys = _rows(table, rows, xs)
    xs = _without_empty(xs, [word.middle[0] for word in table.words], table.line_px)
    ys = _without_empty(ys, [word.middle[1] for word in table.words], 0.6 * table.line_px)
    if (len(xs) - 1) * (len(ys) - 1) > max(_MOST_CELLS, _MOST_TO_WORDS * len(table.words)):
        return None
    cells = tuple(merged(xs, ys, table))
    return Grid(tuple(xs), tuple(ys), cells)


def text_rows(words: Sequence[Word], line_px: float) -> list[list[Word]]:
    """Group words into rows of text, from top to bottom: those of a row share height."""
    rows: list[list[Word]] = []
    reach = -np.inf
    for word in sorted(words, key=lambda word: word.middle[1]):
        height = min(word.box.y2 - word.box.y1, 1.5 * line_px)
        top, bottom = word.middle[1] - 0.3 * height, word.middle[1] + 0.3 * height
        if rows and top < reach:
            rows[-1].append(word)
        else:
            rows.append([word])
            reach = bottom
        # The row's reach is that of its first words: steps of words would join all rows.
        reach = min(max(reach, bottom), _middle(rows[-1]) + 0.6 * line_px)
    return rows


def _middle(row: Sequence[Word]) -> float:
    """The median height of the words of a row, which are sorted by it."""
    half = len(row) // 2
    return (row[half].middle[1] + row[-1 - half].middle[1]) / 2


def _columns(table: TableEvidence, rows: Sequence[Sequence[Word]]) -> list[float]:
    area, line_px = table.area, table.line_px
    ruled = _column_rules(table)
    crossed = _crossings(table, rows)
    if table.network:
        open_ones = _network_columns(table, crossed, ruled)
    else:
        open_ones = [] if ruled else _rivers(table, crossed, len(rows))
    limit = max(1.0, _CROSSED * len(rows))
    for x in open_ones:
        is_clear = crossed[min(int(x - area.x1), len(crossed) - 1)] <= limit
        if is_clear and all(abs(x - other) > line_px for other in (*ruled, area.x1, area.x2)):
            ruled.append(x)
    return [area.x1, *sorted(ruled), area.x2]


def _column_rules(table: TableEvidence) -> list[float]:
    """Places of vertical rules inside the table that together are long enough to be borders of columns."""
    area, near = table.area, table.line_px / 2
    rules = [rule for rule in table.rules if rule.axis == "vertical"]
    borders = []
    for places in clusters([rule.at for rule in rules], near):
        those = [rule for rule in rules if places[0] <= rule.at <= places[-1]]
        place, covered = float(np.median(places)), sum(rule.common(area.y1, area.y2) for rule in those)
        if area.x1 + near < place < area.x2 - near and covered >= _BORDER * (area.y2 - area.y1):
            borders.append(place)
    return borders


def _crossings(table: TableEvidence, rows: Sequence[Sequence[Word]]) -> np.ndarray:
    """How many rows of text have a word at each pixel of the table's width."""
    width = max(1, round(table.area.x2 - table.area.x1)) + 1
    crossed = np.zeros(width, np.int32)
    for row in rows:
        inked = np.zeros(width, bool)
        for word in row:
            start, end = (round(x - table.area.x1) for x in (word.box.x1, word.box.x2))
            inked[max(start + 1, 0) : max(end - 1, 0)] = True
        crossed += inked
    return crossed


def _network_columns(table: TableEvidence, crossed: np.ndarray, ruled: Sequence[float]) -> list[float]:
    """Borders of the network's columns that no rule divides: the widest white between the middles of two."""
    count = max(cell.column + cell.columns for cell in table.network)
    middles = []
    for n in range(count):
        boxes = [cell.box for cell in table.network if cell.column == n and cell.columns == 1]
        if not boxes:
            return []
        middles.append(float(np.median([(box.x1 + box.x2) / 2 for box in boxes])) - table.area.x1)
    places = []
    for left, right in pairwise(middles):
        start, end = max(0, round(left)), min(len(crossed), round(right))
        is_ruled = any(left < x - table.area.x1 < right for x in ruled)
        if end > start and not is_ruled:
            places.append(table.area.x1 + start + _widest_white(crossed[start:end]))
    return places


def _widest_white(crossed: np.ndarray) -> float:
    """The middle of the longest run of the least crossed pixels."""
    is_white = np.concatenate([[False], crossed == crossed.min(), [False]])
    edges = np.flatnonzero(np.diff(is_white.astype(np.int8)))
    starts, ends = edges[0::2], edges[1::2]
    n = int((ends - starts).argmax())
    return float(starts[n] + ends[n]) / 2


def _rivers(table: TableEvidence, crossed: np.ndarray, rows: int) -> list[float]:
    is_white = np.concatenate([[False], crossed <= _CROSSED / 2 * rows, [False]])
    edges = np.flatnonzero(np.diff(is_white.astype(np.int8)))
    return [
        table.area.x1 + float(start + end) / 2
        for start, end in zip(edges[0::2], edges[1::2], strict=True)
        if end - start >= _RIVER * table.line_px and start > 0 and end < len(crossed)
    ]


def _rows(table: TableEvidence, rows: Sequence[Sequence[Word]], xs: Sequence[float]) -> list[float]:
    area, line_px = table.area, table.line_px
    drawn = [area.y1, *_row_borders(table, xs), area.y2]
    ys = list(drawn)
    for top, bottom in pairwise(drawn):
        inside = [row for row in rows if top <= _middle(row) < bottom]
        numbers = _table_rows(inside, table, xs, is_ruled=len(drawn) > 2)
        for n, (one, other) in enumerate(pairwise(inside)):
            if numbers[n] != numbers[n + 1]:
                low = max(word.middle[1] + 0.3 * line_px for word in one)
                high = min(word.middle[1] - 0.3 * line_px for word in other)
                ys.append((low + high) / 2)
    return sorted(ys)


def _table_rows(
    inside: Sequence[Sequence[Word]], table: TableEvidence, xs: Sequence[float], *, is_ruled: bool
) -> Sequence[int]:
    """The table's row of each row of text between two rules; `is_ruled`: there are such between rows."""
    columns = [{int(np.searchsorted(xs, word.middle[0])) for word in row} for row in inside]
    has_value = [any(character.isdigit() for word in row for character in word.text) for row in inside]
    rows = sum(len(each) > 1 and value for each, value in zip(columns, has_value, strict=True))
    is_list = rows >= _ROWS * len(inside)
    if table.network:
        numbers = _network_rows(inside, table)
        sees_few = len(set(numbers)) < len(inside) / 2
        if not (is_list and sees_few and len(inside) >= _MANY):
            sees_rows = len(inside) >= _SEVERAL and not sees_few
            return numbers if is_list or sees_rows or not is_ruled else [0] * len(inside)
    return range(len(inside)) if is_list or not is_ruled else [0] * len(inside)


def _network_rows(inside: Sequence[Sequence[Word]], table: TableEvidence) -> list[int]:
    """The network's row of each row of text; of a long table it has seen the upper part only."""
    end = max(cell.box.y2 for cell in table.network) + table.line_px / 2
    return [
        _network_row(row, table.network) if _middle(row) <= end else -n for n, row in enumerate(inside, 1)
    ]


def _row_borders(table: TableEvidence, xs: Sequence[float]) -> list[float]:
    """Places of rules between rows: long ones, and those that reach over whole columns."""
    area, near = table.area, table.line_px / 2
    rules = [r for r in table.rules if r.axis == "horizontal" and area.y1 + near < r.at < area.y2 - near]
    borders = []
    for places in clusters([rule.at for rule in rules], near):
        those = [rule for rule in rules if places[0] <= rule.at <= places[-1]]
        spanned = [
            sum(rule.common(left, right) for rule in those) >= 0.8 * (right - left)
            for left, right in pairwise(xs)
        ]
        if any(spanned):
            borders.append(float(np.median(places)))
    return borders


def _network_row(row: Sequence[Word], network: Sequence[StructureCell]) -> int:
    """The network's row in which most words of a row of text are."""
    boxes = np.array([cell.box for cell in network])
    middles = np.array([word.middle for word in row])[:, np.newaxis]
    beyond = np.maximum(0, np.maximum(boxes[:, :2] - middles, middles - boxes[:, 2:]))
    off = np.abs(middles[..., 1] - (boxes[:, 1] + boxes[:, 3]) / 2)
    # Rows count more than columns, and the middle of a row more than its edges.
    nearest = (beyond[..., 0] + 2 * beyond[..., 1] + 0.1 * off).argmin(axis=1)
    ((number, _),) = Counter(network[int(n)].row for n in nearest).most_common(1)
    return number


def _without_empty(borders: Sequence[float], middles: Sequence[float], least: float) -> list[float]:
    """Leave out rows, or columns, that are narrower than `least` and have no word's middle in them."""
    kept = [borders[0]]
    for start, end in pairwise(borders):
        if end - start < least and not any(start <= middle < end for middle in middles):
            if end == borders[-1] and len(kept) > 1:
                kept[-1] = end
            continue
        kept.append(end)
    return kept if len(kept) > 1 else [borders[0], borders[-1]]
