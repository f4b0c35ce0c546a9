"""How well a page could be read: its mean confidence, and a warning if text of it could not be read."""

import math
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from itertools import chain
from typing import Final, NamedTuple

from consumer.domain.errors import Code
from consumer.domain.geometry import Quad
from consumer.domain.result import Warning  # noqa: A004 - its name in the schema

#: Printed lines are read with 0.95 to 1.0; a line below this has errors more often than not.
_LOW: Final = 0.85

#: A page is warned of if such lines make up this much of the length of its text, or are this many.
_SHARE: Final = 0.05
_LINES: Final = 5

#: Letters of Latin that look like Cyrillic ones. About half of the letters of a Latin text are among them, so
#: a long text of these alone is Cyrillic, unless it is of few different letters, as labels are.
_CYRILLIC_LOOKALIKES: Final = frozenset("ABCEHKMOPTXYaceopxy")
_LEAST_LOOKALIKES: Final = 24
_LEAST_DIFFERENT: Final = 8

#: Letters of Greek that Latin has not, of all letters of a text in Greek.
_GREEK_SHARE: Final = 0.3


class TextWord(NamedTuple):
    """A word of a line: its corners, what it says, and how certain that is, 0 to 1."""

    quad: Quad
    text: str
    confidence: float


class TextLine(NamedTuple):
    """A line of text: its corners, what it says, and how certain that is, 0 to 1.

    `words`: in the order of the text; None if they are not known.
    """

    quad: Quad
    text: str
    confidence: float
    words: tuple[TextWord, ...] | None = None

    def mapped(self, transform: Callable[[Quad], Quad]) -> "TextLine":
        """Return the line, and its words, with other corners."""
        words = self.words
        if words is not None:
            words = tuple(each._replace(quad=transform(each.quad)) for each in words)
        return self._replace(quad=transform(self.quad), words=words)


def mean_confidence(lines: Iterable[TextLine]) -> float | None:
    """Mean confidence of lines, each counted by its characters; None if there are none."""
    pairs = [(len(line.text), line.confidence) for line in lines]
    total = sum(length for length, _ in pairs)
    return sum(length * confidence for length, confidence in pairs) / total if total else None


def low_confidence(lines: Sequence[TextLine], unread: Sequence[Quad], page_number: int) -> Warning | None:
    """Return the warning of a page with text that could not be read with confidence, or None.

    `unread`: the corners of lines that were found and not read.
    """
    if _is_cyrillic(lines):
        message = (
            f"all {len(lines)} lines may be Cyrillic: they were read as Latin letters that look like it; "
            "see BUCKET_OCR_LANGUAGES"
        )
        if unread:
            message += f"; {len(unread)} more could not be read"
        return Warning(code=Code.LOW_CONFIDENCE, message=message, page_number=page_number)
    doubtful = [line for line in lines if line.confidence < _LOW]
    count = len(doubtful) + len(unread)
    lost_px = sum(map(_length_px, chain((line.quad for line in doubtful), unread)))
    text_px = sum(map(_length_px, chain((line.quad for line in lines), unread)))
    if not count or (count < _LINES and lost_px < _SHARE * text_px):
        return None
    cause = (
        "they may be Greek: see BUCKET_OCR_LANGUAGES"
        if _is_greek(doubtful)
        else "a script that this recogniser does not know (see BUCKET_OCR_LANGUAGES), handwriting, or "
        "a bad scan"
    )
    message = (
        f"{count} of {len(lines) + len(unread)} lines could not be read with confidence, "
        f"{len(unread)} of them not at all: {cause}"
    )
    return Warning(code=Code.LOW_CONFIDENCE, message=message, page_number=page_number)


def _is_cyrillic(lines: Sequence[TextLine]) -> bool:
    """Whether lines that were read as Latin consist only of letters that Cyrillic has too."""
    letters = [character for line in lines for character in line.text if character.isalpha()]
    is_long = len(letters) >= _LEAST_LOOKALIKES and len(set(letters)) >= _LEAST_DIFFERENT
    return is_long and _CYRILLIC_LOOKALIKES.issuperset(letters)


def _is_greek(lines: Sequence[TextLine]) -> bool:
    names = [unicodedata.name(each, "") for line in lines for each in line.text if each.isalpha()]
    return sum(name.startswith("GREEK") for name in names) > _GREEK_SHARE * max(len(names), 1)


def _length_px(quad: Quad) -> float:
    return math.dist(quad[0], quad[1])
