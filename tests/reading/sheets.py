"""Draws the pages of the sweep: text set in the built-in fonts of PyMuPDF, then spoiled as scanners do."""

import random
from dataclasses import dataclass
from typing import Final, Literal

import cv2
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
Turn = Literal[0, 90, 180, 270]
Place = Literal["corner", "left", "right"]

#: The resolution of the consumer.
RENDERED_DPI: Final = 144
#: PyMuPDF's names of the fonts that it brings.
_FONTS: Final[dict[Family, dict[Style, str]]] = {
    "sans": {"regular": "helv", "bold": "hebo", "italic": "heit", "bold italic": "hebi"},
    "serif": {"regular": "tiro", "bold": "tibo", "italic": "tiit", "bold italic": "tibi"},
    "mono": {"regular": "cour", "bold": "cobo", "italic": "coit", "bold italic": "cobi"},
}
_STAMP_FONTS: Final = ("hebo", "helv", "tibo", "cobo")
_PAPERS_PT: Final[dict[Paper, tuple[float, float]]] = {"a4": (595.0, 842.0), "letter": (612.0, 792.0)}
_MARGIN_PT: Final = 60.0
#: Free for stamps below the text.
_STAMPED_MARGIN_PT: Final = 170.0
_GUTTER_PT: Final = 24.0
#: Paper of receipts is 80 mm wide.
_ROLL_PT: Final = 226.8
_ROLL_MARGIN_PT: Final = 12.0
#: Receipts have headings and endings from this number of lines.
_LONG_RECEIPT: Final = 12
_LEADING: Final = 1.3


@dataclass(frozen=True, slots=True)
class Stamp:
    """A stamp against the direction of its page.

    `turn`: degrees clockwise against the text of the page. `place`: a free corner below the text, or the
    margin at its left or right.
    """

    turn: Turn
    place: Place
    framed: bool


@dataclass(frozen=True, slots=True)
class Sheet:
    """What a page looks like. The part of its `name` before `-turned` seeds all that is left to chance.

    `lines`: how many lines of text, in each column; less if the paper ends before. `dpi`: dots per inch of
    the picture. `turn`: degrees clockwise by which the finished page is turned.
    """

    name: str
    layout: Layout
    state: State
    family: Family
    style: Style
    size_pt: float
    lines: int
    paper: Paper
    dpi: int
    turn: Turn = 0
    stamp: Stamp | None = None

    @property
    def kind(self) -> str:
        """The kind of page, for tables of results."""
        if self.stamp is not None:
            return f"stamp at {self.stamp.turn}°"
        return f"turned by {self.turn}°" if self.turn else f"{self.layout}, {self.state}"

    def rng(self, purpose: str) -> random.Random:
        """Make a generator of random numbers; turned pages have the same as the upright one."""
        return random.Random(f"{self.name.partition('-turned')[0]} {purpose}")


@dataclass(frozen=True, slots=True)
class Typeset:
    """A document of one page, before it is drawn; its lines, and those of its stamp, in reading order."""

    document: pymupdf.Document
    lines: tuple[str, ...]
    stamp: tuple[str, ...]
    stamp_box: pymupdf.Rect


def typeset(sheet: Sheet) -> Typeset:
    """Set the text of a page."""
    setter = _Setter(sheet)
    lines = setter.receipt() if sheet.layout == "receipt" else setter.text()
    stamp, box = setter.stamp(sheet.stamp) if sheet.stamp else ([], pymupdf.Rect())
    return Typeset(setter.document, tuple(lines), tuple(stamp), box)


def draw(page: pymupdf.Page, sheet: Sheet) -> Grey:
    """Draw a page: rows x columns, grey, in the state and turned as the sheet says."""
    rng, dpi = sheet.rng("state"), sheet.dpi
    match sheet.state:
        case "clean":
            pixels = _rendered(page, dpi)
        case "skewed":
            pixels = _rendered(page, dpi, rng.choice((-1, 1)) * rng.uniform(0.7, 5.0))
        case "grey":
            ground, contrast, fall = rng.uniform(195, 235), rng.uniform(90, 140), rng.uniform(-15, 15)
            ink = 1 - _rendered(page, dpi) / 255.0
            light = ground + fall * np.linspace(-0.5, 0.5, ink.shape[1])
            pixels = np.rint(light - contrast * ink).clip(0, 255).astype(np.uint8)
        case "speckled":
            # A scan within a PDF is finer than the consumer renders it: several of its pixels become one.
            times = 2 if dpi == RENDERED_DPI else 1
            scan = _speckled(_rendered(page, times * dpi), rng.uniform(0.01, 0.03), rng.getrandbits(32))
            size = (scan.shape[1] // times, scan.shape[0] // times)
            pixels = np.asarray(cv2.resize(scan, size, interpolation=cv2.INTER_AREA), np.uint8)
    # numpy turns counter-clockwise.
    return np.ascontiguousarray(np.rot90(pixels, -sheet.turn // 90))


def _rendered(page: pymupdf.Page, dpi: int, angle: float = 0.0) -> Grey:
    """Render a page, askew by `angle` degrees.

    The page is turned and not its picture: paper that lies askew on the glass loses no sharpness.
    """
    matrix = pymupdf.Matrix(dpi / 72, dpi / 72).prerotate(angle)
    pixmap = page.get_pixmap(matrix=matrix, colorspace=pymupdf.csGRAY, alpha=False)
    return np.frombuffer(pixmap.samples, np.uint8).reshape(pixmap.height, pixmap.stride)[:, : pixmap.width]


def _speckled(pixels: Grey, share: float, seed: int) -> Grey:
    """Make this share of the pixels black or white, half of them each."""
    drawn = np.random.default_rng(seed).random(pixels.shape, np.float32)
    return np.where(drawn < share / 2, 0, np.where(drawn < share, 255, pixels)).astype(np.uint8)


class _Setter:
    """Sets the text of one page."""

    def __init__(self, sheet: Sheet) -> None:
        self._sheet, self._rng = sheet, sheet.rng("text")
        self._writer = Writer(self._rng)
        self._font = _FONTS[sheet.family][sheet.style]
        self._leading_pt = sheet.size_pt * _LEADING
        self._width_pt, self._height_pt = _PAPERS_PT[sheet.paper]
        if sheet.layout == "receipt":
            self._width_pt = _ROLL_PT
            self._height_pt = 3 * _ROLL_MARGIN_PT + (sheet.lines + 1) * self._leading_pt
        self.document = pymupdf.open()
        self._page = self.document.new_page(width=self._width_pt, height=self._height_pt)

    def _length_pt(self, text: str) -> float:
        return float(pymupdf.get_text_length(text, self._font, self._sheet.size_pt))

    def _put(self, x_pt: float, y_pt: float, text: str) -> None:
        self._page.insert_text((x_pt, y_pt), text, fontname=self._font, fontsize=self._sheet.size_pt)

    def _wrapped(self, text: str, width_pt: float) -> list[str]:
        lines = [""]
        for word in text.split():
            longer = f"{lines[-1]} {word}".strip()
            if lines[-1] and self._length_pt(longer) > width_pt:
                lines.append(word)
            else:
                lines[-1] = longer
        return lines

    def text(self) -> list[str]:
        """Set the lines of a page of standard paper, and return them."""
        sheet = self._sheet
        top_pt = _MARGIN_PT + sheet.size_pt
        bottom_pt = self._height_pt - (_STAMPED_MARGIN_PT if sheet.stamp else _MARGIN_PT)
        count = min(sheet.lines, int((bottom_pt - top_pt) / self._leading_pt) + 1)
        columns = 2 if sheet.layout == "columns" else 1
        width_pt = (self._width_pt - 2 * _MARGIN_PT - (columns - 1) * _GUTTER_PT) / columns
        lines = []
        for column in range(columns):
            made = (self._ragged if sheet.layout == "ragged" else self._prose)(width_pt, count)
            left_pt = _MARGIN_PT + column * (width_pt + _GUTTER_PT)
            # Most are flush left, some centred or flush right.
            shift = self._rng.choice((0.0, 0.0, 0.0, 0.5, 1.0)) if sheet.layout == "ragged" else 0.0
            for row, line in enumerate(made):
                x_pt = left_pt + shift * (width_pt - self._length_pt(line))
                self._put(x_pt, top_pt + row * self._leading_pt, line)
            lines += made
        return lines

    def _prose(self, width_pt: float, count: int) -> list[str]:
        lines: list[str] = []
        while len(lines) < count:
            lines += self._wrapped(self._writer.paragraph(), width_pt)
        return lines[:count]

    def _ragged(self, width_pt: float, count: int) -> list[str]:
        """Lines of a letter, or a list of records."""
        if count < 20 or self._rng.random() > 0.6:
            return [self._wrapped(self._writer.record(), width_pt)[0] for _ in range(count)]
        opening, closing = self._writer.letter()
        body = self._prose(width_pt * self._rng.uniform(0.6, 0.95), count - len(opening) - len(closing))
        return opening + body + closing

    def receipt(self) -> list[str]:
        """Set the lines of a receipt, and return them: an item and its price are one line."""
        count = self._sheet.lines
        is_long = count >= _LONG_RECEIPT
        top, rows, end = self._writer.receipt(count - 8 if is_long else max(1, count - 1))
        # A receipt of one line has no total.
        printed = [*top, *rows, *end] if is_long else rows[:count]
        lines = []
        for row, text in enumerate(printed):
            y_pt = 1.5 * _ROLL_MARGIN_PT + self._sheet.size_pt + row * self._leading_pt
            lines.append(self._centred(y_pt, text) if isinstance(text, str) else self._item(y_pt, *text))
        return lines

    def _centred(self, y_pt: float, text: str) -> str:
        """Set a line of a heading; what is too long is cut off at a word, as tills do."""
        line = self._wrapped(text, self._width_pt - 2 * _ROLL_MARGIN_PT)[0]
        self._put((self._width_pt - self._length_pt(line)) / 2, y_pt, line)
        return line

    def _item(self, y_pt: float, item: str, price: str) -> str:
        """Set item and price at the two edges; what is too long is cut off at a word."""
        right_pt = self._width_pt - _ROLL_MARGIN_PT - self._length_pt(price)
        name = self._wrapped(item, right_pt - _ROLL_MARGIN_PT - self._length_pt("  "))[0]
        self._put(_ROLL_MARGIN_PT, y_pt, name)
        self._put(right_pt, y_pt, price)
        return f"{name} {price}"

    def stamp(self, stamp: Stamp) -> tuple[list[str], pymupdf.Rect]:
        """Set a stamp on the page, and return its lines and its box."""
        lines = self._writer.stamp()
        size_pt = self._rng.choice((12, 14, 16) if stamp.place == "corner" else (11, 12, 13))
        font = self._rng.choice(_STAMP_FONTS)
        lengths_pt = [float(pymupdf.get_text_length(line, font, size_pt)) for line in lines]
        pad_pt, leading_pt = 6.0, size_pt * 1.25
        width_pt, height_pt = max(lengths_pt) + 2 * pad_pt, len(lines) * leading_pt + 1.5 * pad_pt
        with pymupdf.open() as document:
            page = document.new_page(width=width_pt, height=height_pt)
            for row, (line, length_pt) in enumerate(zip(lines, lengths_pt, strict=True)):
                at = ((width_pt - length_pt) / 2, pad_pt + size_pt * 0.95 + row * leading_pt)
                page.insert_text(at, line, fontname=font, fontsize=size_pt)
            if stamp.framed:
                page.draw_rect((1, 1, width_pt - 1, height_pt - 1), color=(0, 0, 0), width=1.2)
            upright = stamp.turn == 180
            box = self._free_box(stamp.place, *((width_pt, height_pt) if upright else (height_pt, width_pt)))
            # PyMuPDF turns counter-clockwise.
            self._page.show_pdf_page(box, document, 0, rotate=-stamp.turn)
        return lines, box

    def _free_box(self, place: Place, width_pt: float, height_pt: float) -> pymupdf.Rect:
        """A box of this size in a free place of the page."""
        edge_pt = 7.0
        if place == "corner":
            x_pt = self._rng.uniform(_MARGIN_PT, self._width_pt - _MARGIN_PT - width_pt)
            y_pt = self._height_pt - edge_pt - height_pt
        else:
            x_pt = edge_pt if place == "left" else self._width_pt - edge_pt - width_pt
            y_pt = self._rng.uniform(_MARGIN_PT, self._height_pt - _MARGIN_PT - height_pt)
        return pymupdf.Rect(x_pt, y_pt, x_pt + width_pt, y_pt + height_pt)
