"""Which cells of a grid are one cell."""

import bisect
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from consumer.child.page_layout.rules import Axis, Rule
from consumer.child.page_layout.structure import StructureCell
from consumer.child.page_layout.words import Word
from consumer.domain.geometry import Rect

#: A rule divides two cells if it covers this part of the side they share.
_DIVIDES: Final = 0.6

#: A stroke of a letter may seem to prolong a rule; if a word reaches over it, it must cover the whole side.
_DIVIDES_WORDS: Final = 0.95

#: A word that reaches so far over a border, in heights of a line, is in both cells.
_REACH: Final = 0.4

#: Row and column of a grid; the first and last place of a rectangle in it.
Place = tuple[int, int]
Span = tuple[Place, Place]


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell: its first row and column, how many of each it spans, and its box in pixels."""

    row: int
    column: int
    rows: int
    columns: int
    box: Rect


@dataclass(frozen=True, slots=True)
class TableEvidence:
    """All that is known of a table, in pixels. `network`: the cells that SLANet_plus sees, if any.

    `line_px`: usual height of its print.
    """

    area: Rect
    words: Sequence[Word]
    rules: Sequence[Rule]
    network: Sequence[StructureCell]
    line_px: float


@dataclass(slots=True)
class _Board:
    """A grid, and what is known of its places.

    `filled`: those with words. `crossed`: row, column and next column that a word reaches over. `spans`:
    first and last place of the network's cells that are larger than one.
    """

    xs: Sequence[float]
    ys: Sequence[float]
    evidence: TableEvidence
    filled: set[Place] = field(default_factory=set)
    crossed: set[tuple[int, int, int]] = field(default_factory=set)
    spans: list[Span] = field(default_factory=list)

    def __post_init__(self) -> None:
        reach = _REACH * self.evidence.line_px
        for word in self.evidence.words:
            self.filled.add(self.place(*word.middle))
            row, first = self.place(word.box.x1 + reach, word.middle[1])
            _, last = self.place(word.box.x2 - reach, word.middle[1])
            self.crossed.update((row, n, n + 1) for n in range(first, last))
        self.spans = [
            (self.place(cell.box.x1 + 1, cell.box.y1 + 1), self.place(cell.box.x2 - 1, cell.box.y2 - 1))
            for cell in self.evidence.network
            if cell.rows > 1 or cell.columns > 1
        ]

    def place(self, x: float, y: float) -> Place:
        """Row and column of a point."""
        return place_of(self.xs, self.ys, x, y)

    def is_crossed(self, one: Place, other: Place) -> bool:
        """Whether a word reaches far over the border between two cells beside each other."""
        return (*one, other[1]) in self.crossed


def place_of(xs: Sequence[float], ys: Sequence[float], x: float, y: float) -> Place:
    """Return row and column of a point; of the nearest cell, if it is outside."""
    row, column = bisect.bisect_right(ys, y) - 1, bisect.bisect_right(xs, x) - 1
    return min(max(row, 0), len(ys) - 2), min(max(column, 0), len(xs) - 2)


def merged(xs: Sequence[float], ys: Sequence[float], evidence: TableEvidence) -> Iterator[Cell]:
    """Return the cells of a grid with these borders, row by row; together they cover it."""
    board = _Board(xs, ys, evidence)
    group: dict[Place, Place] = {(r, c): (r, c) for r in range(len(ys) - 1) for c in range(len(xs) - 1)}
    rectangles = _closed([*_joined(board, "vertical"), *_joined(board, "horizontal")])
    for (top, left), (bottom, right) in rectangles:
        for r in range(top, bottom + 1):
            for c in range(left, right + 1):
                group[r, c] = (top, left)
    sizes = dict(rectangles)
    for (r, c), first in group.items():
        if (r, c) == first:
            bottom, right = sizes.get(first, first)
            box = Rect(xs[c], ys[r], xs[right + 1], ys[bottom + 1])
            yield Cell(r, c, bottom - r + 1, right - c + 1, box)


def _closed(joined: Sequence[Span]) -> list[Span]:
    """Unite rectangles until none overlap."""
    rectangles: list[Span] = []
    for span in joined:
        rectangle = span
        while touching := [other for other in rectangles if _overlap(rectangle, other)]:
            firsts, lasts = zip(rectangle, *touching, strict=True)
            rectangle = (
                (min(row for row, _ in firsts), min(column for _, column in firsts)),
                (max(row for row, _ in lasts), max(column for _, column in lasts)),
            )
            rectangles = [other for other in rectangles if other not in touching]
        rectangles.append(rectangle)
    return rectangles


def _overlap(one: Span, other: Span) -> bool:
    (top, left), (bottom, right) = one
    (first_row, first_column), (last_row, last_column) = other
    return first_row <= bottom and top <= last_row and first_column <= right and left <= last_column


def _joined(board: _Board, axis: Axis) -> Iterator[Span]:
    """Pairs of cells that are one, though a border of this axis is between them."""
    is_across = axis == "vertical"
    parallel = [rule for rule in board.evidence.rules if rule.axis == axis]
    borders = (board.xs if is_across else board.ys)[1:-1]
    at_border = [
        [rule for rule in parallel if abs(rule.at - place) < board.evidence.line_px / 2] for place in borders
    ]
    down, right = (0, 1) if is_across else (1, 0)
    for r in range(len(board.ys) - 1 - down):
        for c in range(len(board.xs) - 1 - right):
            one, other = (r, c), (r + down, c + right)
            if _score(board, one, other, at_border[c if is_across else r], parallel) > 0:
                yield one, other


def _score(board: _Board, one: Place, other: Place, those: Sequence[Rule], parallel: Sequence[Rule]) -> float:
    """How much speaks for one cell, less what speaks for two. `those`: rules at their common border."""
    is_across = one[0] == other[0]
    start, end = _side(board, one, is_across=is_across)
    covered = sum(rule.common(start, end) for rule in those) / max(end - start, 1.0)
    crosses = is_across and board.is_crossed(one, other)
    if covered >= (_DIVIDES_WORDS if crosses else _DIVIDES):
        return -1.0
    score = 0.0
    if those and _is_ruled_beside(board, one, parallel, is_across=is_across):
        score += 2.0
    if any(_holds(span, one) and _holds(span, other) for span in board.spans):
        score += 1.0
    if crosses:
        score += 3.0
    if one in board.filled and other in board.filled:
        score -= 2.0
    return score


def _side(board: _Board, place: Place, *, is_across: bool) -> tuple[float, float]:
    """The side of a cell along its border, without the ends."""
    borders, n = (board.ys, place[0]) if is_across else (board.xs, place[1])
    start, end = borders[n], borders[n + 1]
    inset = 0.2 * (end - start)
    return start + inset, end - inset


def _is_ruled_beside(board: _Board, place: Place, parallel: Sequence[Rule], *, is_across: bool) -> bool:
    """Whether another border of the same row, or column, has a rule."""
    start, end = _side(board, place, is_across=is_across)
    return any(rule.common(start, end) >= _DIVIDES * (end - start) for rule in parallel)


def _holds(span: Span, place: Place) -> bool:
    (top, left), (bottom, right) = span
    return top <= place[0] <= bottom and left <= place[1] <= right
