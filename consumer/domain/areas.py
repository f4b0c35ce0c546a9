"""Upright boxes as areas, in pixels: how much of one lies in another, and the box round several."""

from collections.abc import Iterable
from functools import reduce

from consumer.domain.geometry import Rect
from consumer.domain.result import Corners


def area(rect: Rect) -> float:
    """Return the area of a box, in square pixels."""
    return (rect.x2 - rect.x1) * (rect.y2 - rect.y1)


def common(one: Rect, other: Rect) -> float:
    """Return the area that two boxes have in common, in square pixels."""
    width = min(one.x2, other.x2) - max(one.x1, other.x1)
    height = min(one.y2, other.y2) - max(one.y1, other.y1)
    return max(width, 0.0) * max(height, 0.0)


def share(inner: Rect, outer: Rect) -> float:
    """Return the part of one box that lies in the other, 0 to 1."""
    return common(inner, outer) / max(area(inner), 1.0)


def overlap(one: Rect, other: Rect) -> float:
    """Return the intersection of two boxes over their union, 0 to 1."""
    both = common(one, other)
    return both / max(area(one) + area(other) - both, 1.0)


def union(boxes: Iterable[Rect]) -> Rect:
    """Return the smallest box round some; at least one."""
    return reduce(_both, boxes)


def corners(rect: Rect) -> Corners:
    """Return the corners of a box in whole pixels, from the upper left one clockwise."""
    x1, y1, x2, y2 = map(round, rect)
    return (x1, y1), (x2, y1), (x2, y2), (x1, y2)


def _both(one: Rect, other: Rect) -> Rect:
    return Rect(min(one.x1, other.x1), min(one.y1, other.y1), max(one.x2, other.x2), max(one.y2, other.y2))
