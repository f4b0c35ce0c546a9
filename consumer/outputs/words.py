"""The words of a line, whether the engine has told them or not."""

from collections.abc import Iterator, Sequence
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


def words(line: Detection) -> Sequence[LineWord]:
    """Return the words of a line in the order of its text.

    If the engine has not told them, or they do not say what the line says, the line's box is cut by the share
    of characters, and each has the line's confidence. Of a line that is written from right to left, the first
    word is the one at the right.
    """
    found, rest = [], line.text.strip()
    for word in line.words or ():
        if not rest.startswith(word.text):
            break
        rest = rest[len(word.text) :]
        found.append(LineWord(word.text, word.box, word.confidence, rest[:1].isspace()))
        rest = rest.lstrip()
    return list(_shared_words(line)) if rest or not found else found


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
