"""Draws the pages of the sweep: text set in the built-in fonts of PyMuPDF, then spoiled as scanners do."""

import random
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import numpy.typing as npt
import pymupdf

from tests.reading.texts import Writer

Grey = npt.NDArray[np.uint8]
Layout = Literal["full", "ragged", "columns", "receipt"]
State = Literal["clean", "grey", "speckled", "skewed"]
Family = Literal["sans", "serif", "mono"]
Style = Literal["regular", "bold", "italic", "bold italic"]
Paper = Literal["a4", "letter"]

#: PyMuPDF's names of the fonts that it brings.
_FONTS: Final[dict[Family, dict[Style, str]]] = {
    "sans": {"regular": "helv", "bold": "hebo", "italic": "heit", "bold italic": "hebi"},
    "serif": {"regular": "tiro", "bold": "tibo", "italic": "tiit", "bold italic": "tibi"},
    "mono": {"regular": "cour", "bold": "cobo", "italic": "coit", "bold italic": "cobi"},
}
_PAPERS_PT: Final[dict[Paper, tuple[float, float]]] = {"a4": (595, 842), "letter": (612, 792)}
#: Paper of receipts is 80 mm wide.
_ROLL_PT: Final = 226.8
_MARGIN_PT: Final = 60.0
_ROLL_MARGIN_PT: Final = 12.0
_GUTTER_PT: Final = 24.0
_LEADING: Final = 1.3


@dataclass(frozen=True, slots=True)
class Stamp:
    """A stamp against the direction of its page.

    `turn`: degrees clockwise against the text of the page. `place`: the free corner below the text, or the
    margin at its left or right.
    """

    turn: Literal[90, 180, 270]
    place: Literal["corner", "left", "right"]
    framed: bool


@dataclass(frozen=True, slots=True)
class Sheet:
    """What a page looks like; its `name` seeds everything that is left to chance.

    `lines`: how many lines of text, per column; fewer where the paper ends. `dpi`: dots per inch of the
    picture. `turn`: degrees clockwise by which the finished page is turned.
    """

    name: str
    layout: Layout
    state: State
    family: Family
    style: Style
    size_pt: float
    lines: int
    paper: Paper = "a4"
    dpi: int = 144
    turn: Literal[0, 90, 180, 270] = 0
    stamp: Stamp | None = None


@dataclass(frozen=True, slots=True)
class Picture:
    """A page and its truth. `pixels`: rows x columns, grey. `lines`, `stamp`: in reading order."""

    pixels: Grey
    lines: tuple[str, ...]
    stamp: tuple[str, ...]


def draw(sheet: Sheet) -> Picture:
    """Draw a page; the same sheet always gives the same picture."""
    seed = sheet.name.partition("-turned")[0]
    rng = random.Random(seed)
    setter = _Setter(sheet, rng)
    lines = setter.receipt() if sheet.layout == "receipt" else setter.page()
    stamp = setter.stamped(sheet.stamp) if sheet.stamp else ()
    pixels = _spoiled(setter.page_of, sheet, rng, np.random.default_rng(zlib.crc32(seed.encode())))
    # numpy turns counter-clockwise.
    turned = np.ascontiguousarray(np.rot90(pixels, -sheet.turn // 90))
    return Picture(turned, tuple(lines), tuple(stamp))


class _Setter:
    """Sets the text of one page."""

    def __init__(self, sheet: Sheet, rng: random.Random) -> None:
        self._sheet, self._rng, self._writer = sheet, rng, Writer(rng)
        self._font = _FONTS[sheet.family][sheet.style]
        self._size_pt = sheet.size_pt
        self._leading_pt = sheet.size_pt * _LEADING
        self._width_pt, self._height_pt = _PAPERS_PT[sheet.paper]
        if sheet.layout == "receipt":
            self._width_pt = _ROLL_PT
            self._height_pt = 2 * 18 + (sheet.lines + 1) * self._leading_pt
        self.document = pymupdf.open()
        self.page_of = self.document.new_page(width=self._width_pt, height=self._height_pt)

    def _length_pt(self, text: str) -> float:
        return float(pymupdf.get_text_length(text, self._font, self._size_pt))

    def _put(self, x_pt: float, y_pt: float, text: str) -> None:
        self.page_of.insert_text((x_pt, y_pt), text, fontname=self._font, fontsize=self._size_pt)

    def _wrapped(self, text: str, width_pt: float) -> list[str]:
        lines = [""]
        for word in text.split():
            longer = f"{lines[-1]} {word}".strip()
            if lines[-1] and self._length_pt(longer) > width_pt:
                lines.append(word)
            else:
                lines[-1] = longer
        return lines

    def _prose(self, width_pt: float, count: int) -> list[str]:
        lines: list[str] = []
        while len(lines) < count:
            lines += self._wrapped(self._writer.paragraph(), width_pt)
        return lines[:count]

    def _ragged(self, width_pt: float, count: int) -> list[str]:
        """Lines of a letter, or a list of records."""
        if count >= 20 and self._rng.random() < 0.6:
            opening, closing = self._writer.letter()
            body = self._prose(width_pt * self._rng.uniform(0.6, 0.95), count - len(opening) - len(closing))
            return opening + body + closing
        records = self._writer.records()
        return [line for _ in range(count) for line in self._wrapped(next(records), width_pt)[:1]]

    def page(self) -> list[str]:
        """Set the lines of a page of standard paper, and return them."""
        sheet = self._sheet
        top_pt = _MARGIN_PT + self._size_pt
        bottom_pt = 170.0 if sheet.stamp else _MARGIN_PT
        count = min(sheet.lines, int((self._height_pt - top_pt - bottom_pt) / self._leading_pt) + 1)
        width_pt = self._width_pt - 2 * _MARGIN_PT
        if sheet.layout == "columns":
            width_pt = (width_pt - _GUTTER_PT) / 2
        lines = []
        for column in range(2 if sheet.layout == "columns" else 1):
            made = (self._ragged if sheet.layout == "ragged" else self._prose)(width_pt, count)
            left_pt = _MARGIN_PT + column * (width_pt + _GUTTER_PT)
            shift = self._rng.choice((0.0, 0.0, 0.0, 0.5, 1.0)) if sheet.layout == "ragged" else 0.0
            for row, line in enumerate(made):
                x_pt = left_pt + shift * (width_pt - self._length_pt(line))
                self._put(x_pt, top_pt + row * self._leading_pt, line)
            lines += made
        return lines

    def receipt(self) -> list[str]:
        """Set the lines of a receipt, and return them: a row is one line, an item and its price."""
        count = self._sheet.lines
        top, rows, end = self._writer.receipt(max(1, count - 1 - 7 * (count > 10)))
        printed: list[tuple[str, str]] = [("", text) for text in top] if count > 10 else []
        # A till prints no total of nothing.
        printed += rows[:count]
        printed += [("", text) for text in end] if count > 10 else []
        width_pt = self._width_pt - 2 * _ROLL_MARGIN_PT
        lines, y_pt = [], 18 + self._size_pt
        for item, price in printed:
            if item:
                # What does not fit beside the price is cut off, as tills do, but at a word.
                room_pt = width_pt - self._length_pt(price) - self._length_pt("  ")
                item = self._wrapped(item, room_pt)[0]
                self._put(_ROLL_MARGIN_PT, y_pt, item)
                self._put(self._width_pt - _ROLL_MARGIN_PT - self._length_pt(price), y_pt, price)
                lines.append(f"{item} {price}")
            else:
                text = self._wrapped(price, width_pt)[0]
                self._put((self._width_pt - self._length_pt(text)) / 2, y_pt, text)
                lines.append(text)
            y_pt += self._leading_pt
        return lines

    def stamped(self, stamp: Stamp) -> list[str]:
        """Set a stamp on the page, and return its lines."""
        lines = self._writer.stamp()
        size_pt = self._rng.choice((12, 14, 16) if stamp.place == "corner" else (11, 12, 13))
        font = self._rng.choice(("hebo", "helv", "tibo", "cobo"))
        lengths_pt = [float(pymupdf.get_text_length(line, font, size_pt)) for line in lines]
        pad_pt, leading_pt = 6.0, size_pt * 1.25
        width_pt, height_pt = max(lengths_pt) + 2 * pad_pt, len(lines) * leading_pt + 1.5 * pad_pt
        with pymupdf.open() as made:
            page = made.new_page(width=width_pt, height=height_pt)
            for row, (line, length_pt) in enumerate(zip(lines, lengths_pt, strict=True)):
                at = ((width_pt - length_pt) / 2, pad_pt + size_pt * 0.95 + row * leading_pt)
                page.insert_text(at, line, fontname=font, fontsize=size_pt)
            if stamp.framed:
                page.draw_rect((1, 1, width_pt - 1, height_pt - 1), color=(0, 0, 0), width=1.2)
            box = self._stamp_box(stamp, width_pt, height_pt)
            # PyMuPDF turns counter-clockwise.
            self.page_of.show_pdf_page(pymupdf.Rect(box), made, 0, rotate=-stamp.turn)
        return lines

    def _stamp_box(self, stamp: Stamp, width_pt: float, height_pt: float) -> tuple[float, ...]:
        """Where the stamp goes, on a free place of the page."""
        if stamp.turn != 180:
            width_pt, height_pt = height_pt, width_pt
        if stamp.place == "corner":
            x_pt = self._rng.uniform(_MARGIN_PT, self._width_pt - _MARGIN_PT - width_pt)
            y_pt = self._height_pt - 30 - height_pt
            if stamp.turn != 180:
                y_pt = self._height_pt - 8 - height_pt
        else:
            x_pt = 7.0 if stamp.place == "left" else self._width_pt - 7 - width_pt
            y_pt = self._rng.uniform(_MARGIN_PT, self._height_pt - _MARGIN_PT - height_pt)
        return x_pt, y_pt, x_pt + width_pt, y_pt + height_pt


def _spoiled(
    page: pymupdf.Page, sheet: Sheet, rng: random.Random, noise: np.random.Generator
) -> Grey:
    """The page as a picture, in the state that the sheet asks for."""
    # By the matrix and not the picture: paper that lies askew on the glass loses no sharpness.
    angle = rng.choice((-1, 1)) * rng.uniform(0.7, 5.0) if sheet.state == "skewed" else 0.0
    matrix = pymupdf.Matrix(sheet.dpi / 72, sheet.dpi / 72).prerotate(angle)
    pixmap = page.get_pixmap(matrix=matrix, colorspace=pymupdf.csGRAY, alpha=False)
    pixels = np.frombuffer(pixmap.samples, np.uint8).reshape(pixmap.height, pixmap.stride)[:, : pixmap.width]
    if sheet.state == "grey":
        ground, contrast, fall = rng.uniform(195, 235), rng.uniform(90, 140), rng.uniform(-15, 15)
        light = ground + fall * np.linspace(-0.5, 0.5, pixmap.width)
        pixels = np.rint(light - contrast * (1 - pixels / 255.0)).clip(0, 255).astype(np.uint8)
    elif sheet.state == "speckled":
        share, drawn = rng.uniform(0.01, 0.03), noise.random(pixels.shape, np.float32)
        pixels = np.where(drawn < share / 2, 0, np.where(drawn < share, 255, pixels)).astype(np.uint8)
    return np.ascontiguousarray(pixels)


def words(lines: Iterable[str]) -> list[str]:
    """The words of lines: what stands between white space."""
    return " ".join(lines).split()
