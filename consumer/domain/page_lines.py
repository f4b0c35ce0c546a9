"""The lines of a page that run in one direction, upright, and which of them stand beside each other."""

import bisect
import math
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Final

from consumer.domain.geometry import Quad, bounds

#: Detectors draw boxes larger than the ink, so that those of two columns touch. So much of the height of a
#: line is left out at each end, ...
_PADDING_X: Final = 0.25

#: ... and above and below.
_PADDING_Y: Final = 0.15

#: Lines are beside each other if they share this part of the lower one's height, ...
_BESIDE: Final = 0.4

#: ... or at least this part, if no other line is so near.
_HARDLY_BESIDE: Final = 0.1


#: A page is at most so many bands high.
_BANDS: Final = 1000


@dataclass(frozen=True, slots=True, eq=False)
class Line:
    """A line of text on the upright page, in pixels.

    `number`: its index on the page. `x1` to `x2`, `top` to `bottom`: its ink. `height`, `middle`: of its box,
    which is at least a pixel high. `is_value`: at least half of its letters are digits; `has_digits`: one is
    at least; `is_word`: most are none. `is_label`: it ends with a colon. `goes_on`: it begins with a small
    letter.
    """

    number: int
    x1: float
    x2: float
    top: float
    bottom: float
    height: float
    middle: float
    is_value: bool
    has_digits: bool
    is_word: bool
    is_label: bool
    goes_on: bool

    @property
    def width(self) -> float:
        """Length of its ink."""
        return self.x2 - self.x1


#: Two lines with nothing between them, the left one first.
Pair = tuple[Line, Line]


@dataclass(frozen=True, slots=True)
class Part:
    """Lines of a part of a page; `unit` is the usual height of the page's lines.

    `pairs`: lines with no other between them. `rows`: lines, and the next ones at the right that may be of
    their rows; lines of other rows may reach between them.
    """

    lines: list[Line]
    pairs: list[Pair]
    rows: list[Pair]
    unit: float


def page_of(quads: Sequence[Quad], numbers: Sequence[int], texts: Sequence[str]) -> Part:
    """Return the lines of an upright page. `quads`, `numbers` and `texts` are of the same length, not 0."""
    unit = max(1.0, statistics.median(box.y2 - box.y1 for box in map(bounds, quads)))
    page = Part([_line(*line, unit) for line in zip(quads, numbers, texts, strict=True)], [], [], unit)
    finder = _Finder(page.lines, unit)
    for line in page.lines:
        near = finder.next(line, _BESIDE)
        if near:
            page.rows.append((line, near))
        hardly = finder.next(line, _HARDLY_BESIDE)
        if near and hardly and hardly.x2 > near.x1:
            hardly = near
        if hardly:
            page.pairs.append((line, hardly))
    return page


def _line(quad: Quad, number: int, text: str, unit: float) -> Line:
    box = bounds(quad)
    height = max(1.0, box.y2 - box.y1)
    middle = (box.y1 + box.y2) / 2
    padding = min(_PADDING_X * min(height, unit), (box.x2 - box.x1) / 2)
    letters, digits = sum(map(str.isalpha, text)), sum(map(str.isdigit, text))
    return Line(
        number=number,
        x1=box.x1 + padding,
        x2=box.x2 - padding,
        top=box.y1 + _PADDING_Y * height,
        bottom=box.y2 - _PADDING_Y * height,
        height=height,
        middle=middle,
        is_value=digits > 0 and digits >= letters,
        has_digits=digits > 0,
        is_word=letters > digits,
        is_label=text.endswith((":", "\N{FULLWIDTH COLON}")),
        goes_on=text[:1].islower(),
    )


class _Finder:
    """Finds the next lines at the right of others."""

    def __init__(self, lines: Sequence[Line], unit: float) -> None:
        self._unit = unit
        top, bottom = min(map(_top, lines)), max(map(_bottom, lines))
        # Only lines that share a band can be beside each other.
        self._band = max(2 * unit, (bottom - top) / _BANDS)
        self._bands: dict[int, list[Line]] = {}
        for line in sorted(lines, key=lambda line: line.x1):
            for n in self._bands_of(line):
                self._bands.setdefault(n, []).append(line)

    def next(self, line: Line, share: float) -> Line | None:
        """Return the next line that shares this part of the lower one's height; they may overlap."""
        found = {other for n in self._bands_of(line) for other in self._next_of(self._bands[n], line, share)}
        first = min((other.x1 for other in found), default=0.0)
        nearest = (other for other in found if other.x1 < first + self._unit)
        return max(nearest, key=lambda other: (_common(line, other), -other.middle), default=None)

    def _bands_of(self, line: Line) -> range:
        return range(int(_top(line) // self._band), int(_bottom(line) // self._band) + 1)

    def _next_of(self, others: list[Line], line: Line, share: float) -> Iterator[Line]:
        first = bisect.bisect_left(others, max(line.x1, line.x2 - self._unit), key=lambda other: other.x1)
        limit = math.inf
        for other in islice(others, first, None):
            if other.x1 >= limit:
                return
            least = share * min(line.height, other.height)
            if other is not line and other.x2 > line.x2 and _common(line, other) > least:
                limit = min(limit, other.x1 + self._unit)
                yield other


def _common(line: Line, other: Line) -> float:
    return (line.height + other.height) / 2 - abs(line.middle - other.middle)


def _top(line: Line) -> float:
    return line.middle - line.height / 2


def _bottom(line: Line) -> float:
    return line.middle + line.height / 2
