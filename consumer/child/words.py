"""Words of a line that was read: where the recogniser has seen their characters, and the ink between them."""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Final, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from consumer.child.pixels import Image
from consumer.domain.scripts import UNSPACED

#: Recognisers of PP-OCR see a line this high, and tell what is at places so far apart.
LINE_HEIGHT_PX: Final = 48
PLACE_PX: Final = 8

#: A pixel is ink if it differs from the ground by this part of the largest difference in the line, ...
_INK: Final = 0.35

#: ... which is that of so many pixels, ...
_STRONGEST: Final = 0.995

#: ... and by this at least.
_LEAST_INK: Final = 24

#: A rule of a table: a row of the line of which this part is ink, or a column; no letter is so.
_RULE: Final = 0.85

#: At the upper and lower edge there may be ink of other lines, for this part of the height.
_FOREIGN: Final = 6 / LINE_HEIGHT_PX

#: A box is larger than its ink by this part of the line's height, on all sides.
_MARGIN: Final = 1 / LINE_HEIGHT_PX


class Character(NamedTuple):
    """A character as it was read: the number of the place at which it begins, and how likely it is, 0 to 1.

    `is_spaced`: a space stands before it.
    """

    text: str
    place: float
    likely: float
    is_spaced: bool = False


class LineWord(NamedTuple):
    """A word of a line that was cut out of a page, from left to right.

    Its box as shares of the line's length and height; the mean likelihood of its characters.
    """

    text: str
    confidence: float
    left: float
    top: float
    right: float
    bottom: float


def find_words(line: Image, characters: Sequence[Character]) -> list[LineWord]:
    """Return the words of a line, from left to right.

    Characters of Chinese and Japanese are words of their own.
    """
    groups = list(_groups(characters))
    if not groups:
        return []
    ink = _ink(line)
    height, length = ink.shape
    margin = _MARGIN * height
    words = []
    for group, (start, end) in zip(groups, _ends(groups, ink), strict=True):
        left, top, right, bottom = _extent(ink[:, start:end])
        words.append(
            LineWord(
                "".join(each.text for each in group),
                sum(each.likely for each in group) / len(group),
                max(start + left - margin, 0.0) / length,
                max(top - margin, 0.0) / height,
                min(start + right + margin, length) / length,
                min(bottom + margin, height) / height,
            )
        )
    return words


def _groups(characters: Sequence[Character]) -> Iterator[list[Character]]:
    """Yield the characters of each word."""
    group: list[Character] = []
    for each in characters:
        is_alone = any(map(UNSPACED.match, (each.text, *(before.text for before in group[-1:]))))
        if group and (each.is_spaced or each.text.isspace() or is_alone):
            yield group
            group = []
        if not each.text.isspace():
            group.append(each)
    if group:
        yield group


def _ink(line: Image) -> npt.NDArray[np.bool_]:
    grey = np.asarray(cv2.cvtColor(line, cv2.COLOR_BGR2GRAY), np.uint8)
    contrast = np.asarray(cv2.absdiff(grey, np.full_like(grey, _quantile(grey, 0.5))), np.uint8)
    ink = np.asarray(contrast > max(_LEAST_INK, _INK * _quantile(contrast, _STRONGEST)))
    # Both at once: where rules cross, neither interrupts the other.
    rows, columns = ink.mean(axis=1) > _RULE, ink.mean(axis=0) > _RULE
    ink[rows] = False
    ink[:, columns] = False
    return ink


def _quantile(values: npt.NDArray[np.uint8], share: float) -> int:
    counts = cv2.calcHist([values.reshape(-1, 1)], [0], None, [256], [0, 256])
    return int(np.searchsorted(counts.cumsum(), values.size * share))


def _ends(groups: Sequence[Sequence[Character]], ink: npt.NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Return where each word begins and ends: in the widest gap between its characters and a neighbour's."""
    height, length = ink.shape
    inked = np.asarray(ink.any(axis=0))
    place_px = PLACE_PX * height / LINE_HEIGHT_PX
    cuts = [0]
    for before, after in pairwise(groups):
        start = min(max(int((before[-1].place + 0.5) * place_px), cuts[-1]), length - 1)
        end = min(max(int((after[0].place + 1) * place_px), start + 1), length)
        cuts.append(_gap(inked, start, end))
    return [(start, max(end, start + 1)) for start, end in pairwise([*cuts, length])]


def _gap(inked: npt.NDArray[np.bool_], start: int, end: int) -> int:
    """Return the middle of the widest gap; of all, if there is none."""
    edges = np.flatnonzero(np.concatenate([[True], inked[start:end], [True]]))
    gaps = np.diff(edges) - 1
    widest = int(gaps.argmax())
    return start + (int(edges[widest]) + int(gaps[widest]) // 2 if gaps[widest] else (end - start) // 2)


def _extent(ink: npt.NDArray[np.bool_]) -> tuple[int, int, int, int]:
    """Return left, top, right and bottom of the ink; all, if there is none."""
    inked = np.asarray(ink.any(axis=1))
    top, bottom = _start(inked), len(inked) - _start(inked[::-1])
    rows = np.flatnonzero(inked[top:bottom]) + top
    columns = np.flatnonzero(ink[top:bottom].any(axis=0))
    if not len(rows):
        return 0, 0, ink.shape[1], ink.shape[0]
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def _start(inked: npt.NDArray[np.bool_]) -> int:
    """Return the row at which a word may begin: behind ink at the edge that ends soon."""
    empty = np.flatnonzero(~inked[: round(_FOREIGN * len(inked))])
    return int(empty[0]) if len(empty) else 0
