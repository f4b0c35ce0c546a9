"""Straightens pages that lay askew on the glass: rules and rows of text become level."""

import math
from collections.abc import Sequence
from typing import Any, Final

import cv2
import numpy as np
import numpy.typing as npt

from consumer.child.pixels import Image
from consumer.domain import geometry
from consumer.domain.geometry import Point, Quad, Rect, bounds

#: Pages that are less skewed are level; a line of 1,000 pixels falls by 5 pixels then.
_LEAST_DEGREES: Final = 0.3

#: Only lines so many times as long as high tell the angle, and no page is more skewed than this.
_LONG: Final = 5.0
_MOST_DEGREES: Final = 15.0

#: A straightened page has at most so many times the pixels: a sheet of paper at 15 degrees has 1.5 times.
_LARGEST: Final = 2.0


def skew_of(quads: Sequence[Quad]) -> float:
    """Return by how many degrees clockwise most upright lines fall; 0 if that is little."""
    angles, lengths = [], []
    for quad in quads:
        angle = (geometry.angle(quad) + 45) % 90 - 45
        length = math.dist(quad[0], quad[1])
        if length > _LONG * math.dist(quad[0], quad[3]) and abs(angle) < _MOST_DEGREES:
            angles.append(angle)
            lengths.append(length)
    if not angles:
        return 0.0
    order = np.argsort(angles)
    halves = np.cumsum(np.array(lengths)[order])
    median = angles[int(order[np.searchsorted(halves, halves[-1] / 2)])]
    return float(median) if abs(median) >= _LEAST_DEGREES else 0.0


class Straightening:
    """Turns a page by so many degrees counter-clockwise, onto a larger one that holds all of it.

    A long strip, which would need a page of many times its size, stays as it is.
    """

    def __init__(self, width: int, height: int, degrees: float) -> None:
        if math.prod(_size(width, height, degrees)) > _LARGEST * width * height:
            degrees = 0.0
        self._size = _size(width, height, degrees)
        cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
        shift = (np.array(self._size) - [width * cos + height * sin, height * cos - width * sin]) / 2
        self._matrix = np.array([[cos, sin, shift[0]], [-sin, cos, shift[1]]])
        self._back = cv2.invertAffineTransform(self._matrix)
        self.is_needed = degrees != 0

    def image(self, page: Image) -> Image:
        """Return the page, straightened."""
        if not self.is_needed:
            return page
        straight = cv2.warpAffine(page, self._matrix, self._size, borderMode=cv2.BORDER_REPLICATE)
        return np.asarray(straight, np.uint8)

    def box(self, quad: Quad) -> Rect:
        """Return the box round a quad of the page on the straightened one."""
        return bounds(_mapped(quad, self._matrix)) if self.is_needed else bounds(quad)

    def back(self, rect: Rect) -> Rect:
        """Return the box round a box of the straightened page on the page."""
        return bounds(_mapped(_corners(rect), self._back)) if self.is_needed else rect

    def back_about(self, rect: Rect) -> Rect:
        """Return a box of the straightened page at its place on the page, in its own size.

        Boxes that do not overlap there hardly overlap here.
        """
        x1, y1, x2, y2 = self.back(rect)
        width, height = (x2 - x1) - (rect.x2 - rect.x1), (y2 - y1) - (rect.y2 - rect.y1)
        return Rect(x1 + width / 2, y1 + height / 2, x2 - width / 2, y2 - height / 2)


def _size(width: int, height: int, degrees: float) -> tuple[int, int]:
    """Width and height of the page that holds all of a turned one."""
    cos, sin = math.cos(math.radians(degrees)), abs(math.sin(math.radians(degrees)))
    return math.ceil(width * cos + height * sin), math.ceil(height * cos + width * sin)


def _corners(rect: Rect) -> Quad:
    x1, y1, x2, y2 = rect
    return Point(x1, y1), Point(x2, y1), Point(x2, y2), Point(x1, y2)


def _mapped(quad: Quad, matrix: npt.NDArray[Any]) -> Quad:
    a, b, c, d = (Point(*map(float, matrix @ (x, y, 1.0))) for x, y in quad)
    return a, b, c, d
