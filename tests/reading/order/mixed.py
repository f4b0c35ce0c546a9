"""Pages put together at random from what others have: sections below each other, or articles in a grid."""

from collections.abc import Callable
from typing import Final

from tests.reading.order.blocks import address, references, stacked
from tests.reading.order.columns import BOTTOM, LEFT, RIGHT, TOP, Kind, column_places, table_rows
from tests.reading.order.sheet import (
    BOLD,
    CHINESE,
    JAPANESE,
    SANS,
    SERIF,
    Sheet,
    Style,
    fill,
    flow,
    wrapped,
)


def any_style(sheet: Sheet, sizes: tuple[float, float] = (8.5, 11)) -> Style:
    rng = sheet.rng
    if rng.random() < 0.25:
        size = rng.uniform(9, 11)
        return Style(rng.choice((CHINESE, JAPANESE)), size, size * rng.uniform(1.25, 1.6))
    return Style.random(rng, sizes)


Section = Callable[[Sheet, Style, float], float]


def text(sheet: Sheet, style: Style, y: float) -> float:
    return flow(sheet, style, LEFT, y, RIGHT - LEFT, sheet.rng.randint(2, 9))


def some_columns(sheet: Sheet, style: Style, y: float) -> float:
    rng = sheet.rng
    count = rng.randint(2, 4 if style.font in {CHINESE, JAPANESE} or style.size < 10 else 3)
    places, width = column_places(count, rng.uniform(1.5, 3) * style.size)
    length = rng.randint(4, 20)
    bottoms = []
    for n, x in enumerate(places):
        top = y
        if rng.random() < 0.3:
            sheet.put(x, y + style.size * 1.2, sheet.title(rng.randint(1, 2)), style.size * 1.2, BOLD)
            top = y + style.size * 1.6
        lines = length if n < count - 1 else max(2, length - rng.randint(0, 6))
        bottoms.append(flow(sheet, style, x, top, width, lines))
    return max(bottoms)


def table(sheet: Sheet, style: Style, y: float) -> float:
    count = sheet.rng.randint(3, 6)
    edges = [LEFT + n * (RIGHT - LEFT) / count for n in range(count)]
    rows, pitch = sheet.rng.randint(3, 9), sheet.rng.uniform(13, 20)
    return table_rows(sheet, edges, RIGHT, y + 10, rows, 9, pitch)


def two_blocks(sheet: Sheet, style: Style, y: float) -> float:
    first = stacked(sheet, LEFT, y + 10, address(sheet))
    return max(first, stacked(sheet, sheet.rng.uniform(310, 400), y + 10, references(sheet))) - 10


def picture(sheet: Sheet, style: Style, y: float) -> float:
    bottom = y + sheet.rng.uniform(50, 110)
    sheet.picture((LEFT, y, RIGHT, bottom))
    sheet.put_centred(297, bottom + 12, "Figure. " + sheet.title(6), 8.5, SANS)
    return bottom + 15


def fields(sheet: Sheet, style: Style, y: float) -> float:
    rng = sheet.rng
    pitch, at = rng.uniform(17, 24), LEFT + rng.uniform(110, 180)
    for _ in range(rng.randint(3, 7)):
        y += pitch
        sheet.put(LEFT, y, sheet.title(rng.randint(1, 3)) + ":", 10, SANS)
        value = rng.choice((sheet.words(2).title(), str(rng.randint(100, 99999)), sheet.words(1)))
        sheet.put(at, y, value, 10, SERIF)
    return y + 3


def points(sheet: Sheet, style: Style, y: float) -> float:
    for _ in range(sheet.rng.randint(3, 7)):
        y += style.leading
        sheet.put(LEFT + 10, y, "-", style.size, SANS, is_aside=True)
        sheet.put(LEFT + 24, y, sheet.title(sheet.rng.randint(3, 9)), style.size, SANS)
    return y + 3


#: All kinds of sections; each draws itself from `y` down and returns its bottom.
SECTIONS: Final[tuple[Section, ...]] = (
    *(text, some_columns, some_columns, some_columns, table, fields, two_blocks, picture, points),
)


def margin(sheet: Sheet) -> None:
    """Draw some of what stands in margins."""
    rng = sheet.rng
    if rng.random() < 0.3:
        sheet.put_upwards(28, rng.uniform(350, 700), "Archive copy " + sheet.words(3), 12, SANS)
    if rng.random() < 0.6:
        sheet.put_centred(
            rng.choice((LEFT + 5, 297, RIGHT - 5)), 820, str(rng.randint(2, 300)), 9, is_aside=True
        )
    if rng.random() < 0.4:
        sheet.put(rng.choice((LEFT, 230)), 30, sheet.title(3), 8.5, SANS, is_aside=True)
    if rng.random() < 0.2:
        for n in range(6):
            sheet.put(575, 100 + n * 110, "ABCDEF"[n], 12, BOLD, is_aside=True)


def sections(sheet: Sheet) -> None:
    rng = sheet.rng
    style = any_style(sheet)
    y = TOP
    before: Section = text
    while y < BOTTOM - 150:
        kind = rng.choice(SECTIONS)
        # Without a heading nobody could tell where columns end and others begin.
        if rng.random() < 0.6 or {before, kind} <= {some_columns, two_blocks}:
            size = rng.uniform(12, 20)
            y += size
            sheet.put(LEFT, y, sheet.title(rng.randint(2, 4)), size, BOLD)
            y += size * 0.2 + 8
        y, before = kind(sheet, style, y) + rng.uniform(20, 34), kind
    margin(sheet)


def articles(sheet: Sheet) -> None:
    """Divide the page into articles, each with a headline over its columns."""
    rng = sheet.rng
    style = any_style(sheet, (7.5, 9))
    if style.font in (CHINESE, JAPANESE):
        style = Style(style.font, 8.5, style.leading * 8.5 / style.size)
    count = rng.randint(3, 6)
    gutter = rng.uniform(1.5, 2.2) * style.size
    places, width = column_places(count, gutter, 36, 559)
    sheet.put(36, 55, sheet.words(3).title(), 30, BOLD)

    def article(first: int, last: int, top: float, bottom: float) -> None:
        reach = places[last - 1] + width - places[first]
        size = rng.uniform(11, 18) if last - first > 1 else 11
        y = top
        text = wrapped(rng, Style(BOLD, size), [reach * rng.uniform(0.7, 1), size])[0]
        y += size
        sheet.put(places[first], y, text, size, BOLD)
        y += size * 0.2 + style.size * 0.7
        for n in range(first, last):
            end = (
                bottom if n < last - 1 or rng.random() < 0.6 else bottom - rng.uniform(0, 0.3) * (bottom - y)
            )
            if rng.random() < 0.2 and bottom - y > 150:
                half = rng.uniform(y + 30, bottom - 90)
                sheet.picture((places[n], y, places[n] + width, half - 8))
                fill(sheet, style, places[n], half, width, end if end > half + 20 else bottom)
            else:
                fill(sheet, style, places[n], y, width, max(end, y + 20))

    def divide(first: int, last: int, top: float, bottom: float, *, across: bool) -> None:
        if across and bottom - top > 240 and rng.random() < 0.85:
            middle = rng.uniform(top + 110, bottom - 110)
            divide(first, last, top, middle - 9, across=False)
            # Without a headline over several columns nobody could tell that the columns end here.
            wide = rng.randint(min(first + 2, last), last)
            article(first, wide, middle + 9, bottom)
            if wide < last:
                divide(wide, last, middle + 9, bottom, across=True)
        elif not across and last - first > 1 and rng.random() < 0.75:
            split = rng.randint(first + 1, last - 1)
            divide(first, split, top, bottom, across=True)
            divide(split, last, top, bottom, across=True)
        else:
            article(first, last, top, bottom)

    divide(0, count, 75, 800, across=True)
    margin(sheet)


KINDS: dict[str, Kind] = {"sections": sections, "articles": articles}
