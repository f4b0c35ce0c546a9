"""Pages in Chinese and Japanese, in columns as in English."""

from tests.reading.order.columns import BOTTOM, LEFT, Kind, column_places, columns
from tests.reading.order.sheet import CHINESE, JAPANESE, Sheet, Style, fill, wrapped


def chinese_paper(sheet: Sheet) -> None:
    """Two Chinese columns under a title."""
    rng = sheet.rng
    size = rng.uniform(9, 11)
    style = Style(CHINESE, size, size * rng.uniform(1.3, 1.7))
    sheet.put_centred(297, 70, "".join(wrapped(rng, Style(CHINESE, 18), [260, 18])[:1]), 18, CHINESE)
    columns(sheet, style, 2, 100, BOTTOM)
    sheet.put_centred(297, 812, "12", 9)


def chinese_newspaper(count: int, font: str = CHINESE) -> Kind:
    """Articles of few characters a line, in `count` columns, under headlines."""

    def draw(sheet: Sheet) -> None:
        rng = sheet.rng
        size = rng.uniform(8.5, 10)
        style = Style(font, size, size * rng.uniform(1.25, 1.6))
        gutter = rng.uniform(1.2, 2.2) * size
        places, width = column_places(count, gutter)
        sheet.put(LEFT, 60, "".join(wrapped(rng, Style(font, 28), [300, 28])[:1]), 28, font)
        middle = rng.uniform(350, 480)
        for x in places:
            fill(sheet, style, x, 76, width, middle)
        split = rng.randint(1, count - 1)
        for first, last in ((0, split), (split, count)):
            reach = (last - first) * (width + gutter) - gutter
            letters = rng.uniform(0.5, 1) * reach
            sheet.put(places[first], middle + 32, wrapped(rng, Style(font, 15), [letters, 15])[0], 15, font)
            for x in places[first:last]:
                fill(sheet, style, x, middle + 44, width, BOTTOM)

    return draw


def chinese_japanese_double(sheet: Sheet) -> None:
    """A double page, Chinese at the left and Japanese at the right, two columns each."""
    rng = sheet.rng
    for side, font in enumerate((CHINESE, JAPANESE)):
        left = 45 + side * 420
        style = Style(font, 9, 9 * rng.uniform(1.3, 1.6))
        columns(sheet, style, 2, 60, 540, left=left, right=left + 330, balanced=side == 0)
        sheet.put_centred(left + 165, 568, str(30 + side), 9)


KINDS: dict[str, Kind] = {
    "Chinese paper": chinese_paper,
    "Chinese newspaper of three columns": chinese_newspaper(3),
    "Chinese newspaper of five columns": chinese_newspaper(5),
    "Japanese newspaper of four columns": chinese_newspaper(4, JAPANESE),
    "Chinese and Japanese double page": chinese_japanese_double,
}
