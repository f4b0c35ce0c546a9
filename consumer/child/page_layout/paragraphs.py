"""Joins lines to paragraphs, and words that were divided at the ends of lines."""

import re
import statistics
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from consumer.domain.geometry import Rect
from consumer.domain.scripts import UNSPACED

#: A line that begins so is an item of a list.
BULLET: Final = re.compile(r"^[\u2022\u2023\u25aa\u25cf\u25e6\u00b7\u2219\u25a0\u25a1\u2013\u2014-]\s+(?=\S)")
_NUMBERED: Final = re.compile(
    r"^(?:\(?\d{1,3}[.)]|\(?[a-zA-Z][.)]|\(?[ivxIVX]{1,5}[.)]|\[\d{1,3}\])\s+(?=\S)"
)

#: A word that may be divided at the end of a line; addresses, which are not; whole words, with their hyphens.
_HYPHENS: Final = frozenset("-\u2010\u00ad")
_DIVIDED: Final = re.compile(r"[^\W\d_]{2,}[-\u2010\u00ad]$")
_LAST_WORD: Final = re.compile(r"[^\W\d_]+(?=[-\u2010]$)")
_ADDRESS: Final = re.compile(r"://|www\.|@")
_WORD: Final = re.compile(r"[^\W\d_]+(?:-[^\W\d_]+)*")

#: Before these a word ends with a hyphen because the next one completes it: short- or long-term.
_SUSPENDING: Final = frozenset({"and", "or", "und", "oder", "sowie"})

#: In heights of a line: a larger gap above a line, or indent of it, begins a paragraph.
_GAP: Final = 0.9
_INDENT: Final = 0.8

#: A word fits on a line if there is so many times the room that it needs.
_ROOM: Final = 1.3


#: Boxes of detected lines are higher than their print by about this (measured on 20 pages).
_PRINT: Final = 0.75


@dataclass(frozen=True, slots=True)
class BlockLine:
    """A line of text, in pixels; `number`: its place in the reading order of the page."""

    number: int
    text: str
    box: Rect
    is_upright: bool = True

    @property
    def height(self) -> float:
        """Height of its box."""
        return self.box.y2 - self.box.y1


def print_height(lines: Iterable[BlockLine]) -> float:
    """Return the usual height of the print of lines, in pixels; there is at least one."""
    return _PRINT * statistics.median(line.height for line in lines)


def compounds_of(texts: Iterable[str]) -> frozenset[str]:
    """Return the words with hyphens in texts, in small letters: these keep theirs at the end of a line.

    The ends of those of several parts are among them.
    """
    parts = [word.lower().split("-") for text in texts for word in _WORD.findall(text) if "-" in word]
    return frozenset("-".join(each[n:]) for each in parts for n in range(len(each) - 1))


def joined(texts: Sequence[str], compounds: frozenset[str] = frozenset()) -> str:
    """Join lines to running text; a word that was divided at the end of a line becomes one."""
    running = ""
    for text in texts:
        running = _appended(running, text, compounds) if running else text
    return running


def _appended(running: str, text: str, compounds: frozenset[str]) -> str:
    if running[-1] in _HYPHENS and running[-2:-1].isalnum() and text[0].isalnum():
        # The last word alone: a search of all the text, for each of its lines, takes too long.
        last = running[running.rfind(" ") + 1 :]
        if not (text[0].islower() and _DIVIDED.search(last)) or _ADDRESS.search(last):
            return running + text
        first, second = _LAST_WORD.search(last), _WORD.match(text)
        if first and second and second[0] in _SUSPENDING:
            return f"{running} {text}"
        is_compound = first and second and f"{first[0]}-{second[0]}".lower() in compounds
        return running + text if is_compound else running[:-1] + text
    between = "" if UNSPACED.match(running[-1]) and UNSPACED.match(text[0]) else " "
    return running + between + text


def item_marker(text: str) -> str:
    """Return the bullet or number with which a line begins an item of a list, and its space; or nothing."""
    marker = BULLET.match(text) or _NUMBERED.match(text)
    return marker[0] if marker else ""


def is_item(text: str) -> bool:
    """Whether a line begins an item of a list."""
    return bool(item_marker(text))


def paragraphs(lines: Sequence[BlockLine], right: float) -> Iterator[list[BlockLine]]:
    """Divide the lines of a block, in reading order, into paragraphs.

    `right`: where lines of its column end, in pixels.
    """
    paragraph = [lines[0]]
    left = min(line.box.x1 for line in lines)
    for above, line in pairwise(lines):
        if _begins(above, line, paragraph, left, right):
            yield paragraph
            paragraph = []
        paragraph.append(line)
    yield paragraph


def _begins(
    above: BlockLine, line: BlockLine, paragraph: Sequence[BlockLine], left: float, right: float
) -> bool:
    """Whether a line begins a paragraph, or an item of a list."""
    height = min(above.height, line.height)
    if line.box.y1 < above.box.y2 - 0.5 * height:
        # Beside the one before it.
        return False
    if is_item(line.text) or line.box.y1 - above.box.y2 > _GAP * height:
        return True
    first = line.text.split()[0]
    needed = len(first) / len(line.text) * (line.box.x2 - line.box.x1)
    if right - above.box.x2 > _ROOM * needed + height:
        # Its first word would have fitted on the line above.
        return True
    if is_item(paragraph[0].text):
        return line.box.x1 < paragraph[0].box.x1 - _INDENT * height
    is_first = len(paragraph) == 1 and above.box.x1 > left + _INDENT * height
    return line.box.x1 > above.box.x1 + _INDENT * height and not is_first
