"""Gutters: white between columns of text.

As in T. Breuel: Two geometric algorithms for layout analysis (2002), they are tall white rectangles with text
at both sides.
"""

import bisect
import math
import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, pairwise
from typing import Final, NamedTuple

from consumer.domain.columns import Rows
from consumer.domain.page_lines import Line, Pair, Part

#: Headings are at least so many times as high as other lines.
_HEADING: Final = 1.15

#: Least width of white between columns, in heights of lines.
_NARROWEST: Final = 1.2


@dataclass(frozen=True, slots=True)
class Gutter:
    """White between columns, from `left` to `right` and from `top` to `bottom`, in pixels."""

    left: float
    right: float
    top: float
    bottom: float

    @property
    def x(self) -> float:
        """Its middle."""
        return (self.left + self.right) / 2

    @property
    def width(self) -> float:
        """From column to column."""
        return self.right - self.left

    def is_crossed_by(self, line: Line) -> bool:
        """Whether a line goes across, if it is at that height or not."""
        return line.x1 < self.x < line.x2


@dataclass(frozen=True, slots=True)
class _Strip:
    """A vertical line through white, from text to text, and the pairs of lines beside it.

    `merged`: lines of both sides that the detector took for one; they do not end it.
    """

    x: float
    rows: list[Pair]
    merged: set[Line]


def gutters(part: Part) -> list[Gutter]:
    """Find the gutters of a part of a page."""
    strips = _strips(part)
    rows = Rows(part, (pair for strip in strips for pair in strip.rows))
    blocks = [_blocks(strip, part.unit) for strip in strips]
    for block in chain.from_iterable(blocks):
        rows.find_cells(block)
    verdicts = [_verdicts(own, rows) for own in blocks]
    cells = [
        pair
        for own, of_own in zip(blocks, verdicts, strict=True)
        for block, verdict in zip(own, of_own, strict=True)
        if verdict is False
        for pair in block
    ]
    return [
        gutter
        for strip, own, of_own in zip(strips, blocks, verdicts, strict=True)
        for gutter in _of_strip(part, strip, list(zip(own, of_own, strict=True)), cells)
    ]


def _verdicts(blocks: list[list[Pair]], rows: Rows) -> list[bool | None]:
    """Return of each block at a strip whether it is of columns; None if that cannot be told."""
    verdicts = [rows.are_columns(block) for block in blocks]
    # A table may be level with the column beside it.
    return [
        None
        if verdict is False and True in verdicts[max(0, n - 1) : n + 2] and rows.has_column(blocks[n])
        else verdict
        for n, verdict in enumerate(verdicts)
    ]


def _strips(part: Part) -> list[_Strip]:
    """Return strips with at least two pairs, those with the most first; no pair is at two of them."""
    found: dict[tuple[Pair, ...], tuple[float, set[Line]]] = {}
    for x in _probes(part):
        beside = [pair for pair in part.pairs if pair[0].x2 <= x <= pair[1].x1]
        middles = sorted(_middle(pair) for pair in beside)
        across = [line for line in part.lines if line.x1 < x < line.x2]
        merged = _merged(across, middles, part.unit)
        stops = sorted(line.middle for line in across if line not in merged)
        runs: dict[int, list[Pair]] = {}
        for pair in beside:
            runs.setdefault(bisect.bisect(stops, _middle(pair)), []).append(pair)
        for run in runs.values():
            found.setdefault(tuple(run), (x, merged))
    strips: list[_Strip] = []
    taken: set[Pair] = set()
    for rows, (x, merged) in sorted(found.items(), key=lambda item: (-len(item[0]), -_narrowest(item[0]))):
        fresh = [pair for pair in rows if pair not in taken]
        if len(fresh) > 1:
            taken.update(fresh)
            strips.append(_Strip(x, fresh, merged))
    return strips


def _narrowest(rows: Sequence[Pair]) -> float:
    return min(right.x1 - left.x2 for left, right in rows)


def _middle(pair: Pair) -> float:
    return (pair[0].middle + pair[1].middle) / 2


def _merged(across: list[Line], middles: Sequence[float], unit: float) -> set[Line]:
    """Return the lines across, up to three in a row, that stand close between rows at both sides."""
    merged: set[Line] = set()
    lines = [line for line in sorted(across, key=lambda line: line.middle) if line.height < 1.33 * unit]
    places = [line.middle for line in lines]
    for n, line in enumerate(lines):
        for last in range(n, min(n + 3, len(lines))):
            after = bisect.bisect(middles, places[last])
            before = bisect.bisect(middles, line.middle)
            if before != after or not 0 < after < len(middles):
                break
            rows = [middles[after - 1], *places[n : last + 1], middles[after]]
            if max(below - above for above, below in pairwise(rows)) < 1.8 * line.height:
                merged.update(lines[n : last + 1])
    return merged


def _probes(part: Part) -> list[float]:
    """Places just left of lines: there the white before a column is free, however ragged the one before."""
    probes: dict[int, float] = {}
    for _, right in part.pairs:
        x = right.x1 - part.unit / 10
        n = round(4 * x / part.unit)
        probes[n] = min(x, probes.get(n, x))
    return list(probes.values())


def _blocks(strip: _Strip, unit: float) -> list[list[Pair]]:
    """Divide the rows at a strip where there is much white; rows that stand alone keep together."""
    rows = sorted(strip.rows, key=lambda pair: min(pair[0].top, pair[1].top))
    merged = sorted((line.top, line.bottom) for line in strip.merged)
    whites, reach = [], -math.inf
    for left, right in rows:
        top = min(left.top, right.top)
        while merged and merged[0][0] < top:
            reach = max(reach, merged.pop(0)[1])
        whites.append(top - reach)
        reach = max(reach, left.bottom, right.bottom)
    usual = max(0.0, statistics.median(whites[1:]))
    begins = [white > usual + unit for white in whites]
    blocks: list[list[Pair]] = []
    for n, pair in enumerate(rows):
        is_alone = begins[n] and all(begins[n + 1 : n + 2])
        if n == 0 or (begins[n] and not (is_alone and begins[n - 1])):
            blocks.append([])
        blocks[-1].append(pair)
    return blocks


def _of_strip(
    part: Part, strip: _Strip, blocks: list[tuple[list[Pair], bool | None]], cells: list[Pair]
) -> list[Gutter]:
    """Return the gutters between the columns at a strip; those that reach each other are one."""
    untold = {line for block, verdict in blocks if verdict is None for line in _lines(block)}
    found: list[Gutter] = []
    for block, verdict in blocks:
        if not verdict or (len(block) <= 3 and _is_by_chance(part, strip.x, block)):
            continue
        gutter = _Column(part, strip, block, untold, cells).gutter()
        if found and gutter.top < found[-1].bottom:
            gutter = _joined(found.pop(), gutter)
        found.append(gutter)
    return found


def _joined(one: Gutter, other: Gutter) -> Gutter:
    left, right = max(one.left, other.left), min(one.right, other.right)
    return Gutter(left, right, min(one.top, other.top), max(one.bottom, other.bottom))


def _lines(block: list[Pair]) -> Iterator[Line]:
    for pair in block:
        yield from pair


def _is_by_chance(part: Part, x: float, block: list[Pair]) -> bool:
    """Whether a few rows are lines in pieces: little white, or lines like them close above or below."""
    if _narrowest(block) < _NARROWEST * part.unit:
        return True
    top, bottom = min(line.top for line in _lines(block)), max(line.bottom for line in _lines(block))
    height = statistics.median(line.height for line in _lines(block))
    return any(
        line.x1 < x < line.x2
        and 0.75 * height < line.height < 1.33 * height
        and min(abs(top - line.bottom), abs(line.top - bottom)) < height
        for line in part.lines
    )


class _Step(NamedTuple):
    """A line on the way up or down from columns, and where it begins and ends on that way."""

    near: float
    far: float
    line: Line


class _Column:
    """Columns at both sides of a strip, and how far their gutter reaches.

    `untold`: lines of rows at the strip that may be columns or not. `cells`: rows, which end the gutter.
    """

    def __init__(
        self, part: Part, strip: _Strip, block: list[Pair], untold: set[Line], cells: list[Pair]
    ) -> None:
        lefts, rights = zip(*block, strict=True)
        self._part = part
        self._merged = strip.merged
        self._cells = {line for pair in cells if pair[0].x2 <= strip.x <= pair[1].x1 for line in pair}
        self._untold = untold
        self._left = min(strip.x, max(line.x2 for line in lefts))
        self._right = max(strip.x, min(line.x1 for line in rights))
        self._sides = [(min(x.x1 for x in side), max(x.x2 for x in side)) for side in (lefts, rights)]
        self._height: float = statistics.median(line.height for line in (*lefts, *rights))
        self._top = min(line.top for line in (*lefts, *rights))
        self._bottom = max(line.bottom for line in (*lefts, *rights))

    def gutter(self) -> Gutter:
        """Return the gutter, which goes on between lines at one side only, as far as the columns go on."""
        top, bottom = self._top, self._bottom
        roof = max((line.bottom for line in self._cells if line.bottom <= top), default=-math.inf)
        floor = min((line.top for line in self._cells if line.top >= bottom), default=math.inf)
        lines = self._part.lines
        up = [_Step(-line.bottom, -line.top, line) for line in lines if roof < line.middle < top]
        down = [_Step(line.top, line.bottom, line) for line in lines if bottom < line.middle < floor]
        return Gutter(
            left=self._left,
            right=self._right,
            top=-self._reach(-top, up, self._begins),
            bottom=self._reach(bottom, down, self._ends),
        )

    def _reach(
        self, end: float, steps: list[_Step], is_end: Callable[[float, Sequence[_Step]], bool]
    ) -> float:
        steps.sort(key=lambda step: step.near)
        for n, (near, far, line) in enumerate(steps):
            if self._is_in_the_way(line):
                break
            if line not in self._untold and is_end(near - end, steps[n:]):
                break
            end = max(end, far)
        return end

    def _is_in_the_way(self, line: Line) -> bool:
        """Whether a line fills much of the gutter; it may be longer than those by which that was found."""
        width = self._right - self._left
        unit = self._part.unit
        slack = min(max(unit, 0.3 * width), 0.45 * width)
        if line.height < _HEADING * self._height and line.width < 1.5 * max(b - a for a, b in self._sides):
            # A line of a ragged column, of which the others happen to be shorter.
            slack = max(slack, width - _NARROWEST * unit)
        return line not in self._merged and self._left + slack < line.x2 and line.x1 < self._right - slack

    def _begins(self, white: float, _: Sequence[_Step]) -> bool:
        """Whether the columns begin below this white."""
        return white > 2 * self._part.unit

    def _ends(self, white: float, steps: Sequence[_Step]) -> bool:
        """Whether the columns end above these lines, with so much white between."""
        unit = self._part.unit
        if white > 2 * unit and not self._goes_on(steps):
            return True
        first, *others = steps
        if (
            white <= unit
            or first.line.height <= _HEADING * self._height
            or (others and others[0].near < first.far)
        ):
            return False
        # A heading of both columns, and not of one of them.
        below = [line for near, _, line in others[:8] if near - first.far < 2 * unit]
        return any(line.x1 < self._left for line in below) and any(line.x2 > self._right for line in below)

    def _goes_on(self, steps: Sequence[_Step]) -> bool:
        """Whether two of the first lines fill a column."""
        unit = self._part.unit
        filling = 0
        for near, _, line in steps[:12]:
            filling += near < steps[0].near + 8 * unit and any(
                x1 - unit < line.x1 and line.x2 < x2 + unit and line.width > 0.6 * (x2 - x1)
                for x1, x2 in self._sides
            )
        return filling > 1
