"""Reads lines: cuts them out of the page, and decodes what the recogniser says of them."""

import math
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from consumer.child.rapidocr.networks import LINE_HEIGHT_PX, STEP_PX, Floats, Networks
from consumer.child.text_lines import Image

#: Lines that are read at once; they have the same width.
_BATCH: Final = 4

#: Widths are padded to multiples of this, so that few shapes are compiled; the recogniser errs more often on
#: short lines without padding.
_WIDTH_STEP_PX: Final = 2 * STEP_PX
_LEAST_WIDTH_PX: Final = 160

#: A longer line would take too much memory; it is squeezed.
_LONGEST_PX: Final = 3200

#: Part of a box's height that is read: the rest holds accents and descenders of other lines.
_READ_HEIGHT: Final = 0.92

#: A space is read where it is this likely, even if a blank is likelier (measured on the words of 64 pages).
_SPACE: Final = 0.2

#: The recogniser sees no spaces on a ground of medium grey, the colour of its padding (measured: 116 to 140).
#: Such a line is made lighter or darker by `_SHIFT`, away from its ink.
_PADDING: Final = 127
_CLOSE: Final = 30
_SHIFT: Final = 70

#: From here on, scripts are written without spaces (CJK).
_FIRST_CJK: Final = "\u2e80"


@dataclass(frozen=True, slots=True)
class Reading:
    """The text of a line, and the mean likelihood of its characters, 0 to 1."""

    text: str
    confidence: float


def cut(page: Image, box: npt.NDArray[np.float32]) -> Image:
    """Cut a line out of the page, `LINE_HEIGHT_PX` high; text starts at the first corner of `box` (4 x 2)."""
    a, b, c, d = box
    inset = ((d - a) + (c - b)) * (1 - _READ_HEIGHT) / 4
    box = np.stack([a + inset, b + inset, c - inset, d - inset])
    a, b, c, d = box
    width = max(1.0, float(np.linalg.norm(a - b)), float(np.linalg.norm(c - d)))
    height = max(1.0, float(np.linalg.norm(a - d)), float(np.linalg.norm(b - c)))
    # Only the surroundings of the line are touched: the page may be large, and a turned view.
    left, top = np.maximum(np.floor(box.min(axis=0)).astype(int) - 2, 0)
    right, bottom = np.ceil(box.max(axis=0)).astype(int) + 3
    part = np.ascontiguousarray(page[top:bottom, left:right])
    # Twice the size for large print, which interpolation between four pixels would make ragged.
    rows = LINE_HEIGHT_PX * max(1, round(height / LINE_HEIGHT_PX))
    length = min(max(1, math.ceil(LINE_HEIGHT_PX * width / height)), _LONGEST_PX)
    columns = length * rows // LINE_HEIGHT_PX
    corners = np.array([[0, 0], [columns, 0], [columns, rows], [0, rows]], np.float32)
    turn = cv2.getPerspectiveTransform(box - np.array([left, top], np.float32), corners)
    line = cv2.warpPerspective(
        part, turn, (columns, rows), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    return np.asarray(cv2.resize(line, (length, LINE_HEIGHT_PX), interpolation=cv2.INTER_AREA), np.uint8)


def read(lines: Sequence[Image], networks: Networks, progress: Callable[[], None]) -> list[Reading]:
    """Read lines that were cut; `progress` is called after each batch."""
    readings: dict[int, Reading] = {}
    for width, numbers in _batches(lines):
        likely = networks.characters_of([_padded(lines[n], width) for n in numbers])
        for n, places in zip(numbers, likely, strict=True):
            readings[n] = _decoded(places, networks.characters)
        progress()
    return [readings[n] for n in range(len(lines))]


def _batches(lines: Sequence[Image]) -> Iterator[tuple[int, list[int]]]:
    """Padded widths, and the numbers of up to `_BATCH` lines that have each."""
    by_width: dict[int, list[int]] = defaultdict(list)
    for n, line in enumerate(lines):
        width = math.ceil(line.shape[1] / _WIDTH_STEP_PX) * _WIDTH_STEP_PX
        by_width[max(width, _LEAST_WIDTH_PX)].append(n)
    for width, numbers in by_width.items():
        for start in range(0, len(numbers), _BATCH):
            yield width, numbers[start : start + _BATCH]


def _padded(line: Image, width: int) -> Image:
    ground = float(np.median(line))
    if abs(ground - _PADDING) < _CLOSE:
        ink_is_darker = float(line.mean()) < ground
        shift = _SHIFT if ink_is_darker else -_SHIFT
        line = np.clip(line.astype(np.int16) + shift, 0, 255).astype(np.uint8)
    grey = (_PADDING, _PADDING, _PADDING)
    padded = cv2.copyMakeBorder(line, 0, 0, 0, width - line.shape[1], cv2.BORDER_CONSTANT, value=grey)
    return np.asarray(padded, np.uint8)


def _decoded(likely: Floats, characters: Sequence[str]) -> Reading:
    """Decode places x characters by the best path of CTC, without blanks (class 0) and repetitions."""
    best = likely.argmax(axis=1)
    kept = np.flatnonzero((best != 0) & (np.diff(best, prepend=-1) != 0))
    if not len(kept):
        return Reading("", 0.0)
    text = characters[best[kept[0]]]
    for place, following in pairwise(kept):
        after = characters[best[following]]
        if max(text[-1], after) < _FIRST_CJK and likely[place + 1 : following, -1].max(initial=0) > _SPACE:
            text += " "
        text += after
    # At most one space between two words.
    return Reading(" ".join(text.split()), float(likely[kept, best[kept]].mean()))
