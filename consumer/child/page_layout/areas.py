"""Upright boxes in pixels, and how much of one lies in another."""

from collections.abc import Iterable
from functools import reduce

from consumer.domain.geometry import Rect


def share(inner: Rect, outer: Rect) -> float:
    """Return the part of one box that lies in the other, 0 to 1."""
    width = min(inner.x2, outer.x2) - max(inner.x1, outer.x1)
    height = min(inner.y2, outer.y2) - max(inner.y1, outer.y1)
    area = max((inner.x2 - inner.x1) * (inner.y2 - inner.y1), 1.0)
    return max(width, 0.0) * max(height, 0.0) / area


def union(boxes: Iterable[Rect]) -> Rect:
    """Return the smallest box round some; at least one."""
    return reduce(_both, boxes)


def _both(one: Rect, other: Rect) -> Rect:
    return Rect(min(one.x1, other.x1), min(one.y1, other.y1), max(one.x2, other.x2), max(one.y2, other.y2))
