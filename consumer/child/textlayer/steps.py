"""Slanted lines in steps, a word each.

poppler ends a word where the foot of its letters has risen by half a point, and joins letters of lines that
lie beside each other. So words that rise little are laid level, each at its own height.
"""

import math
from collections.abc import Sequence
from typing import Final

from consumer.child.textlayer.lines import Letter
from consumer.domain.geometry import Point

#: In units of user space, which readers take for points: words that rise by less are whole in poppler, and
#: laid with their line; those that rise by more would be too far from where they are printed.
_LEAST_RISE, _MOST_RISE = 0.4, 2.5

#: Lines that are more askew are laid as they are: the sides of a level word would be too far from its own.
_MOST_SINE: Final = math.sin(math.radians(4))


def steps(letters: Sequence[Letter], along: Point) -> list[tuple[Sequence[Letter], bool]]:
    """Divide a line into what is laid by itself, and tell whether it is laid level.

    `along`: the way along the line for a pixel, in user space.
    """
    level = nearest_axis(along)
    rise = abs(along.x * level.y - along.y * level.x)
    words = _words(letters)
    rises = [rise * _length(word) for word in words]
    if max(rises) <= _LEAST_RISE or rise > _MOST_SINE * math.hypot(*along):
        return [(letters, False)]
    return [(word, each <= _MOST_RISE) for word, each in zip(words, rises, strict=True)]


def nearest_axis(vector: Point) -> Point:
    """Return the direction of the axis that a vector is nearest to, of length 1."""
    if abs(vector.x) >= abs(vector.y):
        return Point(math.copysign(1.0, vector.x), 0.0)
    return Point(0.0, math.copysign(1.0, vector.y))


def middle(word: Sequence[Letter]) -> float:
    """Return where along the line the middle of a word is, without the space behind it."""
    return word[0].start + _length(word) / 2


def _words(letters: Sequence[Letter]) -> list[list[Letter]]:
    """Words, each with the space behind it."""
    words: list[list[Letter]] = []
    for letter in letters:
        if words and (letter.part == words[-1][-1].part or letter.text.isspace()):
            words[-1].append(letter)
        else:
            words.append([letter])
    return words


def _length(word: Sequence[Letter]) -> float:
    return (
        max((letter.end for letter in word if not letter.text.isspace()), default=word[-1].end)
        - word[0].start
    )
