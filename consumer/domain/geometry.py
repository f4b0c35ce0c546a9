"""The one frame of coordinates, and geometry in it.

The frame: pixels of the page image as rendered; origin top-left, x to the right, y down. A PDF page is
rendered with `scale` pixels per point, so that `x_pt = x_px / scale`. An image is read at its own size, after
its EXIF orientation was applied, with scale 1.0.

A quad is the four corners of a text line. The first is the corner at the start of the text, and the others
follow round the line in reading direction, so that upside-down and vertical text keep their direction.
"""

import math
from dataclasses import dataclass
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


def part_of(quad: Quad, left: float, top: float, right: float, bottom: float) -> Quad:
    """Return a part of a quad, given as shares, 0 to 1, of its length and height."""
    a, b, c, d = quad
    above = between(a, b, left), between(a, b, right)
    below = between(d, c, left), between(d, c, right)
    a, b = (between(start, end, top) for start, end in zip(above, below, strict=True))
    d, c = (between(start, end, bottom) for start, end in zip(above, below, strict=True))
    return a, b, c, d


def between(start: Point, end: Point, share: float) -> Point:
    """Return the point at this share, 0 to 1, of the way from one point to another."""
    return Point(start.x + (end.x - start.x) * share, start.y + (end.y - start.y) * share)


def bounds(quad: Quad) -> Rect:
    """Return the smallest upright box round a quad."""
    xs, ys = [x for x, _ in quad], [y for _, y in quad]
    return Rect(min(xs), min(ys), max(xs), max(ys))


def common_area(one: Rect, other: Rect) -> float:
    """Return the area, in square pixels, that two upright boxes have in common."""
    width = min(one.x2, other.x2) - max(one.x1, other.x1)
    height = min(one.y2, other.y2) - max(one.y1, other.y1)
    return max(width, 0.0) * max(height, 0.0)


def angle(quad: Quad) -> float:
    """Return the degrees by which a text line is turned clockwise from upright, in [0, 360)."""
    start, end = quad[0], quad[1]
    return math.degrees(math.atan2(end.y - start.y, end.x - start.x)) % 360
