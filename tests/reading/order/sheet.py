"""Pages that remember what was drawn on them, in the order in which it is to be read."""

import functools
import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import pymupdf

#: Fonts that PyMuPDF brings along, and the words of each script.
SERIF, SANS, BOLD, CHINESE, JAPANESE = "tiro", "helv", "hebo", "china-s", "japan"
WORDS: Final[tuple[str, ...]] = (
    *("harbor", "kettle", "island", "engine", "quarry", "ginger", "dollar", "zipper", "napkin", "garden"),
    *("barrel", "amber", "ribbon", "orange", "umbrella", "jungle", "insect", "effort", "saddle", "basket"),
    *("ladder", "velvet", "hammer", "copper", "marble", "timber", "finger", "parcel", "anchor", "yellow"),
    *("fabric", "candle", "window", "dinner", "butter", "silver", "market", "winter", "bridge", "forest"),
    *("letter", "valley", "stone", "river", "the", "of", "and", "to", "in", "was", "for", "with", "that"),
    *("on", "at", "from", "by", "old", "new", "small", "large", "every", "after", "before", "under"),
    *("never", "often", "where", "which", "people", "morning", "evening", "carried", "between", "written"),
    *("company", "village", "station", "teacher", "summer"),
)
CHARACTERS: Final = (
    "的一是在不了有和人这中大为上个国我以要他时来用们生到作地于出就分对成会可主发年动同工也能下过子说产种面而方后多定行学法所"
    "民得经十三之进着等部度家电力里如水化高自二理起小物现实加量都两体制机当使点从业本去把性好应开它合还因由其些然前外天政四日"
)
KANA: Final = (
    "あいうえおかきくけこさしすせそたちつてとなにぬねのはひふへほまみむもやゆよらりるれろわをんアイウエオカキクケコ"
    "日本語文字新聞記事東京大学会社時間"
)

Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Line:
    """A line of text: its ink's box in points, and how it was turned (0, or 90 counter-clockwise).

    `is_aside`: matter beside the text, as stamps and line numbers are; it may be read at any place.
    """

    text: str
    box: Box
    turn: int = 0
    is_aside: bool = False


@functools.cache
def length_at_size_1(text: str, font: str) -> float:
    return float(pymupdf.get_text_length(text, font, 1))


def text_length(text: str, font: str, size: float) -> float:
    """Return the width of a line in points: that of its words and spaces."""
    spaces = text.count(" ") * length_at_size_1(" ", font)
    return size * (spaces + sum(length_at_size_1(word, font) for word in text.split(" ")))


class Sheet:
    """A page under construction. Lengths are in points; `y` of a line is that of its baseline."""

    def __init__(self, rng: random.Random, width: float = 595, height: float = 842) -> None:
        self.rng, self.width, self.height = rng, width, height
        self.lines: list[Line] = []
        # Drawn when an image is asked for, because PyMuPDF takes a millisecond for each line.
        self._marks: list[Callable[[pymupdf.Shape], Any]] = []

    def write(self, x: float, y: float, text: str, size: float, font: str, turn: int = 0) -> None:
        """Draw text that is part of a line."""
        self._marks.append(
            lambda shape: shape.insert_text((x, y), text, fontsize=size, fontname=font, rotate=turn)
        )

    def add(self, text: str, box: Box) -> None:
        """Remember a line that was drawn in parts."""
        self.lines.append(Line(text, box))

    def put(self, x: float, y: float, text: str, size: float, font: str = SERIF, **kind: Any) -> float:
        """Draw a line; return where it ends."""
        width = text_length(text, font, size)
        self.write(x, y, text, size, font)
        self.lines.append(Line(text, (x, y - 0.72 * size, x + width, y + 0.2 * size), **kind))
        return x + width

    def put_right(self, x: float, y: float, text: str, size: float, font: str = SERIF, **kind: Any) -> None:
        """Draw a line that ends at `x`."""
        self.put(x - text_length(text, font, size), y, text, size, font, **kind)

    def put_centred(self, x: float, y: float, text: str, size: float, font: str = SERIF, **kind: Any) -> None:
        """Draw a line with its middle at `x`."""
        self.put(x - text_length(text, font, size) / 2, y, text, size, font, **kind)

    def put_upwards(self, x: float, y: float, text: str, size: float, font: str = SERIF) -> None:
        """Draw a line that runs from `y` up along the margin."""
        length = text_length(text, font, size)
        self.write(x, y, text, size, font, 90)
        box = (x - 0.72 * size, y - length, x + 0.2 * size, y)
        self.lines.append(Line(text, box, turn=90, is_aside=True))

    def put_justified(self, x: float, y: float, text: str, size: float, font: str, width: float) -> None:
        """Draw a line whose spaces are stretched so that it fills `width`."""
        words = text.split()
        lengths = [text_length(word, font, size) for word in words]
        space = (width - sum(lengths)) / max(1, len(words) - 1)
        at = x
        for word, length in zip(words, lengths, strict=True):
            self.write(at, y, word, size, font)
            at += length + space
        self.lines.append(Line(text, (x, y - 0.72 * size, x + width, y + 0.2 * size)))

    def words(self, count: int) -> str:
        return " ".join(self.rng.choices(WORDS, k=count))

    def title(self, count: int) -> str:
        return self.words(count).capitalize()

    def picture(self, box: Box) -> None:
        """Fill a box with grey."""
        self._fill(lambda shape: shape.draw_rect(box))

    def round_picture(self, x: float, y: float, radius: float) -> None:
        self._fill(lambda shape: shape.draw_circle((x, y), radius))

    def _fill(self, draw: Callable[[pymupdf.Shape], Any]) -> None:
        def mark(shape: pymupdf.Shape) -> None:
            draw(shape)
            shape.finish(color=None, fill=(0.75, 0.78, 0.8))

        self._marks.append(mark)

    def rule(self, x1: float, y: float, x2: float) -> None:
        def mark(shape: pymupdf.Shape) -> None:
            shape.draw_line((x1, y), (x2, y))
            shape.finish(width=0.7)

        self._marks.append(mark)

    def image(self, dpi: int = 144) -> pymupdf.Pixmap:
        with pymupdf.open() as document:
            page = document.new_page(width=self.width, height=self.height)
            shape = page.new_shape()
            for mark in self._marks:
                mark(shape)
            shape.commit()
            return page.get_pixmap(dpi=dpi, alpha=False)


@dataclass(frozen=True)
class Style:
    """How running text is set: font, size and leading in points; `justified` or ragged."""

    font: str = SERIF
    size: float = 10
    leading: float = 12.5
    justified: bool = False

    @classmethod
    def random(cls, rng: random.Random, sizes: tuple[float, float] = (8, 11)) -> "Style":
        size = rng.uniform(*sizes)
        return cls(
            font=rng.choice((SERIF, SERIF, SANS)),
            size=size,
            leading=size * rng.uniform(1.12, 1.4),
            justified=rng.random() < 0.5,
        )


def wrapped(rng: random.Random, style: Style, widths: Iterable[float]) -> list[str]:
    """Return running text for lines of these widths; the last line is shorter."""
    widths = list(widths)
    if style.font in {CHINESE, JAPANESE}:
        letters = CHARACTERS if style.font == CHINESE else KANA
        counts = [max(1, int(width / style.size)) for width in widths]
        counts[-1] = rng.randint(1, counts[-1])
        return ["".join(rng.choices(letters, k=count)) for count in counts]
    lines = []
    for n, width in enumerate(widths):
        words: list[str] = []
        full = width if n < len(widths) - 1 else width * rng.uniform(0.2, 0.9)
        while True:
            word = rng.choice(WORDS)
            if words and text_length(" ".join([*words, word]), style.font, style.size) > full:
                break
            words.append(word)
        lines.append(" ".join(words))
    return lines


def flow(
    sheet: Sheet, style: Style, x: float, y: float, width: float, count: int, holes: Sequence[Box] = ()
) -> float:
    """Draw `count` lines of paragraphs into a column whose top is `y`; return its bottom.

    `holes`: what the lines give way to.
    """
    rng = sheet.rng
    # Chinese and Japanese lines are filled anyway.
    justified = style.justified and style.font not in {CHINESE, JAPANESE}
    y += style.size * 0.72
    left = count
    while left:
        length = min(left, rng.randint(3, 9))
        indent = rng.choice((0, 0, style.size * 1.5))
        rows = []
        for n in range(length):
            x1, x2 = x + (indent if n == 0 else 0), x + width
            top, bottom = y + n * style.leading - style.size, y + n * style.leading + style.size * 0.3
            for hx1, hy1, hx2, hy2 in holes:
                if top < hy2 and hy1 < bottom and hx1 < x2 and x1 < hx2:
                    x1, x2 = (hx2, x2) if hx1 <= x1 else (x1, hx1)
            rows.append((x1, x2))
        for n, ((x1, x2), text) in enumerate(
            zip(rows, wrapped(rng, style, [x2 - x1 for x1, x2 in rows]), strict=True)
        ):
            if justified and n < length - 1 and " " in text:
                sheet.put_justified(x1, y, text, style.size, style.font, x2 - x1)
            else:
                sheet.put(x1, y, text, style.size, style.font)
            y += style.leading
        left -= length
    return y - style.leading + style.size * 0.2


def lines_that_fit(style: Style, y: float, bottom: float) -> int:
    return max(1, int((bottom - y - style.size) / style.leading) + 1)


def fill(sheet: Sheet, style: Style, x: float, y: float, width: float, bottom: float) -> float:
    """Draw running text down to `bottom`."""
    return flow(sheet, style, x, y, width, lines_that_fit(style, y, bottom))
