"""Whether lines at both sides of white are columns, to be read one after the other, or cells of rows.

Rows of a table are level; those of columns need not be. Lines of columns fill them, or are those of small
blocks: each close below the one before, flush, a few words long. Numbers belong to the lines beside them, and
values to their labels.
"""

import statistics
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from consumer.domain.geometry import Rect
from consumer.domain.page_lines import Line, Pair, Part

#: Lines this many times as high as others are of another kind: headlines, initials.
_TALLER: Final = 1.7

#: Lines of a row are off by at most this part of their height, ...
_OFF: Final = 0.25

#: ... and on pages that are not flat by at most that.
_LEVEL: Final = 0.4

#: Least share of level rows in a table: boxes are a little off.
_LEVEL_ROWS: Final = 0.8

#: Numbers are at most so many times as long as high.
_NUMBER: Final = 2.5

#: So many rows that are not level are no accident: of lines, and of numbers beside lines.
_LINES: Final = 3
_NUMBERS: Final = 5

#: Numbers of lines are shorter than those in tables.
_LINE_NUMBER: Final = 1.8

#: Longer lines of small blocks are at least so many times as long as high.
_PHRASE: Final = 4.5

#: Least width of a column, in heights of its lines: if these are close to each other, and in any case.
_CLOSE_COLUMN: Final = 7.0
_COLUMN: Final = 12.0

#: Least width of a column if most of its lines do not begin a sentence, and if they are justified.
_PROSE: Final = 4.0
_JUSTIFIED: Final = 5.0

#: From line to line at most, in heights: in columns, in two small blocks, in more of them.
_COLUMN_PITCH: Final = 1.6
_BLOCK_PITCH: Final = 1.5
_TABLE_PITCH: Final = 1.35


@dataclass(frozen=True, slots=True)
class _Side:
    """The rows at one side of a strip."""

    lines: list[Line]
    rows: list[Rect]

    @property
    def height(self) -> float:
        return statistics.median(row.y2 - row.y1 for row in self.rows)

    @property
    def aspect(self) -> float:
        return statistics.median(self.widths) / self.height

    @property
    def widths(self) -> list[float]:
        return sorted(row.x2 - row.x1 for row in self.rows)

    @property
    def is_numbers(self) -> bool:
        return self.aspect < _NUMBER and sum(line.is_word for line in self.lines) * 2 <= len(self.lines)

    @property
    def value_share(self) -> float:
        return sum(line.is_value for line in self.lines) / len(self.lines)

    @property
    def digits_share(self) -> float:
        """Share of the lines that have digits, as values in words do: at least 50."""
        return sum(line.has_digits for line in self.lines) / len(self.lines)

    @property
    def is_sentences(self) -> bool:
        """Whether most lines go on with one."""
        return sum(line.goes_on for line in self.lines) * 2 > len(self.lines)

    @property
    def is_column(self) -> bool:
        """Whether most lines are about as wide as the widest."""
        widths = self.widths
        full = widths[int(len(widths) * 0.9)]
        least = _CLOSE_COLUMN if self.is_close(_COLUMN_PITCH) else _COLUMN
        if self.is_sentences:
            least = _PROSE
        elif sum(w >= 0.9 * full for w in widths) >= 0.6 * len(widths):
            least = _JUSTIFIED
        return full >= least * self.height and sum(w >= 0.7 * full for w in widths) >= 0.55 * len(widths)

    @property
    def is_prose(self) -> bool:
        """Whether it is a column and most lines go on with a sentence, or are long."""
        return self.is_column and (self.is_sentences or self.aspect >= _COLUMN)

    def is_block(self, *, has_others: bool) -> bool:
        """Whether these are lines of a small block, of two side by side or of more."""
        # A table seldom has only two columns of words.
        pitch = _TABLE_PITCH if has_others or len(self.rows) == 2 else _BLOCK_PITCH
        rows, widths = self.rows, self.widths
        edges = ([r.x1 for r in rows], [r.x2 for r in rows], [(r.x1 + r.x2) / 2 for r in rows])
        is_flush = any(
            sum(abs(x - statistics.median(edge)) <= self.height for x in edge) >= 0.7 * len(rows)
            for edge in edges
        )
        is_phrases = widths[int(len(widths) * 0.75)] >= _PHRASE * self.height
        return is_flush and is_phrases and self.is_close(pitch)

    def is_close(self, pitch: float) -> bool:
        """Whether a row is usually at most so many heights below the one before."""
        middles = sorted((row.y1 + row.y2) / 2 for row in self.rows)
        steps = [below - above for above, below in pairwise(middles)]
        # A line without ascenders or descenders is lower than others of its size.
        heights = sorted(row.y2 - row.y1 for row in self.rows)
        return not steps or statistics.median(steps) <= pitch * heights[int(len(heights) * 0.75)]


def is_level(left: Line, right: Line, tolerance: float = 0.5) -> bool:
    """Whether two lines may be of one row: about as high, and off by at most that part of the height."""
    low, high = sorted((left.height, right.height))
    return high < _TALLER * low and abs(right.middle - left.middle) <= tolerance * low


def joined(lines: Iterable[Line], pairs: Iterable[Pair]) -> dict[Line, list[Line]]:
    """Return rows: the lines joined by pairs, each row by one of its lines."""
    row_of = {line: [line] for line in lines}
    for left, right in pairs:
        row, other = row_of[left], row_of[right]
        if row is not other:
            row += other
            for line in other:
                row_of[line] = row
    return {row[0]: row for row in row_of.values()}


class Rows:
    """The rows of a part: lines joined over gaps that are in no strip of white."""

    def __init__(self, part: Part, apart: Iterable[Pair]) -> None:
        # The last pair of a line is that in which it is most level with the other.
        pairs = sorted(apart, key=_offset, reverse=True)
        in_strips = set(pairs)
        self._right = dict(pairs)
        self._left = {right: left for left, right in pairs}
        rows = joined(part.lines, (pair for pair in part.pairs if pair not in in_strips))
        self._row_of = {line: first for first, row in rows.items() for line in row}
        self._boxes = {first: _box(row) for first, row in rows.items()}
        self._cells: set[Pair] = set()

    def find_cells(self, rows: list[Pair]) -> None:
        """Remember the rows at a strip if there are labels at its left, or values or numbers at one side."""
        left, right = self._sides(rows)
        if min(left.aspect, right.aspect) > _LINE_NUMBER and self._are_level(rows) and self._are_cells(rows):
            self._cells.update(rows)

    def are_columns(self, rows: list[Pair]) -> bool | None:
        """Return whether the rows at a strip are lines of columns; None if these are too few to tell."""
        left, right = self._sides(rows)
        few = min(len(left.rows), len(right.rows))
        if few < 2:
            return None
        if max(left.aspect, right.aspect) < _NUMBER:
            return False
        if not self._are_level(rows):
            # Cells of several lines push values off the lines of their labels.
            if right.value_share > 0.6 and left.value_share < 0.1 and not left.is_prose:
                return False
            enough = _NUMBERS if left.is_numbers or right.is_numbers else _LINES
            are_close = left.is_close(_COLUMN_PITCH) or right.is_close(_COLUMN_PITCH)
            return few >= enough or (enough == _LINES and are_close) or None
        if self._are_cells(rows) or self._are_of_a_table(rows):
            return False
        left, right = self._beyond_numbers(rows) or (left, right)
        are_text = (left.is_column and right.is_column) or self._are_blocks(rows, left, right)
        return are_text or (False if few > 2 else None)

    def has_column(self, rows: list[Pair]) -> bool:
        """Whether the lines at one side fill a column."""
        return any(side.is_column for side in self._sides(rows))

    def _are_level(self, rows: list[Pair]) -> bool:
        rows = sorted(rows, key=lambda pair: pair[0].middle)
        offsets = [right.middle - left.middle for left, right in rows]
        level = 0
        for n, (left, right) in enumerate(rows):
            # Where a page is not flat, rows are off by about as much as those nearby.
            usual = statistics.median(offsets[max(0, n - 2) : n + 3])
            off = min(abs(offsets[n]), abs(offsets[n] - usual))
            level += is_level(left, right, _LEVEL) and off <= _OFF * min(left.height, right.height)
        lefts, rights = zip(*rows, strict=True)
        return level >= _LEVEL_ROWS * min(len(set(lefts)), len(set(rights)))

    def _are_cells(self, rows: list[Pair]) -> bool:
        sides = self._beyond_numbers(rows)
        if sides is None:
            return True
        left, right = sides
        if sum(line.is_label for line in left.lines) * 2 > len(left.lines):
            return True
        if not left.digits_share and right.digits_share >= 0.75 and len(rows) > _LINES:
            return True
        less, more = sorted((left.value_share, right.value_share))
        return more >= 0.5 and more - less >= 0.4

    def _beyond_numbers(self, rows: list[Pair]) -> tuple[_Side, _Side] | None:
        """Return what is at both sides, beyond numbers that belong to the other side of theirs.

        None if numbers belong to this side: there is nothing beyond them, or it is farther away.
        """
        white = _white(rows)
        lefts, rights = [left for left, _ in rows], [right for _, right in rows]
        left, right = self._sides(rows)
        if right.is_numbers:
            beyond = [(line, self._right[line]) for line in rights if line in self._right]
            if len(beyond) * 2 < len(right.rows) or _white(beyond) > white:
                return None
            right = self._side(line for _, line in beyond)
        if left.is_numbers:
            beyond = [(self._left[line], line) for line in lefts if line in self._left]
            if len(beyond) * 2 < len(left.rows) or _white(beyond) > white:
                return None
            left = self._side(line for line, _ in beyond)
        return left, right

    def _are_of_a_table(self, rows: list[Pair]) -> bool:
        return sum(not self._cells.isdisjoint(self._row(pair)) for pair in rows) * 2 > len(rows)

    def _are_blocks(self, rows: list[Pair], left: _Side, right: _Side) -> bool:
        others = sum(line in self._left or other in self._right for line, other in rows) * 2 > len(rows)
        return left.is_block(has_others=others) and right.is_block(has_others=others)

    def _row(self, pair: Pair) -> Iterator[Pair]:
        """The pair, and those at its left and right."""
        yield pair
        left, right = pair
        while left in self._left:
            left, line = self._left[left], left
            yield left, line
        while right in self._right:
            line, right = right, self._right[right]
            yield line, right

    def _sides(self, rows: list[Pair]) -> tuple[_Side, _Side]:
        return self._side(left for left, _ in rows), self._side(right for _, right in rows)

    def _side(self, lines: Iterable[Line]) -> _Side:
        lines = list(lines)
        return _Side(lines, [self._boxes[row] for row in dict.fromkeys(self._row_of[line] for line in lines)])


def _box(row: list[Line]) -> Rect:
    tops = [line.middle - line.height / 2 for line in row]
    bottoms = [line.middle + line.height / 2 for line in row]
    return Rect(min(line.x1 for line in row), min(tops), max(line.x2 for line in row), max(bottoms))


def _offset(pair: Pair) -> float:
    return abs(pair[0].middle - pair[1].middle)


def _white(pairs: list[Pair]) -> float:
    return statistics.median(right.x1 - left.x2 for left, right in pairs)
