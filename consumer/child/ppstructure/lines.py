"""Reads each line of text in the direction in which it says most.

PaddleX turns every crop that is 1.5 times as high as wide, a lone 1 too, and has a classifier decide which
side of a line is up, which errs with any certainty. So crops are left as they lie on the page, and a line
that says little is read in other directions too.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

import cv2
import numpy as np
import numpy.typing as npt

from consumer.child.directions import DOUBTFUL, Turn, candidate_turns, is_clearly_better
from consumer.child.pixels import Image
from consumer.child.words import Character, LineWord, find_words
from consumer.domain.geometry import Point, Quad

#: PaddleX itself turns crops that are this many times as high as wide (its get_rotate_crop_image).
_TURNED_ASPECT: Final = 1.5


class DirectedText(str):
    """Text of a line; `turn`: how it is turned on the image from which it was read.

    `words`: None if they are not asked for, or not known.
    """

    __slots__ = ("turn", "words")
    turn: Turn
    words: Sequence[LineWord] | None


class ReadText(str):
    """Text of a line, and its characters as they were read."""

    __slots__ = ("characters",)
    characters: Sequence[Character]


class LineReader:
    """In the place of PaddleX's recogniser, `recognize`: gives its results, with texts as `DirectedText`.

    These have words if `recognize` gives `ReadText`.
    """

    def __init__(self, recognize: Callable[..., Iterable[dict[str, Any]]]) -> None:
        self._recognize = recognize

    def __call__(self, crops: Sequence[Image], **named: Any) -> list[dict[str, Any]]:
        """Read the crops of a page, or one of them; `named`: what PaddleX wants of its recogniser."""
        heights_px, widths_px = np.array([crop.shape[:2] for crop in crops]).reshape(-1, 2).T
        candidates = candidate_turns(widths_px, heights_px)
        tried = [(n, turns[0]) for n, turns in enumerate(candidates)]
        results = self._read(crops, tried, named)
        others = [
            (n, turn)
            for n, turns in enumerate(candidates)
            for turn in turns[1:]
            if not results[n]["rec_score"] >= DOUBTFUL
        ]
        for (n, _), other in zip(others, self._read(crops, others, named), strict=True):
            if is_clearly_better(other["rec_score"], results[n]["rec_score"]):
                results[n] = other
        return results

    def _read(
        self, crops: Sequence[Image], tried: Sequence[tuple[int, Turn]], named: dict[str, Any]
    ) -> list[dict[str, Any]]:
        upright = [np.ascontiguousarray(np.rot90(crops[n], turn)) for n, turn in tried]
        results = list(self._recognize(upright, **named)) if upright else []
        for result, line, (_, turn) in zip(results, upright, tried, strict=True):
            read = result["rec_text"]
            text = DirectedText(read)
            text.turn = turn
            text.words = find_words(line, read.characters) if isinstance(read, ReadText) else None
            result["rec_text"] = text
        return results


Decode = Callable[..., list[tuple[str, float]]]


def keeping_characters(decode: Decode) -> Decode:
    """Have PaddleX's decoder of CTC give its texts as `ReadText`.

    Its own words have no likelihood, and neither the characters of most scripts nor punctuation.
    """

    def decode_and_keep(
        indices: npt.NDArray[np.int64], likely: npt.NDArray[np.float32], **named: Any
    ) -> list[tuple[str, float]]:
        decoded = decode(indices, likely, **named)
        return [
            (_with_characters(text, *places), confidence)
            for (text, confidence), *places in zip(decoded, indices, likely, strict=True)
        ]

    return decode_and_keep


def _with_characters(text: str, indices: npt.NDArray[np.int64], likely: npt.NDArray[np.float32]) -> str:
    # Class 0 is the blank; a class that is repeated is one character.
    places = np.flatnonzero((indices != 0) & (np.diff(indices, prepend=-1) != 0))
    if len(places) != len(text):
        return text
    read = ReadText(text)
    read.characters = [
        Character(character, float(place), float(likely[place]))
        for character, place in zip(text, places, strict=True)
    ]
    return read


def crop_lines(image: Image, boxes: Iterable[npt.NDArray[Any]]) -> list[Image]:
    """Cut boxes (4 corners x 2, clockwise) out of the image, each as it lies: first corner top left."""
    return [_crop(image, np.asarray(box, np.float32)) for box in boxes]


def _crop(image: Image, box: npt.NDArray[np.float32]) -> Image:
    width, height = _size(box)
    # OpenCV takes no image with a side over 32,767 pixels here.
    left, top = np.maximum(box.min(axis=0).astype(int), 0)
    right, bottom = box.max(axis=0).astype(int) + 1
    part = image[top:bottom, left:right]
    corners = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
    to_crop = cv2.getPerspectiveTransform(box - np.array([left, top], np.float32), corners)
    crop = cv2.warpPerspective(
        part, to_crop, (width, height), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE
    )
    return np.asarray(crop, np.uint8)


def is_turned_by_paddlex(box: npt.NDArray[Any]) -> bool:
    """Whether PaddleX itself turns the crop of this box (4 x 2) a quarter counter-clockwise."""
    width_px, height_px = _size(box)
    return height_px >= _TURNED_ASPECT * width_px


def corners_from_text_start(box: npt.NDArray[Any], turn: int) -> Quad:
    """Return the corners, clockwise, beginning with the start of the text.

    Boxes of detectors begin at the corner nearest the page's top left. Text that is turned by `turn` quarters
    clockwise starts as many corners further.
    """
    a, b, c, d = (Point(float(x), float(y)) for x, y in np.roll(box, -turn, axis=0))
    return a, b, c, d


def _size(box: npt.NDArray[Any]) -> tuple[int, int]:
    a, b, c, d = box
    width, height = (
        max(np.linalg.norm(a - b), np.linalg.norm(c - d)),
        max(np.linalg.norm(a - d), np.linalg.norm(b - c)),
    )
    return max(1, int(width)), max(1, int(height))
