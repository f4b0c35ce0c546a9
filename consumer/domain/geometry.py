"""The one frame of coordinates, and geometry in it.

The frame: pixels of the page image as rendered; origin top-left, x to the right, y down. A PDF page is
rendered with `scale` pixels per point, so that `x_pt = x_px / scale`. An image is read at its own size, after
its EXIF orientation was applied, with scale 1.0.

A quad is the four corners of a text line. The first is the corner at the start of the text, and the others
follow round the line in reading direction, so that upside-down and vertical text keep their direction.
"""

import math
import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from operator import attrgetter
from typing import Literal, NamedTuple


class Point(NamedTuple):
    """A point of the page, in pixels."""

    x: float
    y: float


Quad = tuple[Point, Point, Point, Point]


class Rect(NamedTuple):
    """An upright box in pixels: left, top, right, bottom; x1 <= x2 and y1 <= y2."""

    x1: float
    y1: float
    x2: float
    y2: float


@dataclass(frozen=True, slots=True)
class PageTransform:
    """Transform from a page to the input of a model, which maps found boxes back to the page.

    The page, `width_px` x `height_px`, is scaled by `downscale` (at most 1.0), then padded with white at its
    right and bottom to `input_width_px` x `input_height_px`, then turned clockwise by `angle` degrees.
    """

    width_px: int
    height_px: int
    input_width_px: int
    input_height_px: int
    downscale: float = 1.0
    angle: Literal[0, 90, 180, 270] = 0

    def quad(self, quad: Quad) -> Quad:
        """Map a quad back, clipped to the page; the first corner stays the one at the start of the text."""
        a, b, c, d = (self._point(point) for point in quad)
        return clip_quad((a, b, c, d), self.width_px, self.height_px)

    def rect(self, rect: Rect) -> Rect:
        """Map an upright box back, clipped to the page, in whole pixels."""
        start, end = Point(rect.x1, rect.y1), Point(rect.x2, rect.y2)
        return bounds(self.quad((start, Point(rect.x2, rect.y1), end, Point(rect.x1, rect.y2))))

    def _point(self, point: Point) -> Point:
        x, y = point
        match self.angle:
            case 90:
                x, y = y, self.input_height_px - x
            case 180:
                x, y = self.input_width_px - x, self.input_height_px - y
            case 270:
                x, y = self.input_width_px - y, x
        return Point(x / self.downscale, y / self.downscale)


def clip_quad(quad: Quad, width_px: int, height_px: int) -> Quad:
    """Move corners outside the page onto its edge, and round to whole pixels.

    Raises ValueError if a coordinate is not a finite number.
    """
    if not all(math.isfinite(value) for point in quad for value in point):
        raise ValueError(f"box {quad} is not finite")
    a, b, c, d = (Point(min(max(round(x), 0), width_px), min(max(round(y), 0), height_px)) for x, y in quad)
    return a, b, c, d


def bounds(quad: Quad) -> Rect:
    """Return the smallest upright box round a quad."""
    xs, ys = [x for x, _ in quad], [y for _, y in quad]
    return Rect(min(xs), min(ys), max(xs), max(ys))


def angle(quad: Quad) -> float:
    """Return the degrees by which a text line is turned clockwise from upright, in [0, 360)."""
    start, end = quad[0], quad[1]
    return math.degrees(math.atan2(end.y - start.y, end.x - start.x)) % 360


def reading_order(quads: Sequence[Quad]) -> list[int]:
    """Return the indices of text lines in the order in which a person reads the page.

    Recursive X-Y cut (Nagy, Seth: Hierarchical representation of optically scanned documents, 1984)
    on the page turned and straightened so that most of its text is upright: columns of running text
    from left to right, else bands between white gaps from top to bottom, else rows. Cells of a table
    or a receipt are no running text: they are read row by row.
    """
    if not quads:
        return []
    turn = math.radians(_main_angle(quads))
    rects = [bounds(_turned(quad, turn)) for quad in quads]
    return list(_cut(list(range(len(rects))), rects))


#: Two ends on an axis; and an axis, as the getter of a box's span along it.
_Span = tuple[float, float]
_Axis = Callable[[Rect], _Span]
_X: _Axis = attrgetter("x1", "x2")
_Y: _Axis = attrgetter("y1", "y2")

#: Limits of a column of running text: least lines, least median ratio of width to height of a line, and least
#: median share of the column's width that a line fills.
_COLUMN_LINES, _COLUMN_ASPECT, _COLUMN_FILL = 3, 6.0, 0.5


def _main_angle(quads: Sequence[Quad]) -> float:
    """Angle of most of the text: the commonest quarter turn, and the median skew of its lines."""
    angles = [angle(quad) for quad in quads]
    quarters = [round(degrees / 90) % 4 * 90 for degrees in angles]
    quarter = min(statistics.multimode(quarters))
    own = [degrees for degrees, each in zip(angles, quarters, strict=True) if each == quarter]
    return quarter + statistics.median((degrees - quarter + 180) % 360 - 180 for degrees in own)


def _turned(quad: Quad, turn: float) -> Quad:
    """Return the quad after turning the page back by `turn` radians about the origin."""
    cos, sin = math.cos(turn), math.sin(turn)
    a, b, c, d = (Point(x * cos + y * sin, y * cos - x * sin) for x, y in quad)
    return a, b, c, d


def _cut(lines: list[int], rects: Sequence[Rect]) -> Iterator[int]:
    # A stack rather than recursion: a page may be nested to any depth.
    parts = [lines]
    while parts:
        part = parts.pop()
        for split in (_columns, _zones, _bands):
            pieces = split(part, rects)
            if len(pieces) > 1:
                parts.extend(reversed(pieces))
                break
        else:
            yield from _rows(part, rects)


def _columns(lines: list[int], rects: Sequence[Rect]) -> list[list[int]]:
    columns = _split(lines, rects, _X)
    return columns if all(_is_running_text(column, rects) for column in columns) else [lines]


def _zones(lines: list[int], rects: Sequence[Rect]) -> list[list[int]]:
    """Join successive bands that leave a white gutter free from top to bottom.

    So a heading that reaches over the gutter is separated from the columns under it.
    """
    zones: list[list[int]] = []
    covered: list[_Span] = []
    for band in _split(lines, rects, _Y):
        spans = [_X(rects[i]) for i in band]
        both = _union(covered + spans)
        if zones and len(both) > 1:
            zones[-1] += band
            covered = both
        else:
            zones.append(band)
            covered = _union(spans)
    return zones


def _bands(lines: list[int], rects: Sequence[Rect]) -> list[list[int]]:
    return _split(lines, rects, _Y, widest_only=True)


def _union(spans: list[_Span]) -> list[_Span]:
    joined: list[_Span] = []
    for start, end in sorted(spans):
        if joined and start <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(joined[-1][1], end))
        else:
            joined.append((start, end))
    return joined


def _split(
    lines: list[int], rects: Sequence[Rect], axis: _Axis, *, widest_only: bool = False
) -> list[list[int]]:
    """Split the lines at gaps between their spans along one axis.

    `widest_only`: only at gaps more than half as wide as the widest.
    """
    first, *others = sorted(lines, key=lambda i: axis(rects[i]))
    reaches = accumulate((axis(rects[i])[1] for i in (first, *others)), max)
    gaps = [max(axis(rects[i])[0] - reach, 0.0) for i, reach in zip(others, reaches, strict=False)]
    floor = max(gaps, default=0.0) / 2 if widest_only else 0.0
    parts = [[first]]
    for i, gap in zip(others, gaps, strict=True):
        if gap > floor:
            parts.append([])
        parts[-1].append(i)
    return parts


def _is_running_text(lines: list[int], rects: Sequence[Rect]) -> bool:
    if len(lines) < _COLUMN_LINES:
        return False
    widths = [rects[i].x2 - rects[i].x1 for i in lines]
    heights = [rects[i].y2 - rects[i].y1 for i in lines]
    width = max(rects[i].x2 for i in lines) - min(rects[i].x1 for i in lines)
    median = statistics.median(widths)
    return median >= _COLUMN_FILL * width and median >= _COLUMN_ASPECT * statistics.median(heights)


def _rows(lines: list[int], rects: Sequence[Rect]) -> Iterator[int]:
    """Order lines by rows; lines that overlap by more than half the smaller height share a row."""
    row: list[int] = []
    for i in sorted(lines, key=lambda i: (rects[i].y1 + rects[i].y2, rects[i].x1)):
        if row:
            last = rects[row[-1]]
            overlap = min(last.y2, rects[i].y2) - max(last.y1, rects[i].y1)
            if overlap * 2 <= min(last.y2 - last.y1, rects[i].y2 - rects[i].y1):
                yield from sorted(row, key=lambda i: rects[i].x1)
                row = []
        row.append(i)
    yield from sorted(row, key=lambda i: rects[i].x1)
