"""Pages with matter beside the text: numbers of lines, menus, tabs, notes, heads and feet."""

from tests.reading.order.columns import BOTTOM, LEFT, RIGHT, TOP, Kind, column_places, columns, headline
from tests.reading.order.sheet import BOLD, SANS, Sheet, Style, fill, flow, lines_that_fit


def line_numbers(sheet: Sheet) -> None:
    """Every line of a single column has its number at the left or right."""
    rng = sheet.rng
    style = Style.random(rng, (10, 12))
    at_left = rng.random() < 0.6
    first = len(sheet.lines)
    fill(sheet, style, 100, TOP, 395, BOTTOM)
    for n, line in enumerate(sheet.lines[first:], 1):
        y = line.box[3] - 0.2 * style.size
        if at_left:
            sheet.put_right(82, y, str(n), style.size * 0.8, SANS, is_aside=True)
        else:
            sheet.put(512, y, str(n), style.size * 0.8, SANS, is_aside=True)


def numbered_columns(sheet: Sheet) -> None:
    """Two columns, with a number at the left of every line."""
    rng = sheet.rng
    style = Style.random(rng, (8.5, 10))
    columns(sheet, style, 2, TOP, BOTTOM, gutter=42, left=75)
    starts = sorted({round(line.box[0]) for line in sheet.lines})
    middle = (starts[0] + starts[-1]) / 2 if len(starts) > 1 else 300
    for n, line in enumerate(list(sheet.lines), 1):
        x = 75 if line.box[0] < middle - 60 else 75 + (RIGHT - 75 - 42) / 2 + 42
        sheet.put_right(x - 9, line.box[3] - 0.2 * style.size, str(n), style.size * 0.7, SANS, is_aside=True)


def patent(sheet: Sheet) -> None:
    """Two columns with numbers of every fifth line in the gutter, and of columns above."""
    rng = sheet.rng
    style = Style.random(rng, (9, 10))
    places, width = column_places(2, 36)
    for n, x in enumerate(places):
        sheet.put_centred(x + width / 2, 50, str(n + 1), 9, is_aside=True)
    for x in places:
        fill(sheet, style, x, TOP + 10, width, BOTTOM)
    for n in range(5, lines_that_fit(style, TOP + 10, BOTTOM), 5):
        y = TOP + 10 + style.size * 0.72 + (n - 1) * style.leading
        sheet.put_centred(LEFT + width + 18, y, str(n), style.size * 0.85, is_aside=True)


def menu(sheet: Sheet) -> None:
    """A menu at the left of an article in one or two columns."""
    rng = sheet.rng
    style = Style.random(rng)
    left = rng.uniform(150, 190)
    y, pitch = 110.0, rng.uniform(15, 24)
    for _ in range(rng.randint(6, 20)):
        sheet.put(40, y, sheet.title(rng.randint(1, 3)), 9, SANS)
        y += pitch
    sheet.put(left, 70, sheet.title(4), 20, BOLD)
    columns(sheet, style, rng.randint(1, 2), 96, BOTTOM, left=left)


def sidebar(sheet: Sheet) -> None:
    """An article with a box of smaller text at its right."""
    rng = sheet.rng
    style = Style.random(rng)
    right = rng.uniform(370, 410)
    sheet.put(LEFT, 60, sheet.title(5), 22, BOLD)
    fill(sheet, style, LEFT, 84, right - LEFT, BOTTOM)
    small = Style(SANS, 8, 10.4)
    y = rng.uniform(90, 300)
    sheet.put(right + 26, y, sheet.title(2), 12, BOLD)
    flow(sheet, small, right + 26, y + 10, RIGHT - right - 26, rng.randint(8, 24))


def thumb_tabs(sheet: Sheet) -> None:
    """Letters of a register at the right edge of two columns."""
    style = Style.random(sheet.rng)
    columns(sheet, style, 2, TOP, BOTTOM, right=535)
    for n, letter in enumerate("ABCDEFGH"):
        sheet.put(562, 80 + n * 85, letter, 14, BOLD, is_aside=True)


def margin_notes(sheet: Sheet) -> None:
    """Notes in the outer margin of one column, a stamp in the other, and the page's number."""
    rng = sheet.rng
    style = Style.random(rng, (10, 11))
    fill(sheet, style, 120, TOP, 300, BOTTOM)
    for n in range(rng.randint(2, 5)):
        y = 90 + n * 140 + rng.uniform(0, 50)
        for k in range(rng.randint(1, 4)):
            sheet.put(440, y + 9 * k, sheet.words(2), 7.5, SANS, is_aside=True)
    sheet.put_upwards(60, 500, "Archive copy " + sheet.words(2), 12, SANS)
    sheet.put_centred(270, 812, "17", 9, is_aside=True)


def running_heads(sheet: Sheet) -> None:
    """Two columns with a head and a foot in two parts each."""
    rng = sheet.rng
    style = Style.random(rng)
    sheet.put(LEFT, 40, sheet.title(3), 9, SANS, is_aside=True)
    sheet.put_right(RIGHT, 40, sheet.title(2), 9, SANS, is_aside=True)
    columns(sheet, style, rng.randint(2, 3), 66, 760)
    sheet.put(LEFT, 806, sheet.title(2), 9, SANS, is_aside=True)
    sheet.put_right(RIGHT, 806, "Page 12", 9, SANS, is_aside=True)


def footnotes(sheet: Sheet) -> None:
    """Notes in smaller type below each column."""
    rng = sheet.rng
    style = Style.random(rng, (9, 11))
    small = Style(style.font, style.size * 0.78, style.size * 0.95)
    places, width = column_places(2, rng.uniform(1.5, 2.5) * style.size)
    headline(sheet, LEFT, 25, RIGHT - LEFT, 18, centred=True)
    for x in places:
        count = rng.randint(2, 9)
        end = BOTTOM - count * small.leading - 16
        fill(sheet, style, x, 85, width, end)
        sheet.rule(x, end + 8, x + 80)
        flow(sheet, small, x, end + 14, width, count)


KINDS: dict[str, Kind] = {
    "line numbers": line_numbers,
    "numbered columns": numbered_columns,
    "patent": patent,
    "menu": menu,
    "sidebar": sidebar,
    "thumb tabs": thumb_tabs,
    "margin notes": margin_notes,
    "running heads": running_heads,
    "footnotes": footnotes,
}
