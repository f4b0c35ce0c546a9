"""Reads one page: which way it and each of its lines lie is decided by what they say.

A line is read in the page's direction. If that says little, it is read the other way too, and the more
confident reading counts.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import cv2
import numpy as np
import numpy.typing as npt

from consumer.child.directions import BETTER, DOUBTFUL, ELONGATED, Turn, candidate_turns, is_clearly_better
from consumer.child.pixels import Image
from consumer.child.rapidocr.boxes import LIKELY, Boxes
from consumer.child.rapidocr.detection import find_lines
from consumer.child.rapidocr.networks import Networks
from consumer.child.rapidocr.recognition import Reading, read
from consumer.child.rapidocr.shapes import is_filled_shape
from consumer.child.rapidocr.specks import without_specks

#: The direction network is believed from this certainty on (measured: right for 219 of 220 pages, and wrong
#: with 0.62).
_CERTAIN: Final = 0.8

#: A page whose lines are read with less, on average, is read again, turned by a quarter.
_POOR: Final = 0.75

#: Lines of lower confidence are noise more often than text.
_LEAST: Final = 0.65

#: A line that the detector doubts must be read this well to count.
_GOOD: Final = 0.9

#: Least number of characters of a word that may look like one when it is turned.
_WORD: Final = 3

#: Words of at least so many letters, read with this confidence, are not upside down.
_LETTERS: Final = 5
_SURE: Final = 0.95

#: Noise and pictures are found as boxes that are hardly longer than high.
_UNREAD_ASPECT: Final = 1.8


@dataclass(frozen=True, slots=True)
class Line:
    """A box with what it says. `box`: 4 corners x 2 in pixels, clockwise from the start of the text.

    `score`: the detector's, 0 to 1.
    """

    box: npt.NDArray[np.float32]
    reading: Reading
    score: float

    @property
    def length_px(self) -> float:
        """Length along the text."""
        return float(np.linalg.norm(self.box[0] - self.box[1]))

    @property
    def is_read(self) -> bool:
        """Whether it counts as text: a box that the detector doubts must be read well."""
        least = _LEAST if self.score >= LIKELY else _GOOD
        return bool(self.reading.text) and self.reading.confidence >= least

    @property
    def is_unread(self) -> bool:
        """Whether it is text most likely, and could not be read."""
        height_px = float(np.linalg.norm(self.box[0] - self.box[3]))
        return not self.is_read and self.score >= LIKELY and self.length_px > _UNREAD_ASPECT * height_px


@dataclass(frozen=True, slots=True)
class PageReading:
    """What was found on a page that was turned clockwise by `angle` degrees; boxes are of the turned page.

    `turns`: quarters by which each line is turned clockwise.
    """

    angle: Literal[0, 90, 180, 270]
    lines: tuple[Line, ...]
    turns: tuple[Turn, ...]

    @property
    def turn(self) -> Turn:
        """Quarters by which most of the text is turned clockwise; 0 on an upright page."""
        weights: dict[Turn, float] = {0: 0.0, 1: 0.0, 2: 0.0, 3: 0.0}
        for line, turn in zip(self.lines, self.turns, strict=True):
            weights[turn] += line.length_px * line.reading.confidence
        return max(weights, key=weights.__getitem__)

    @property
    def evidence(self) -> float:
        """Number of characters that were read upright, each counted by its confidence."""
        upright = [
            line.reading
            for line, turn in zip(self.lines, self.turns, strict=True)
            if line.is_read and not turn
        ]
        return sum(len(reading.text) * reading.confidence for reading in upright)

    @property
    def confidence(self) -> float:
        """Mean of all lines, each counted by its length; 0 without any."""
        lengths_px = [line.length_px for line in self.lines]
        confidences = [line.reading.confidence for line in self.lines]
        return float(np.average(confidences, weights=lengths_px)) if sum(lengths_px) else 0.0


def read_page(page: Image, networks: Networks, progress: Callable[[], None]) -> PageReading:
    """Read a page; `progress` is called after each step."""
    clean = without_specks(page)
    # Cleaning leaves parts of specks that touch letters, which read like accents, and a median takes away
    # thin strokes. What all three say counts.
    views = (page,) if clean is page else (clean, page, np.asarray(cv2.medianBlur(page, 3), np.uint8))
    turned, certainty = networks.page_direction(clean)
    angle = -turned if certainty >= _CERTAIN else 0
    first = _read_turned(views, angle, networks, progress)
    if not first.turn and (first.confidence >= _POOR or not first.lines):
        return first
    # Either most lines say that another side is up, or they say little.
    second = _read_turned(views, angle - 90 * first.turn if first.turn else angle + 90, networks, progress)
    if second.turn:
        second = _read_turned(views, second.angle - 90 * second.turn, networks, progress)
    return max(first, second, key=lambda reading: reading.evidence)


def _read_turned(
    views: Sequence[Image], angle: int, networks: Networks, progress: Callable[[], None]
) -> PageReading:
    quarters = angle // 90 % 4
    turned = [np.rot90(view, -quarters) for view in views]
    found = find_lines(turned[0], networks, progress)
    boxes = _Boxes(turned, found.boxes, networks, progress)
    turns = boxes.decide()
    readings = [boxes.readings[n][turn] for n, turn in enumerate(turns)]
    for n, box in enumerate(found.boxes):
        if len(readings[n].text) == 1 and is_filled_shape(turned[0], box):
            readings[n] = Reading("", 0.0)
    lines = tuple(
        Line(np.roll(box, -turn, axis=0), reading, float(score))
        for box, score, turn, reading in zip(found.boxes, found.scores, turns, readings, strict=True)
    )
    degrees: tuple[Literal[0, 90, 180, 270], ...] = (0, 90, 180, 270)
    return PageReading(degrees[quarters], lines, tuple(turns))


class _Boxes:
    """The boxes of a page, and how each reads in the turns that were tried."""

    def __init__(
        self, views: Sequence[Image], boxes: Boxes, networks: Networks, progress: Callable[[], None]
    ) -> None:
        self._views = views
        self._boxes = boxes
        self._networks = networks
        self._progress = progress
        self._candidates = _candidates(boxes)
        self._is_line = np.ptp(boxes[..., 0], axis=1) > ELONGATED * np.ptp(boxes[..., 1], axis=1)
        self.readings: list[dict[Turn, Reading]] = [{} for _ in boxes]

    def decide(self) -> list[Turn]:
        """Read every box, and return the turn of each."""
        every = range(len(self._boxes))
        self._read((n, turn) for n in every for turn in self._candidates[n])
        level = [n for n in every if self._candidates[n] == (0,)]
        # Characters of their own follow the lines.
        lines = [n for n in level if self._is_line[n]]
        self._read((n, 2) for n in lines if self.readings[n][0].confidence < DOUBTFUL)
        turns = [self._best(n) for n in every]
        self._prolong(turns)
        if any(turns[n] == 2 for n in lines):
            self._read((n, 2) for n in level if not self._is_words(n))
            self._follow_neighbours(level, lines, turns)
        return turns

    def _read(self, pairs: Iterable[tuple[int, Turn]]) -> None:
        wanted = [(n, turn) for n, turn in pairs if turn not in self.readings[n]]
        boxes = [np.roll(self._boxes[n], -turn, axis=0) for n, turn in wanted]
        readings = read(self._views, boxes, self._networks, self._progress)
        for (n, turn), reading in zip(wanted, readings, strict=True):
            self.readings[n][turn] = reading

    def _best(self, n: int) -> Turn:
        """The most convincing turn; the first candidate, unless another is clearly better."""
        readings, first = self.readings[n], self._candidates[n][0]
        best = max(readings, key=lambda turn: readings[turn].confidence)
        if is_clearly_better(readings[best].confidence, readings[first].confidence):
            return best
        # A word that runs down may look like a character, and no character looks like a word.
        is_word = len(readings[best].text) >= _WORD and readings[best].confidence >= DOUBTFUL
        return best if is_word and len(readings[first].text) == 1 else first

    def _prolong(self, turns: list[Turn]) -> None:
        """Turn boxes of about one character that prolong a line that runs down or up, if they say more."""
        tried = [
            (n, turn)
            for line, turn in enumerate(turns)
            if turn in {1, 3}
            for n in self._prolonging(line)
            if self._candidates[n] == (0,) and self.readings[n][0].confidence < DOUBTFUL
        ]
        self._read(tried)
        for n, _ in tried:
            turns[n] = self._best(n)

    def _prolonging(self, line: int) -> npt.NDArray[np.int64]:
        """Boxes above and below one that runs down or up, about as wide, and less than that away."""
        low, high = self._boxes.min(axis=1), self._boxes.max(axis=1)
        width = high[line, 0] - low[line, 0]
        common = np.minimum(high[:, 0], high[line, 0]) - np.maximum(low[:, 0], low[line, 0])
        gap = np.maximum(low[:, 1] - high[line, 1], low[line, 1] - high[:, 1])
        return np.flatnonzero((common > 0.7 * width) & (gap > -0.3 * width) & (gap < width))

    def _follow_neighbours(self, level: list[int], lines: list[int], turns: list[Turn]) -> None:
        """Give boxes that read well both ways, as numbers may, the turn of the nearest one that does not."""
        # Not those that prolong a line that runs down or up.
        level, lines = ([n for n in some if turns[n] in {0, 2}] for some in (level, lines))
        clear = {n for n in lines if self._is_clear(n)}
        if not clear:
            return
        centres = self._boxes.mean(axis=1)
        for n in (n for n in level if n not in clear and 2 in self.readings[n]):
            turns[n] = turns[min(clear, key=lambda m: float(np.linalg.norm(centres[m] - centres[n])))]

    def _is_words(self, n: int) -> bool:
        """Whether a level box says what hardly reads so well upside down, as numbers may."""
        reading = self.readings[n][0]
        return reading.confidence >= _SURE and sum(map(str.isalpha, reading.text)) >= _LETTERS

    def _is_clear(self, n: int) -> bool:
        """Whether a level line says clearly which side is up."""
        readings = self.readings[n]
        return 2 not in readings or abs(readings[0].confidence - readings[2].confidence) > BETTER


def _candidates(boxes: Boxes) -> list[tuple[Turn, ...]]:
    """The turns in which each box is read at first, the likeliest first.

    Level lines are read upside down later, if they say little or another line lies so.
    """
    widths_px = np.linalg.norm(boxes[:, 0] - boxes[:, 1], axis=1)
    heights_px = np.linalg.norm(boxes[:, 0] - boxes[:, 3], axis=1)
    return [(0,) if turns == (0, 2) else turns for turns in candidate_turns(widths_px, heights_px)]
