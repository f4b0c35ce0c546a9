"""Reads one page: which way it and each of its lines lie is decided by what they say.

A line is read in the page's direction. If that says little, it is read the other way too, and the more
confident reading counts.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import numpy.typing as npt

from consumer.child.rapidocr.detection import Boxes, find_lines
from consumer.child.rapidocr.networks import Networks
from consumer.child.rapidocr.recognition import Reading, cut, read
from consumer.child.text_lines import Image

#: The direction network is believed from this certainty on; it was wrong on 1 of 220 pages, with 0.62.
_CERTAIN: Final = 0.8

#: A line that is read with less is read the other way too.
_DOUBTFUL: Final = 0.9

#: The other reading counts if it is better by this much; if both are good, and closer, the neighbours decide.
_BETTER: Final = 0.05
_GOOD: Final = 0.9

#: A page whose lines are read with less, on average, is read again, turned by a quarter.
_POOR: Final = 0.75

#: A box has a direction of its own if its longer side is this many times the height of a line.
_ELONGATED: Final = 1.8

#: An elongated box that is less long than this times its width may also be one high character.
_SLENDER: Final = 4.0

QuarterTurns = Literal[0, 1, 2, 3]


@dataclass(frozen=True, slots=True)
class Line:
    """A line of text. `box`: 4 corners x 2 in pixels, clockwise from the start of the text; `score`: the detector's."""

    box: npt.NDArray[np.float32]
    reading: Reading
    score: float

    @property
    def length_px(self) -> float:
        """Length of the line along its text."""
        return float(np.linalg.norm(self.box[0] - self.box[1]))


@dataclass(frozen=True, slots=True)
class PageReading:
    """The lines of a page after it was turned clockwise by `angle` degrees, in pixels of the turned page."""

    angle: Literal[0, 90, 180, 270]
    lines: tuple[Line, ...]
    #: Of all lines of the turned page, the quarter turn (clockwise) in which most of the text runs.
    main_turn: QuarterTurns

    @property
    def evidence(self) -> float:
        """Mean confidence, lines counted by their length; 0 without lines."""
        lengths = [line.length_px for line in self.lines]
        total = sum(lengths)
        return sum(n * line.reading.confidence for n, line in zip(lengths, self.lines, strict=True)) / max(total, 1.0)


def read_page(page: Image, networks: Networks, progress: Callable[[], None]) -> PageReading:
    """Read a page; `progress` is called after each step."""
    turned, certainty = networks.page_direction(page)
    angle = (360 - turned) % 360 if certainty >= _CERTAIN else 0
    reading = _read_turned(page, angle, networks, progress)
    if reading.main_turn:
        again = _read_turned(page, angle - 90 * reading.main_turn, networks, progress)
    elif reading.lines and reading.evidence < _POOR:
        again = _read_turned(page, angle + 90, networks, progress)
        if again.main_turn == 2:
            again = _read_turned(page, angle + 270, networks, progress)
    else:
        return reading
    return max(reading, again, key=lambda each: (each.main_turn == 0, each.evidence))


def _read_turned(page: Image, angle: int, networks: Networks, progress: Callable[[], None]) -> PageReading:
    angle %= 360
    turned = np.rot90(page, -angle // 90)
    found = find_lines(turned, networks, progress)
    lines = _Lines(turned, found.boxes, networks, progress)
    turns = lines.decided()
    chosen = tuple(
        Line(np.roll(box, -turn, axis=0), lines.readings[n][turn], float(score))
        for n, (box, score, turn) in enumerate(zip(found.boxes, found.scores, turns, strict=True))
    )
    lengths = [0.0, 0.0, 0.0, 0.0]
    for line, turn in zip(chosen, turns, strict=True):
        lengths[turn] += line.length_px * line.reading.confidence
    main = lengths.index(max(lengths))
    return PageReading(angle, chosen, main)  # type: ignore[arg-type]


class _Lines:
    """The boxes of a page, and how each reads in the quarter turns (clockwise) that were tried."""

    def __init__(self, page: Image, boxes: Boxes, networks: Networks, progress: Callable[[], None]) -> None:
        self._page = page
        self._boxes = boxes
        self._networks = networks
        self._progress = progress
        self._shapes = _candidates(boxes)
        self.readings: list[dict[int, Reading]] = [{} for _ in boxes]

    def decided(self) -> list[QuarterTurns]:
        """Read every box, and return the quarter turn of each."""
        self._read((n, turn) for n, turns in enumerate(self._shapes) for turn in turns)
        doubtful = [n for n in range(len(self._boxes)) if self._best(n) < _DOUBTFUL]
        self._read((n, turn) for n in doubtful for turn in _others(self._shapes[n]))
        turns = [self._choice(n) for n in range(len(self._boxes))]
        if len({turn for n, turn in enumerate(turns) if self._is_clear(n)} & {0, 2}) == 2:
            self._follow_neighbours(turns)
        return turns

    def _read(self, pairs: Iterable[tuple[int, int]]) -> None:
        wanted = [(n, turn) for n, turn in pairs if turn not in self.readings[n]]
        crops = [cut(self._page, np.roll(self._boxes[n], -turn, axis=0)) for n, turn in wanted]
        for (n, turn), reading in zip(wanted, read(crops, self._networks, self._progress), strict=True):
            self.readings[n][turn] = reading

    def _best(self, n: int) -> float:
        return max(reading.confidence for reading in self.readings[n].values())

    def _choice(self, n: int) -> QuarterTurns:
        first = self._shapes[n][0]
        return max(
            self.readings[n],
            key=lambda turn: self.readings[n][turn].confidence + _BETTER * (turn == first),
        )  # type: ignore[return-value]

    def _is_clear(self, n: int) -> bool:
        """Whether a line says by itself which side is up."""
        return len(self.readings[n]) > 1 and self._margin(n) > _BETTER and self._best(n) >= _GOOD

    def _margin(self, n: int) -> float:
        best, *others = sorted((reading.confidence for reading in self.readings[n].values()), reverse=True)
        return best - (others[0] if others else 0.0)

    def _follow_neighbours(self, turns: list[QuarterTurns]) -> None:
        """Give lines that read well both ways (numbers do) the direction of the nearest line that does not."""
        wide = [n for n, shape in enumerate(self._shapes) if shape[0] == 0]
        self._read((n, 2) for n in wide)
        clear = [n for n in wide if self._is_clear(n)]
        centres = self._boxes.mean(axis=1)
        for n in set(wide) - set(clear):
            distances = np.abs(centres[clear] - centres[n]) @ np.array([0.2, 1.0], np.float32)
            nearest = turns[clear[int(distances.argmin())]]
            if nearest in self.readings[n] and self.readings[n][nearest].confidence > self._best(n) - 2 * _BETTER:
                turns[n] = nearest


def _candidates(boxes: Boxes) -> list[tuple[int, ...]]:
    """The quarter turns in which each box is read at once; the first is the most likely."""
    if not len(boxes):
        return []
    width = np.linalg.norm(boxes[:, 0] - boxes[:, 1], axis=1)
    height = np.linalg.norm(boxes[:, 0] - boxes[:, 3], axis=1)
    short, long = np.minimum(width, height), np.maximum(width, height)
    elongated = long > _ELONGATED * short
    line_px = float(np.median(short[elongated] if elongated.any() else long))
    return [
        ((0, 1, 3) if tall < _SLENDER * across else (1, 3)) if tall > _ELONGATED * max(across, line_px) or (tall > _SLENDER * across) else (0,)
        for across, tall in zip(width, height, strict=True)
    ]


def _others(turns: tuple[int, ...]) -> tuple[int, ...]:
    return (2,) if turns == (0,) else ()
