"""Draws pages of books and reports: a running head, a page number, prose in one or two columns, footnotes."""

import random
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import pymupdf

from consumer.child.pixels import Image
from tests.reading.sheets import RENDERED_DPI
from tests.reading.texts import Writer

_WIDTH_PT, _HEIGHT_PT, _MARGIN_PT, _GUTTER_PT = 595.0, 842.0, 72.0, 22.0
_LEADING: Final = 1.25
_FONTS: Final = (("helv", "heit"), ("tiro", "tiit"))
_NUMBERS: Final = ("{}", "- {} -", "Page {}", "Page {} of 480", "[{}]")

Side = Literal["left", "middle", "right"]


@dataclass(frozen=True, slots=True)
class BookPage:
    """A page as it is rendered, and its texts; a footnote is its lines joined by spaces."""

    image: Image
    head: str
    number: str
    body: tuple[str, ...]
    footnotes: tuple[str, ...]


def book_page(seed: int) -> BookPage:
    """Draw one of the pages; what it looks like follows from the seed alone."""
    return _Setter(random.Random(f"book page {seed}")).page()


class _Setter:
    """Sets one page."""

    def __init__(self, rng: random.Random) -> None:
        self._rng, self._writer = rng, Writer(rng)
        self._font, self._italic = rng.choice(_FONTS)
        self._size_pt = rng.choice((9.5, 10.5, 11.5))
        self._document = pymupdf.open()
        self._page = self._document.new_page(width=_WIDTH_PT, height=_HEIGHT_PT)

    def page(self) -> BookPage:
        """Set all of the page."""
        head, number = self._margins()
        notes, bottom_pt = self._footnotes()
        body = self._body(bottom_pt)
        scale = RENDERED_DPI / 72
        pixels = self._page.get_pixmap(matrix=pymupdf.Matrix(scale, scale), alpha=False)
        rgb = np.frombuffer(pixels.samples, np.uint8).reshape(pixels.height, pixels.width, 3)
        return BookPage(np.ascontiguousarray(rgb[:, :, ::-1]), head, number, tuple(body), tuple(notes))

    def _put(self, side: Side, y_pt: float, text: str, font: str, size_pt: float) -> None:
        free_pt = _WIDTH_PT - 2 * _MARGIN_PT - pymupdf.get_text_length(text, font, size_pt)
        shift = {"left": 0.0, "middle": 0.5, "right": 1.0}[side]
        self._page.insert_text((_MARGIN_PT + shift * free_pt, y_pt), text, fontname=font, fontsize=size_pt)

    def _rule(self, y_pt: float, width_pt: float) -> None:
        self._page.draw_line((_MARGIN_PT, y_pt), (_MARGIN_PT + width_pt, y_pt), width=0.6)

    def _margins(self) -> tuple[str, str]:
        """Set the running head, and the page number on top or below."""
        rng, size_pt = self._rng, self._size_pt - 1
        head = self._writer.record().split(":")[0].split(",")[0]
        number = rng.choice(_NUMBERS).format(rng.randint(2, 479))
        head_pt = rng.uniform(36, 48)
        if rng.random() < 0.4:
            outer: tuple[Side, Side] = ("left", "right")
            for text, font, side in zip(
                (head, number), (self._italic, self._font), rng.sample(outer, 2), strict=True
            ):
                self._put(side, head_pt, text, font, size_pt)
        else:
            sides: tuple[Side, ...] = ("left", "middle", "right")
            self._put(rng.choice(sides), head_pt, head, self._italic, size_pt)
            self._put(rng.choice(sides), rng.uniform(796, 812), number, self._font, size_pt)
        if rng.random() < 0.5:
            self._rule(head_pt + 5, _WIDTH_PT - 2 * _MARGIN_PT)
        return head, number

    def _footnotes(self) -> tuple[list[str], float]:
        """Set footnotes upwards from the bottom, and return them and where the body ends."""
        size_pt = self._size_pt - 2
        notes = [f"{n + 1} {self._sentences(1, 2)}" for n in range(self._rng.randint(1, 3))]
        lines = [self._wrapped(note, _WIDTH_PT - 2 * _MARGIN_PT, size_pt) for note in notes]
        y_pt = 764 - (sum(map(len, lines)) - 1) * size_pt * _LEADING
        bottom_pt = y_pt - 2.4 * size_pt
        self._rule(bottom_pt + 0.8 * size_pt, 120)
        for line in (line for note in lines for line in note):
            self._put("left", y_pt, line, self._font, size_pt)
            y_pt += size_pt * _LEADING
        return notes, bottom_pt

    def _sentences(self, least: int, most: int) -> str:
        sentences = self._writer.paragraph().split(". ")
        return ". ".join(sentences[: self._rng.randint(least, most)]).rstrip(".") + "."

    def _body(self, bottom_pt: float) -> list[str]:
        """Set paragraphs, indented or apart, in one or two columns."""
        columns, indented = self._rng.choice((1, 1, 2)), self._rng.random() < 0.5
        width_pt = (_WIDTH_PT - 2 * _MARGIN_PT - (columns - 1) * _GUTTER_PT) / columns
        lines: list[str] = []
        for column in range(columns):
            x_pt, y_pt = _MARGIN_PT + column * (width_pt + _GUTTER_PT), 92.0
            while y_pt < bottom_pt:
                for n, line in enumerate(
                    self._wrapped(self._writer.paragraph(), width_pt - 14, self._size_pt)
                ):
                    if y_pt >= bottom_pt:
                        break
                    at = (x_pt + (14 if indented and not n else 0), y_pt)
                    self._page.insert_text(at, line, fontname=self._font, fontsize=self._size_pt)
                    lines.append(line)
                    y_pt += self._size_pt * _LEADING
                y_pt += 0 if indented else self._size_pt * 0.6
        return lines

    def _wrapped(self, text: str, width_pt: float, size_pt: float) -> list[str]:
        lines = [""]
        for word in text.split():
            longer = f"{lines[-1]} {word}".strip()
            if lines[-1] and pymupdf.get_text_length(longer, self._font, size_pt) > width_pt:
                lines.append(word)
            else:
                lines[-1] = longer
        return lines
