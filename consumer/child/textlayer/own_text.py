"""Text that a page of a PDF has by itself, drawn or invisible."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from itertools import product
from typing import Final

import pymupdf

from consumer.child.textlayer.lines import Axis, Letter
from consumer.domain.geometry import Point

#: Letters are looked up by squares of so many pixels.
_SQUARE_PX: Final = 32

#: A letter is in a line if its middle is between these parts of the line's height; those of a line above or
#: below may reach into its box.
_INSIDE: Final = (0.15, 0.85)

#: A line is there if the page has this part of its letters in its place.
_COMPLETE: Final = 0.8


class OwnText:
    """The letters of a page, as points: pixels of the page rendered with `scale` pixels per point."""

    def __init__(self, page: pymupdf.Page, scale: float) -> None:
        self._squares: dict[tuple[int, int], list[Point]] = {}
        for x0, y0, x1, y1 in _letters(page):
            middle = Point(scale * (x0 + x1) / 2, scale * (y0 + y1) / 2)
            self._squares.setdefault(_square(middle), []).append(middle)

    def without(self, letters: Sequence[Letter], axis: Axis) -> list[Letter]:
        """Return a line without the words at whose place there is text: readers would merge the two."""
        there = sorted(self._places(axis))
        if not there:
            return list(letters)
        words: dict[int, list[Letter]] = {}
        for letter in letters:
            words.setdefault(letter.part, []).append(letter)
        spaces = {part for part, word in words.items() if word[0].text.isspace()}
        # Of a line without boxes of words, the places of words are estimates.
        if len(there) >= _COMPLETE * sum(len(word) for part, word in words.items() if part not in spaces):
            return []
        taken = {part for part, word in words.items() if part not in spaces and _is_taken(word, there)}
        # A space goes with the words at its sides.
        taken |= {part for part in spaces if taken & {part - 1, part + 1}}
        return [letter for letter in letters if letter.part not in taken]

    def _places(self, axis: Axis) -> Iterator[float]:
        """Yield how far along a line, in pixels, the page has letters."""
        low, high = (part * axis.height for part in _INSIDE)
        corners = [axis.at(place, rise) for place in (0.0, axis.length) for rise in (low, high)]
        left, top = _square(Point(min(x for x, _ in corners), min(y for _, y in corners)))
        right, bottom = _square(Point(max(x for x, _ in corners), max(y for _, y in corners)))
        for column, row in product(range(left, right + 1), range(top, bottom + 1)):
            for letter in self._squares.get((column, row), ()):
                place = axis.place(letter)
                if 0.0 < place < axis.length and low < axis.rise(letter) < high:
                    yield place


def _is_taken(word: Sequence[Letter], there: Sequence[float]) -> bool:
    start, end = min(letter.start for letter in word), max(letter.end for letter in word)
    return bisect_right(there, start) < bisect_left(there, end)


def _square(point: Point) -> tuple[int, int]:
    return int(point.x // _SQUARE_PX), int(point.y // _SQUARE_PX)


def _letters(page: pymupdf.Page) -> Iterable[tuple[float, float, float, float]]:
    """The boxes of all letters, in points of the page as it is shown."""
    # PyMuPDF's own method gives the places of the page without its rotation.
    text = pymupdf.TextPage(pymupdf.mupdf.FzStextPage(page.this, pymupdf.mupdf.FzStextOptions()))
    for block in text.extractRAWDICT()["blocks"]:
        for line in block.get("lines", ()):
            for span in line["spans"]:
                for letter in span["chars"]:
                    if not letter["c"].isspace():
                        yield letter["bbox"]
