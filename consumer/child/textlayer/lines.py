"""Lines of text as they are laid over a page: each letter with its place along the line.

All lengths are pixels of the page as rendered. Text that runs to the left is laid from left to right, as it
is seen: MuPDF, PDFium and poppler turn it back. Laid letter by letter to the left, it would be right in
pdfminer too, but PDFium would run lines together.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, groupby, pairwise, takewhile
from typing import Final, NamedTuple

from consumer.child.textlayer.bidirectional import runs
from consumer.domain.geometry import Point
from consumer.domain.result import Corner, Detection, PageResult

#: Lengths below this are none.
_SHORTEST_PX: Final = 0.5

#: Part of a line's height that is left between words whose boxes touch.
_LEAST_SPACE: Final = 0.05


class Letter(NamedTuple):
    """A letter with its marks, from `start` to `end` along its line.

    Letters of one `part` are a word or a space.
    """

    text: str
    start: float
    end: float
    part: int


@dataclass(frozen=True, slots=True)
class Axis:
    """An upright rectangle in the frame of a line: `origin` is its lower left corner, as one reads.

    `along`: the direction of reading, of length 1; `up`: that from the foot of letters to their head.
    """

    origin: Point
    along: Point
    up: Point
    length: float
    height: float

    def at(self, along: float, up: float) -> Point:
        """Return the point so far along the line and above its lower side."""
        return Point(
            self.origin.x + along * self.along.x + up * self.up.x,
            self.origin.y + along * self.along.y + up * self.up.y,
        )

    def place(self, point: Point) -> float:
        """Return how far along the line a point is."""
        x, y = point.x - self.origin.x, point.y - self.origin.y
        return x * self.along.x + y * self.along.y

    def rise(self, point: Point) -> float:
        """Return how far above the lower side of the line a point is."""
        x, y = point.x - self.origin.x, point.y - self.origin.y
        return x * self.up.x + y * self.up.y


def _axis(box: Sequence[Corner]) -> Axis:
    """Return the rectangle nearest to a box of four corners, the first at the start of the text.

    A box that runs round the other way begins at the right, as a line of Hebrew may: it is turned over.
    """
    a, b, c, d = (Point(*corner) for corner in box)
    if (b.x - a.x) * (d.y - a.y) < (b.y - a.y) * (d.x - a.x):
        a, b, c, d = b, a, d, c
    x, y = (b.x - a.x + c.x - d.x) / 2, (b.y - a.y + c.y - d.y) / 2
    length = math.hypot(x, y)
    along = Point(x / length, y / length) if length > _SHORTEST_PX else Point(1, 0)
    up = Point(along.y, -along.x)
    height = ((a.x - d.x + b.x - c.x) * up.x + (a.y - d.y + b.y - c.y) * up.y) / 2
    length, height = max(length, _SHORTEST_PX), max(height, _SHORTEST_PX)
    middle = Point((a.x + b.x + c.x + d.x) / 4, (a.y + b.y + c.y + d.y) / 4)
    origin = Point(
        middle.x - length / 2 * along.x - height / 2 * up.x,
        middle.y - length / 2 * along.y - height / 2 * up.y,
    )
    return Axis(origin, along, up, length, height)


def page_lines(result: PageResult, width: Callable[[str], float]) -> Iterator[tuple[Axis, list[Letter]]]:
    """Lay out the lines of a page, in its order; none if its boxes do not fit its source.

    `width`: of a letter in any unit, by which a line without words is divided.
    """
    # A flattened page is another picture.
    if result.page.flattened_image is None:
        for line in result.detections:
            axis = _axis(line.box)
            if letters := _laid_out(line, axis, width):
                yield axis, letters


def _laid_out(line: Detection, axis: Axis, width: Callable[[str], float]) -> list[Letter]:
    """Lay the text of a line along its axis, by the boxes of its words if it has them.

    Letters come from left to right, and those of one direction after those of another, as they are read.
    """
    parts = runs(line.text.strip())
    seen = [letter for run in parts for letter in run.letters]
    if not seen:
        return []
    placed = _by_words(seen, line, axis, width) or _by_widths(seen, axis, width)
    in_runs: list[tuple[int, list[Letter]]] = []
    for run in parts:
        own, placed = placed[: len(run.letters)], placed[len(run.letters) :]
        in_runs.append((run.first, own))
    return [letter for _, own in sorted(in_runs) for letter in own]


def _by_widths(seen: Sequence[str], axis: Axis, width: Callable[[str], float]) -> list[Letter]:
    """Lay out letters as they are seen, from left to right, each in its part of the line."""
    stretch = axis.length / sum(map(width, seen))
    placed: list[Letter] = []
    for number, (_, part) in enumerate(groupby(seen, str.isspace)):
        letters = list(part)
        start = placed[-1].end if placed else 0.0
        placed += _spread(letters, start, start + stretch * sum(map(width, letters)), number, width)
    return placed


def _spread(
    letters: Sequence[str], start: float, end: float, part: int, width: Callable[[str], float]
) -> Iterator[Letter]:
    """Letters from `start` to `end`, in proportion to their widths."""
    widths = list(map(width, letters))
    stretch = (end - start) / (sum(widths) or 1.0)
    places = pairwise(accumulate((stretch * each for each in widths), initial=start))
    for letter, place in zip(letters, places, strict=True):
        yield Letter(letter, *place, part)


def _by_words(
    seen: Sequence[str], line: Detection, axis: Axis, width: Callable[[str], float]
) -> list[Letter]:
    """Lay out letters at the places of the line's words; none if it does not consist of these words.

    A space fills what is between two words. Where the text has none, neither is a gap left, because readers
    would take it for one.
    """
    spans, least = sorted(_spans(line, axis)), _LEAST_SPACE * axis.height
    if sum(count for _, _, count in spans) != len("".join("".join(seen).split())):
        return []
    placed: list[Letter] = []
    rest = list(seen)
    for number, (start, end, count) in enumerate(spans):
        space = list(takewhile(str.isspace, rest))
        del rest[: len(space)]
        word = [
            letter for letter, last in zip(rest, accumulate(map(len, rest)), strict=True) if last <= count
        ]
        del rest[: len(word)]
        if any(map(str.isspace, word)):
            return []
        before = placed[-1].end if placed else start
        begin = max(start, before + least) if space else before
        placed += _spread(space, before, begin, 2 * number - 1, width)
        placed += _spread(word, begin, max(end, begin + least), 2 * number, width)
    return placed


def _spans(line: Detection, axis: Axis) -> Iterator[tuple[float, float, int]]:
    """Yield start and end of each word, in pixels along the line, and the number of its characters."""
    for word in line.words or ():
        a, b, c, d = (axis.place(Point(*corner)) for corner in word.box)
        start, end = sorted(((a + d) / 2, (b + c) / 2))
        yield start, end, len("".join(word.text.split()))
