"""Pages of many other kinds: dictionaries, exams, programmes, curricula, recipes, minutes …"""

from tests.reading.order.blocks import stacked
from tests.reading.order.columns import BOTTOM, LEFT, RIGHT, TOP, Kind, column_places, headline
from tests.reading.order.sheet import (
    BOLD,
    JAPANESE,
    SANS,
    SERIF,
    Sheet,
    Style,
    fill,
    flow,
    lines_that_fit,
    text_length,
    wrapped,
)


def pull_quote(sheet: Sheet) -> None:
    """Two columns give way to a quotation in large type between them; it may be read anywhere."""
    style = Style.random(sheet.rng)
    places, width = column_places(2, 2 * style.size)
    top = sheet.rng.uniform(250, 450)
    hole = (210.0, top, 385.0, top + 96)
    for x in places:
        flow(sheet, style, x, TOP, width, lines_that_fit(style, TOP, BOTTOM), [hole])
    for n in range(3):
        sheet.put_centred(297, top + 30 + n * 22, sheet.words(2), 16, BOLD, is_aside=True)


def dictionary(sheet: Sheet) -> None:
    """Two or three columns of short paragraphs, each with a headword; guide words above."""
    rng = sheet.rng
    style = Style(SERIF, rng.uniform(8, 9.5), 10.8, justified=rng.random() < 0.5)
    sheet.put(LEFT, 40, sheet.words(1), 10, BOLD, is_aside=True)
    sheet.put_right(RIGHT, 40, sheet.words(1), 10, BOLD, is_aside=True)
    places, width = column_places(rng.randint(2, 3), 18)
    for x in places:
        y = 64.0
        while y < 740:
            word = sheet.words(1)
            start = x + text_length(word, BOLD, style.size) + 4
            rest = wrapped(rng, style, [x + width - start, width])[0]
            end = start + text_length(rest, style.font, style.size)
            sheet.write(x, y, word, style.size, BOLD)
            sheet.write(start, y, rest, style.size, style.font)
            sheet.add(f"{word} {rest}", (x, y - 0.72 * style.size, end, y + 0.2 * style.size))
            y += style.leading
            for text in wrapped(rng, style, [width - 8] * rng.randint(1, 4)):
                sheet.put(x + 8, y, text, style.size)
                y += style.leading


def two_languages(sheet: Sheet) -> None:
    """The same paragraphs side by side in two languages, level at their tops."""
    rng = sheet.rng
    style = Style.random(rng, (9.5, 11))
    other = Style(JAPANESE, style.size, style.leading)
    counts = [rng.randint(3, 7) for _ in range(7)]
    for x, each in ((LEFT, style), (312, other)):
        y = TOP
        for count in counts:
            flow(sheet, each, x, y, 233, count - (x > LEFT) * rng.randint(0, 2))
            y += (count + 1) * style.leading
            if y > 700:
                break


def exam(sheet: Sheet) -> None:
    """Questions with two short answers in a row, and two rows of them."""
    rng = sheet.rng
    style = Style(SANS, 10.5, 14)
    y = 70.0
    for n in range(1, 9):
        for text in wrapped(rng, style, [470] * rng.randint(1, 2)):
            sheet.put(70, y, (f"{n}. " if text else "") + text, 10.5, SANS)
            y += 14
        for pair in ("AB", "CD"):
            for x, letter in zip((90, 320), pair, strict=True):
                sheet.put(x, y + 4, f"{letter}) {sheet.words(rng.randint(1, 2))}", 10.5, SANS)
            y += 18
        y += 10


def curriculum(sheet: Sheet) -> None:
    """Years at the left, and beside each what happened."""
    rng = sheet.rng
    style = Style(SANS, 10, 13)
    sheet.put(LEFT, 70, sheet.words(2).title(), 20, BOLD)
    y = 110.0
    for _ in range(rng.randint(6, 10)):
        year = rng.randint(1980, 2015)
        sheet.put(LEFT, y, f"{year} - {year + rng.randint(1, 8)}", 10, SANS)
        for text in wrapped(rng, style, [380] * rng.randint(1, 4)):
            sheet.put(150, y, text, 10, SANS)
            y += 13
        y += rng.choice((4, 10))


def programme(sheet: Sheet) -> None:
    """Times, what is on, and where."""
    rng = sheet.rng
    y = 90.0
    for n in range(rng.randint(10, 20)):
        sheet.put(LEFT, y, f"{9 + n // 2}.{n % 2 * 3}0", 11, SANS)
        sheet.put(120, y, sheet.title(rng.randint(2, 5)), 11, SANS)
        sheet.put(420, y, f"Room {rng.randint(1, 40)}", 11, SANS)
        y += 22


def recipe(sheet: Sheet) -> None:
    """Ingredients at the left, the method at the right."""
    rng = sheet.rng
    sheet.put_centred(297, 70, sheet.title(3), 22, SERIF)
    y = 120.0
    for _ in range(rng.randint(7, 14)):
        sheet.put(LEFT, y, f"{rng.randint(1, 500)} g {sheet.words(rng.randint(1, 2))}", 10, SANS)
        y += rng.choice((13, 15))
    flow(sheet, Style(SERIF, 11, 15), 230, 110, 315, rng.randint(15, 35))


def minutes(sheet: Sheet) -> None:
    """Paragraphs with the name of whoever acts in the right margin; the names may be read anywhere."""
    rng = sheet.rng
    style = Style.random(rng, (10, 11))
    sheet.put(LEFT, 60, sheet.title(4), 16, BOLD)
    y = 90.0
    while y < 680:
        bottom = flow(sheet, style, LEFT, y, 380, rng.randint(3, 8))
        sheet.put(455, y + style.size * 0.72, sheet.title(1), 10, BOLD, is_aside=True)
        y = bottom + style.leading


def equations(sheet: Sheet) -> None:
    """Two columns with equations and their numbers."""
    rng = sheet.rng
    style = Style(SERIF, 9.5, 11.8, justified=True)
    places, width = column_places(2, 20)
    number = 1
    for x in places:
        y = TOP
        while y < 690:
            y = flow(sheet, style, x, y, width, rng.randint(4, 10)) + 14
            sheet.put_centred(x + width / 2, y + 4, "f(x) = a x + b y - c z", 10, SERIF)
            sheet.put_right(x + width, y + 4, f"({number})", 10, SERIF)
            number += 1
            y += 16


def two_column_contents(sheet: Sheet) -> None:
    """Titles and pages in two columns that are not level."""
    rng = sheet.rng
    sheet.put(LEFT, 60, "Contents", 20, BOLD)
    for x in (LEFT, 310.0):
        y = 100 + (0 if x == LEFT else rng.uniform(5, 10))
        for _ in range(rng.randint(12, 20)):
            sheet.put(x, y, sheet.title(rng.randint(2, 4)), 9.5, SERIF)
            sheet.put_right(x + 225, y, str(rng.randint(1, 400)), 9.5, SERIF)
            y += 18


def pleading(sheet: Sheet) -> None:
    """A double-spaced text with numbers 1 to 28 at the left and the court's address at the top."""
    rng = sheet.rng
    for n in range(28):
        sheet.put_right(70, 80 + n * 25, str(n + 1), 11, SERIF, is_aside=True)
    stacked(
        sheet,
        90,
        80,
        [sheet.words(2).title(), f"{rng.randint(1, 99)} Quarry Lane", "Attorney for Plaintiff"],
        11,
        25,
    )
    style = Style(SERIF, 12, 25)
    flow(sheet, style, 90, 80 + 4 * 25 - 8.6, 430, 22)


def magazine(sheet: Sheet) -> None:
    """Three columns under a lead, a box at the foot over two of them."""
    rng = sheet.rng
    style = Style.random(rng, (8.5, 9.5))
    y = headline(sheet, LEFT, 40, RIGHT - LEFT, 26)
    y = flow(sheet, Style(SANS, 13, 17), LEFT, y + 12, RIGHT - LEFT, rng.randint(2, 3))
    places, width = column_places(3, 1.8 * style.size)
    middle = rng.uniform(520, 600)
    fill(sheet, style, places[0], y + 18, width, BOTTOM)
    for x in places[1:]:
        fill(sheet, style, x, y + 18, width, middle)
    sheet.put(places[1], middle + 34, sheet.title(3), 13, BOLD)
    fill(sheet, Style(SANS, 9, 12), places[1], middle + 46, RIGHT - places[1], BOTTOM)


def speech(sheet: Sheet) -> None:
    """Names of speakers at the left, what they say at the right."""
    rng = sheet.rng
    style = Style(SERIF, 11, 14)
    names = [sheet.words(1).upper() for _ in range(3)]
    y = 80.0
    while y < 720:
        sheet.put(LEFT, y, rng.choice(names) + ":", 10, SANS)
        for text in wrapped(rng, style, [390] * rng.randint(1, 5)):
            sheet.put(150, y, text, 11, SERIF)
            y += 14
        y += 8


def certificate(sheet: Sheet) -> None:
    """Centred lines of many sizes; two signatures side by side."""
    rng = sheet.rng
    y = 120.0
    for size in (28, 12, 22, 12, 14, 12):
        sheet.put_centred(297, y, sheet.title(rng.randint(2, 4)), size, rng.choice((SERIF, SANS)))
        y += size * 1.2 + 24
    for x in (150, 440):
        sheet.put_centred(x, y + 60, sheet.words(3).title(), 11, SERIF)
        sheet.put_centred(x, y + 75, sheet.title(3), 9, SERIF)


KINDS: dict[str, Kind] = {
    "pull quote": pull_quote,
    "dictionary": dictionary,
    "two languages": two_languages,
    "exam": exam,
    "curriculum": curriculum,
    "programme": programme,
    "recipe": recipe,
    "minutes": minutes,
    "equations": equations,
    "contents of two columns": two_column_contents,
    "pleading": pleading,
    "magazine": magazine,
    "speech": speech,
    "certificate": certificate,
}
