"""Tells shapes from letters: a large disk reads as an O."""

from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from consumer.child.pixels import Image

#: Lower boxes are letters, or bullets that may well be read as such.
_SHAPE_PX: Final = 96

#: Tones that differ by no more are the same. A shape is even if so much of it has the same.
_SAME_TONE: Final = 16
_EVEN_SHARE: Final = 0.95


def is_filled_shape(page: Image, box: npt.NDArray[np.float32]) -> bool:
    """Whether a large box holds one shape of an even tone. `box`: 4 corners x 2 in pixels.

    The middle of a letter is its ground, or stroke and ground; that of a shape is as even as the ground about
    it, and of another tone.
    """
    left, top = np.maximum(0, box.min(axis=0)).astype(int)
    right, bottom = np.minimum(page.shape[1::-1], box.max(axis=0)).astype(int)
    if min(right - left, bottom - top) < _SHAPE_PX:
        return False
    pixels = np.ascontiguousarray(page[top:bottom, left:right])
    part = cv2.cvtColor(pixels, cv2.COLOR_BGR2GRAY)
    height, width = part.shape
    middle = part[height // 4 : -height // 4, width // 4 : -width // 4]
    corners = part[:: height - 1, :: width - 1]
    tone = float(np.median(middle))
    is_even = float(np.mean(np.abs(middle - tone) <= _SAME_TONE)) >= _EVEN_SHARE
    return is_even and abs(tone - float(np.median(corners))) > _SAME_TONE
