"""Pages of two to eight columns, with what stands beside, above and between them, drawn at random."""

import math
from collections.abc import Callable

from tests.reading.order.sheet import (
    BOLD,
    SANS,
    SERIF,
    Box,
    Sheet,
    Style,
    fill,
    flow,
    lines_that_fit,
    wrapped,
)

Kind = Callable[[Sheet], None]

TOP, BOTTOM, LEFT, RIGHT = 60.0, 770.0, 50.0, 545.0


def column_places(
    count: int, gutter: float, left: float = LEFT, right: float = RIGHT
) -> tuple[list[float], float]:
    """Return the left edges and the width of columns."""
    width = (right - left - (count - 1) * gutter) / count
    return [left + n * (width + gutter) for n in range(count)], width


def columns(
    sheet: Sheet,
    style: Style,
    count: int,
    top: float,
    bottom: float,
    gutter: float = 0,
    *,
    left: float = LEFT,
    right: float = RIGHT,
    balanced: bool = False,
) -> None:
    """Draw columns of running text; not balanced: the last ends early."""
    places, width = column_places(count, gutter or sheet.rng.uniform(1.5, 3) * style.size, left, right)
    for n, x in enumerate(places):
        end = bottom if balanced or n < count - 1 else top + (bottom - top) * sheet.rng.uniform(0.4, 1)
        fill(sheet, style, x, top, width, end)


def headline(
    sheet: Sheet, x: float, y: float, width: float, size: float, font: str = BOLD, centred: bool = False
) -> float:
    """Draw a headline of one or two lines that fills most of `width`; return its bottom."""
    style = Style(font, size, size * 1.2)
    count = sheet.rng.randint(1, 2)
    for text in (
        wrapped(sheet.rng, style, [width] * count)
        if count > 1
        else [wrapped(sheet.rng, style, [width, width])[0]]
    ):
        y += size
        if centred:
            sheet.put_centred(x + width / 2, y, text, size, font)
        else:
            sheet.put(x, y, text, size, font)
        y += size * 0.2
    return y


def paper(sheet: Sheet) -> None:
    """A title and an abstract over two columns, sections, a page number."""
    rng = sheet.rng
    sheet.put_centred(297, 90, sheet.title(5), 17, BOLD)
    sheet.put_centred(297, 112, sheet.words(4).title(), 11)
    style = Style.random(rng)
    bottom = flow(sheet, style, 90, 130, 415, rng.randint(4, 8))
    places, width = column_places(2, rng.uniform(1.5, 2.5) * style.size)
    for n, x in enumerate(places):
        y = bottom + 22
        end = BOTTOM if n == 0 else rng.uniform(500, BOTTOM)
        while end - y > 6 * style.leading:
            sheet.put(x, y + 10, sheet.title(rng.randint(1, 3)), 11, BOLD)
            y = (
                flow(
                    sheet,
                    style,
                    x,
                    y + 16,
                    width,
                    min(rng.randint(8, 18), lines_that_fit(style, y + 16, end)),
                )
                + 10
            )
    sheet.put_centred(297, 810, str(rng.randint(2, 300)), 10)


def paper_with_stamp(sheet: Sheet) -> None:
    """An archive's stamp runs up the left margin."""
    paper(sheet)
    sheet.put_upwards(26, 560, "kettle:2004.0490v3 [hb.KT] 30 Sep 2020", 15)


def uneven_leading(sheet: Sheet) -> None:
    """Two columns whose lines are not level."""
    style, other = Style.random(sheet.rng), Style.random(sheet.rng)
    places, width = column_places(2, sheet.rng.uniform(1.5, 3) * style.size)
    headline(sheet, LEFT, 30, RIGHT - LEFT, 18)
    fill(sheet, style, places[0], 95, width, BOTTOM)
    fill(sheet, other, places[1], 95 + sheet.rng.uniform(0, 12), width, sheet.rng.uniform(500, BOTTOM))


def newspaper(count: int) -> Kind:
    """Articles under headlines over all or some of `count` columns."""

    def draw(sheet: Sheet) -> None:
        rng = sheet.rng
        style = Style.random(rng, (7.5, 9))
        gutter = rng.uniform(1.5, 2.2) * style.size
        places, width = column_places(count, gutter)
        y = headline(sheet, LEFT, 35, RIGHT - LEFT, 26)
        middle = rng.uniform(380, 480)
        split = rng.randint(1, count - 1)
        # The upper article takes all columns, the lower ones share them.
        for x in places:
            fill(sheet, style, x, y + 10, width, middle)
        for first, last in ((0, split), (split, count)):
            reach = (last - first) * (width + gutter) - gutter
            start = headline(sheet, places[first], middle + 14, reach, 14)
            for x in places[first:last]:
                fill(sheet, style, x, start + 8, width, BOTTOM)

    return draw


def headline_over_some(sheet: Sheet) -> None:
    """A tall first column; to its right an article over the others, and one below."""
    rng = sheet.rng
    style = Style.random(rng, (8, 9.5))
    places, width = column_places(3, 1.7 * style.size)
    fill(sheet, style, places[0], TOP, width, BOTTOM)
    reach = RIGHT - places[1]
    middle = rng.uniform(330, 480)
    y = headline(sheet, places[1], TOP - 12, reach, 20)
    for x in places[1:]:
        fill(sheet, style, x, y + 8, width, middle)
    y = headline(sheet, places[1], middle + 16, reach, 16)
    for x in places[1:]:
        fill(sheet, style, x, y + 8, width, BOTTOM)


def pictures_in_columns(sheet: Sheet) -> None:
    """Each column has a picture with a caption somewhere."""
    rng = sheet.rng
    style = Style.random(rng)
    places, width = column_places(2, rng.uniform(1.5, 2.5) * style.size)
    for x in places:
        upper = rng.uniform(90, 420)
        if upper > 130:
            fill(sheet, style, x, TOP, width, upper)
        else:
            upper = TOP
        height = rng.uniform(90, 200)
        sheet.picture((x, upper + 14, x + width, upper + 14 + height))
        sheet.put(x + 8, upper + height + 28, "Figure. " + sheet.title(3), 8, SANS)
        fill(sheet, style, x, upper + height + 46, width, BOTTOM)


def picture_between(sheet: Sheet) -> None:
    """A picture over all columns divides them, with a caption or without."""
    rng = sheet.rng
    style, count = Style.random(rng), rng.randint(2, 3)
    upper = rng.uniform(220, 420)
    columns(sheet, style, count, TOP, upper, balanced=True)
    lower = upper + rng.uniform(120, 200)
    sheet.picture((LEFT, upper + 14, RIGHT, lower))
    if rng.random() < 0.5:
        sheet.put_centred(297, lower + 14, "Figure 3. " + sheet.title(7), 9, SANS)
    columns(sheet, style, count, lower + 34, BOTTOM)


def table_rows(
    sheet: Sheet, edges: list[float], right: float, y: float, count: int, size: float = 9, pitch: float = 16
) -> float:
    """Draw a table of names and numbers; return its bottom."""
    for n in range(count):
        sheet.put(edges[0], y, sheet.title(sheet.rng.randint(1, 2)), size, SANS)
        for end in [*(edge - 12 for edge in edges[2:]), right]:
            text = sheet.words(1).title() if n == 0 else f"{sheet.rng.uniform(1, 900):.2f}"
            sheet.put_right(end, y, text, size, SANS)
        y += pitch
    return y - pitch + 4


def table_between(sheet: Sheet) -> None:
    """A table over both columns divides them."""
    rng = sheet.rng
    style = Style.random(rng)
    upper = rng.uniform(220, 420)
    columns(sheet, style, 2, TOP, upper, balanced=True)
    sheet.put(LEFT, upper + 28, "Table 2. " + sheet.title(6), 9, SANS)
    count = rng.randint(4, 6)
    edges = [LEFT + n * (RIGHT - LEFT) / count for n in range(count)]
    lower = table_rows(sheet, edges, RIGHT, upper + 48, rng.randint(5, 9))
    columns(sheet, style, 2, lower + 24, BOTTOM)


def table_in_column(sheet: Sheet) -> None:
    """A table within one of two columns."""
    rng = sheet.rng
    style = Style.random(rng)
    places, width = column_places(2, rng.uniform(1.5, 2.5) * style.size)
    which = rng.randint(0, 1)
    for n, x in enumerate(places):
        if n != which:
            fill(sheet, style, x, TOP, width, BOTTOM)
            continue
        upper = fill(sheet, style, x, TOP, width, rng.uniform(200, 400))
        edges = [x + k * width / 3 for k in range(3)]
        lower = table_rows(sheet, edges, x + width, upper + 26, rng.randint(5, 10), 8, 14)
        fill(sheet, style, x, lower + 18, width, BOTTOM)


def round_picture(sheet: Sheet) -> None:
    """The lines of two columns give way to a round picture on the gutter."""
    rng = sheet.rng
    style = Style.random(rng)
    gutter = rng.uniform(1.5, 2.5) * style.size
    places, width = column_places(2, gutter)
    middle, y, radius = (LEFT + RIGHT) / 2, rng.uniform(250, 550), rng.uniform(60, 100)
    sheet.round_picture(middle, y, radius)
    holes: list[Box] = []
    for step in range(int(y - radius - 8), int(y + radius + 8), 4):
        half = math.sqrt(max(0.0, (radius + 8) ** 2 - (step + 2 - y) ** 2))
        holes.append((middle - half, step, middle + half, step + 4))
    headline(sheet, LEFT, 25, RIGHT - LEFT, 20)
    for x in places:
        flow(sheet, style, x, 85, width, lines_that_fit(style, 85, BOTTOM), holes)


def double_page(count: int) -> Kind:
    """Two pages of a book side by side, each with `count` columns, a running head and its number."""

    def draw(sheet: Sheet) -> None:
        rng = sheet.rng
        style = Style.random(rng, (8, 9.5))
        gap = rng.uniform(60, 110)
        for side in (0, 1):
            left = 45 + side * (421 - 45 + gap / 2)
            right = left + 421 - 45 - gap / 2
            start = 60 if side == 0 or rng.random() < 0.6 else rng.uniform(180, 300)
            if start > 100:
                sheet.put_centred((left + right) / 2, start - 40, sheet.title(3), 18, SERIF)
            else:
                sheet.put_centred((left + right) / 2, 40, sheet.title(3), 8, SANS)
            columns(sheet, style, count, start, 540, left=left, right=right, balanced=side == 0)
            sheet.put_centred((left + right) / 2, 570, str(100 + side), 9)

    return draw


def short_title_over_three(sheet: Sheet) -> None:
    """A title that is narrower than the middle one of three columns."""
    style = Style.random(sheet.rng, (8, 9.5))
    sheet.put_centred(297, 70, sheet.title(1), 24, BOLD)
    sheet.put_centred(297, 92, sheet.title(2), 10, SERIF)
    columns(sheet, style, 3, 125, BOTTOM)


def unequal_columns(sheet: Sheet) -> None:
    """A broad column beside a narrow one."""
    rng = sheet.rng
    style, narrow = Style.random(rng), Style.random(rng, (7.5, 9))
    edge = rng.uniform(340, 400) if rng.random() < 0.5 else rng.uniform(190, 240)
    y = headline(sheet, LEFT, 25, RIGHT - LEFT, 20)
    first, second = (style, narrow) if edge > 300 else (narrow, style)
    fill(sheet, first, LEFT, y + 20, edge - LEFT, BOTTOM)
    fill(sheet, second, edge + 22, y + 20, RIGHT - edge - 22, rng.uniform(450, BOTTOM))


def index_of_terms(sheet: Sheet) -> None:
    """Short entries in two or three columns."""
    rng = sheet.rng
    count = rng.randint(2, 3)
    size = rng.uniform(8.5, 10)
    places, _ = column_places(count, 20)
    sheet.put(LEFT, 50, "Index", 18, BOLD)
    for x in places:
        y = 80.0
        while y < rng.uniform(700, BOTTOM):
            pages = ", ".join(str(rng.randint(2, 400)) for _ in range(rng.randint(1, 4)))
            sheet.put(x, y, f"{sheet.words(rng.randint(1, 2))}, {pages}", size)
            y += size * 1.25


def verses(sheet: Sheet) -> None:
    """A poem in two columns, its lines of any length."""
    rng = sheet.rng
    sheet.put(LEFT, 60, sheet.title(3), 18, BOLD)
    size = rng.uniform(10, 11.5)
    for x in (LEFT, 310):
        y = 95.0
        for _ in range(rng.randint(4, 7)):
            for _ in range(4):
                sheet.put(x, y, sheet.title(rng.randint(4, 7)), size, SERIF)
                y += size * 1.3
            y += size * 1.1


KINDS: dict[str, Kind] = {
    "paper": paper,
    "paper with a stamp": paper_with_stamp,
    "uneven leading": uneven_leading,
    "newspaper of three columns": newspaper(3),
    "newspaper of four columns": newspaper(4),
    "newspaper of five columns": newspaper(5),
    "headline over some columns": headline_over_some,
    "pictures in columns": pictures_in_columns,
    "picture between": picture_between,
    "table between": table_between,
    "table in a column": table_in_column,
    "round picture": round_picture,
    "double page": double_page(1),
    "double page of two columns": double_page(2),
    "short title over three columns": short_title_over_three,
    "unequal columns": unequal_columns,
    "index": index_of_terms,
    "verses": verses,
}
