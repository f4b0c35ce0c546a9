"""Reads lines: cuts them out of the page, and decodes what the recogniser says of them."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from consumer.child.pixels import Image
from consumer.child.rapidocr.networks import Networks, Places
from consumer.child.words import LINE_HEIGHT_PX, PLACE_PX, Character
from consumer.domain.scripts import UNSPACED

#: Widths to which lines are padded. There are few, because every new shape takes time and memory. The
#: recogniser errs more often on short lines without padding.
_WIDTHS_PX: Final[tuple[int, ...]] = (
    *range(96, 512, 32),
    *range(512, 1024, 64),
    *range(1024, 2400 + 1, 128),
)

#: A batch takes as long for each line as a single line does from this total width on. A single narrow line
#: takes a third longer than in a batch, so narrower ones join, of at least this part of the width.
_BATCH_PX: Final = 1024
_JOINED: Final = 0.75

#: A longer line would take too much memory; it is read in pieces, cut in a gap at most `_AROUND_PX` before
#: it would be too long. A gap of `_SPACE_PX` lies between words.
_LONGEST_PX: Final = _WIDTHS_PX[-1]
_AROUND_PX: Final = 300
_SPACE_PX: Final = 8

#: Part of a box's height that is read: the rest holds accents and descenders of other lines.
READ_HEIGHT: Final = 0.92

#: A space is read where it is this likely, even if a blank is likelier (measured on the words of 64 pages).
_SPACE: Final = 0.2

#: A 1 that follows a small letter is an l if that is so likely: typewriter faces have them alike.
_ALIKE: Final = 0.05

#: The recogniser sees no spaces on a ground of medium grey, the colour of its padding (measured: 116 to 140).
#: Such a line is made lighter or darker by `_SHIFT`, away from its ink.
_PADDING: Final = 127
_CLOSE: Final = 30
_SHIFT: Final = 70

#: The pixels of a column without ink differ by no more than this from those of the evenest.
_EVEN: Final = 32

#: Longest side of what OpenCV warps.
_WARPED_PX: Final = 32_000


@dataclass(frozen=True, slots=True)
class Reading:
    """The text of a line, and the mean likelihood of its characters, 0 to 1.

    `characters`: those of the text from left to right.
    """

    text: str
    confidence: float
    characters: tuple[Character, ...] = ()


def read(
    views: Sequence[Image],
    boxes: Sequence[npt.NDArray[np.float32]],
    networks: Networks,
    progress: Callable[[], None],
) -> list[Reading]:
    """Read lines of a page; `progress` is called after each batch.

    `views`: the page, prepared in one or more ways; the mean of what is likely in each counts. `boxes`: 4
    corners x 2 in pixels of the page, clockwise from the start of the text.
    """
    readings: dict[int, Reading] = {}
    for n, box in enumerate(boxes):
        if _read_length(box) > _LONGEST_PX:
            readings[n] = _read_long([cut(view, box) for view in views], networks)
            progress()
    batches = list(_batches(boxes))
    # Cut when they are read: a page may have thousands of lines.
    lines = (
        [[_padded(cut(view, boxes[n]), width) for n in numbers] for view in views]
        for width, numbers in batches
    )
    for (_, numbers), places_of_lines in zip(batches, networks.places(lines), strict=True):
        for n, places in zip(numbers, places_of_lines, strict=True):
            readings[n] = _decoded(places, networks.characters)
        progress()
    return [readings[n] for n in range(len(boxes))]


def _size_px(box: npt.NDArray[np.float32]) -> tuple[float, float]:
    """Length and height of a line."""
    a, b, c, d = box
    length = max(1.0, float(np.linalg.norm(a - b)), float(np.linalg.norm(c - d)))
    height = max(1.0, float(np.linalg.norm(a - d)), float(np.linalg.norm(b - c)))
    return length, height * READ_HEIGHT


def _read_length(box: npt.NDArray[np.float32]) -> int:
    """Length of a line as it is read."""
    length, height = _size_px(box)
    return max(1, math.ceil(LINE_HEIGHT_PX * length / height))


def _batches(boxes: Sequence[npt.NDArray[np.float32]]) -> Iterator[tuple[int, list[int]]]:
    """Padded widths, and the numbers of the lines that are read at once, in powers of two.

    A line joins a batch of wider ones if it is padded by little more than on its own.
    """
    widths = {
        n: _padded_width(length) for n, length in enumerate(map(_read_length, boxes)) if length <= _LONGEST_PX
    }
    waiting = sorted(widths, key=widths.__getitem__, reverse=True)
    while waiting:
        width = widths[waiting[0]]
        most = max(1, _BATCH_PX // width)
        fitting = sum(widths[n] >= _JOINED * width for n in waiting[:most])
        count = 1 << (fitting.bit_length() - 1)
        yield width, waiting[:count]
        del waiting[:count]


def _padded_width(length: int) -> int:
    return next(width for width in _WIDTHS_PX if width >= length)


def _read_long(line_of_views: Sequence[Image], networks: Networks) -> Reading:
    """Read a line piece by piece."""
    text, weighted = "", 0.0
    characters: list[Character] = []
    start = length = 0
    is_after_gap = False
    while start < line_of_views[0].shape[1]:
        end, is_between_words = _piece_end(line_of_views[0], start)
        width = _padded_width(end - start)
        piece = [[_padded(line[:, start:end], width)] for line in line_of_views]
        ((places,),) = networks.places([piece])
        reading = _decoded(places, networks.characters)
        text += reading.text + " " * is_between_words
        for each in reading.characters:
            begins_word = is_after_gap and bool(characters)
            place, is_spaced = each.place + start / PLACE_PX, each.is_spaced or begins_word
            characters.append(each._replace(place=place, is_spaced=is_spaced))
            is_after_gap = False
        is_after_gap |= is_between_words
        weighted += reading.confidence * len(reading.text)
        length += len(reading.text)
        start = end
    return Reading(text.strip(), weighted / length if length else 0.0, tuple(characters))


def _piece_end(line: Image, start: int) -> tuple[int, bool]:
    """The end of the piece that starts there: the middle of the widest gap before it gets too long.

    The second value tells whether the gap lies between words.
    """
    end = start + _LONGEST_PX
    if end >= line.shape[1]:
        return line.shape[1], False
    grey = cv2.cvtColor(line[:, end - _AROUND_PX : end], cv2.COLOR_BGR2GRAY)
    spread = np.ptp(grey.astype(np.int16), axis=0)
    # Columns as even as any; their runs are the gaps.
    inked = np.concatenate([[True], spread > spread.min() + _EVEN, [True]])
    edges = np.flatnonzero(inked)
    gaps = np.diff(edges) - 1
    widest = int(gaps.argmax())
    middle = int(edges[widest] + gaps[widest] // 2)
    return end - _AROUND_PX + max(1, middle), bool(gaps[widest] >= _SPACE_PX)


def cut(page: Image, box: npt.NDArray[np.float32]) -> Image:
    """Cut a line out of the page, `LINE_HEIGHT_PX` high; its text runs from left to right."""
    _, height = _size_px(box)
    length = _read_length(box)
    a, b, c, d = box
    inset = ((d - a) + (c - b)) * (1 - READ_HEIGHT) / 4
    box = np.stack([a + inset, b + inset, c - inset, d - inset])
    # Only the surroundings of the line are touched: the page may be large, and a turned view.
    left, top = np.maximum(np.floor(box.min(axis=0)).astype(int) - 2, 0)
    right, bottom = np.ceil(box.max(axis=0)).astype(int) + 3
    part = np.ascontiguousarray(page[top:bottom, left:right])
    # OpenCV cannot warp longer images.
    step = max(1, math.ceil(max(part.shape[:2]) / _WARPED_PX))
    part = np.ascontiguousarray(part[::step, ::step])
    # A multiple of the height for large print, which interpolation between four pixels would make ragged.
    rows = LINE_HEIGHT_PX * max(1, round(height / step / LINE_HEIGHT_PX))
    columns = length * rows // LINE_HEIGHT_PX
    corners = np.array([[0, 0], [columns, 0], [columns, rows], [0, rows]], np.float32)
    turn = cv2.getPerspectiveTransform((box - np.array([left, top], np.float32)) / step, corners)
    line = cv2.warpPerspective(
        part, turn, (columns, rows), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    return np.asarray(cv2.resize(line, (length, LINE_HEIGHT_PX), interpolation=cv2.INTER_AREA), np.uint8)


def _padded(line: Image, width: int) -> Image:
    counts = cv2.calcHist([line.reshape(-1, 1)], [0], None, [256], [0, 256])
    ground = float(np.searchsorted(counts.cumsum(), line.size / 2))
    if abs(ground - _PADDING) < _CLOSE:
        ink_is_darker = float(line.mean()) < ground
        shift = _SHIFT if ink_is_darker else -_SHIFT
        line = np.clip(line.astype(np.int16) + shift, 0, 255).astype(np.uint8)
    grey = (_PADDING, _PADDING, _PADDING)
    padded = cv2.copyMakeBorder(line, 0, 0, 0, width - line.shape[1], cv2.BORDER_CONSTANT, value=grey)
    return np.asarray(padded, np.uint8)


def _decoded(places: Places, characters: Sequence[str]) -> Reading:
    """Decode a line by the best path of CTC, without blanks (class 0) and repetitions."""
    best, surest = places.best, places.surest
    kept = np.flatnonzero((best != 0) & (np.diff(best, prepend=-1) != 0))
    if not len(kept):
        return Reading("", 0.0)
    # Whether there may be a space after each character, before the next one.
    spaces = np.concatenate([[0], np.cumsum(places.space > _SPACE)])
    spaced = spaces[kept[1:]] > spaces[kept[:-1] + 1]
    found = [Character(characters[best[kept[0]]], float(kept[0]), float(surest[kept[0]]))]
    for place, is_wide in zip(kept[1:], spaced, strict=True):
        before, after = found[-1].text, characters[best[place]]
        is_spaced = bool(is_wide) and not UNSPACED.match(before) and not UNSPACED.match(after)
        if not is_spaced and after == "1" and before.islower() and "l" in characters:
            after = "l" if places.ell[place] > _ALIKE else "1"
        found.append(Character(after, float(place), float(surest[place]), is_spaced))
    text = "".join(" " * each.is_spaced + each.text for each in found)
    # At most one space between two words.
    return Reading(" ".join(text.split()), float(surest[kept].mean()), tuple(found))
