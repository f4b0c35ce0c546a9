"""Words of lines, and where each of them is: by the white in the line that its spaces are."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import cv2
import numpy as np
import numpy.typing as npt

from consumer.child.page_layout.paragraphs import BlockLine
from consumer.child.pixels import Image
from consumer.domain.geometry import Rect
from consumer.domain.scripts import is_right_to_left

#: White between words is at least this part of a line's height wide.
_LEAST_GAP: Final = 0.12

#: Ink differs from the ground by this part of the contrast of the line.
_INK: Final = 0.4


@dataclass(frozen=True, slots=True)
class Word:
    """A word on an upright page, in pixels; `line`: the number of its line."""

    text: str
    box: Rect
    line: int

    @property
    def middle(self) -> tuple[float, float]:
        """The middle of its box."""
        return (self.box.x1 + self.box.x2) / 2, (self.box.y1 + self.box.y2) / 2


def words_of(page: Image, lines: Iterable[BlockLine]) -> list[Word]:
    """Cut upright lines into words."""
    return [word for line in lines for word in _cut(page, line.number, line.text, line.box)]


def _cut(page: Image, number: int, text: str, box: Rect) -> Iterator[Word]:
    parts = text.split()
    if is_right_to_left(text):
        parts.reverse()
    for part, (start, end) in zip(parts, _extents(page, parts, box), strict=True):
        yield Word(part, Rect(start, box.y1, end, box.y2), number)


def _extents(page: Image, parts: Sequence[str], box: Rect) -> list[tuple[float, float]]:
    """The left and right end of each word."""
    if len(parts) == 1:
        return [(box.x1, box.x2)]
    gaps = _gaps(page, box)
    if len(gaps) < len(parts) - 1:
        return _by_length(parts, box)
    # Letters are about as wide as each other, so that each word has a place where it should begin.
    expected = [end for _, end in _by_length(parts, box)][:-1]
    chosen = _matched(gaps, expected)
    starts = [box.x1, *(end for _, end in chosen)]
    ends = [*(start for start, _ in chosen), box.x2]
    return list(zip(starts, ends, strict=True))


def _by_length(parts: Sequence[str], box: Rect) -> list[tuple[float, float]]:
    unit = (box.x2 - box.x1) / (sum(map(len, parts)) + len(parts) - 1)
    extents, place = [], box.x1
    for part in parts:
        extents.append((place, place + unit * len(part)))
        place += unit * (len(part) + 1)
    return extents


def _matched(gaps: Sequence[tuple[float, float]], expected: Sequence[float]) -> list[tuple[float, float]]:
    """As many of the gaps as are expected: wide ones, at about these places, in this order."""
    # cost[k]: of the best choice for the first k places among the gaps so far. A gap that is wider by a
    # pixel may be as much further away.
    best: list[tuple[float, tuple[int, ...]]] = [(0.0, ()), *[(np.inf, ())] * len(expected)]
    for n, (start, end) in enumerate(gaps):
        for k in range(len(expected), 0, -1):
            cost = best[k - 1][0] + abs((start + end) / 2 - expected[k - 1]) - 4 * (end - start)
            if cost < best[k][0]:
                best[k] = (cost, (*best[k - 1][1], n))
    return [gaps[n] for n in best[-1][1]]


def _gaps(page: Image, box: Rect) -> list[tuple[float, float]]:
    """White between columns of ink within a line, in pixels of the page."""
    left, top, right, bottom = (int(value) for value in box)
    part = page[top : bottom + 1, left : right + 1]
    if min(part.shape[:2]) < 3:
        return []
    grey: npt.NDArray[Any] = cv2.cvtColor(np.ascontiguousarray(part), cv2.COLOR_BGR2GRAY).astype(np.int16)
    margin = len(grey) // 8
    grey = grey[margin : len(grey) - margin]
    difference = np.abs(grey - np.median(grey))
    inked = (difference > _INK * max(float(difference.max()), 1.0)).any(axis=0)
    edges = np.flatnonzero(np.concatenate([[True], inked, [True]]))
    widths = np.diff(edges) - 1
    least = max(2.0, _LEAST_GAP * (box.y2 - box.y1))
    return [
        (left + float(edge), left + float(edge + width))
        for edge, width in zip(edges, widths, strict=False)
        if width >= least and edge > 0 and edge + width < inked.size
    ]
