"""The words of a line, whether the engine has told them or not."""

from collections.abc import Iterator
from dataclasses import dataclass

from consumer.domain import geometry
from consumer.domain.geometry import Point
from consumer.domain.result import Corners, Detection
from consumer.domain.scripts import is_right_to_left


@dataclass(frozen=True, slots=True)
class LineWord:
    """A word of a line; its `confidence` is 0 to 1. `is_spaced`: a space follows it."""

    text: str
    box: Corners
    confidence: float
    is_spaced: bool


def words(line: Detection) -> Iterator[LineWord]:
    """Yield the words of a line in the order of its text.

    If the engine has not told them, the line's box is cut by the share of characters, and each has the
    line's confidence. Of a line that is written from right to left, the first word is the one at the right.
    """
    if line.words is None:
        yield from _shared_words(line)
        return
    end = 0
    for n, word in enumerate(line.words):
        end = max(line.text.find(word.text, end), end) + len(word.text)
        is_last = n == len(line.words) - 1
        yield LineWord(word.text, word.box, word.confidence, not is_last and line.text[end : end + 1] == " ")


def _shared_words(line: Detection) -> Iterator[LineWord]:
    tokens = line.text.split() or [line.text]
    length, at = max(len(line.text), 1), 0
    is_reversed = is_right_to_left(line.text)
    for n, token in enumerate(tokens):
        at = max(line.text.find(token, at), at)
        start, end = at / length, (at + len(token)) / length
        if is_reversed:
            start, end = 1 - end, 1 - start
        yield LineWord(token, _part_of(line.box, start, end), line.confidence, n < len(tokens) - 1)
        at += len(token)


def _part_of(box: Corners, start: float, end: float) -> Corners:
    """Cut a part, from `start` to `end` (0 to 1 along the text), out of a line's box."""
    a, b, c, d = (Point(*corner) for corner in box)
    first, second, third, fourth = (
        (round(x), round(y)) for x, y in geometry.part_of((a, b, c, d), start, 0.0, end, 1.0)
    )
    return first, second, third, fourth
