"""Letters, lists, forms and tables: small blocks side by side, and cells that belong to rows."""

from tests.reading.order.columns import BOTTOM, LEFT, RIGHT, TOP, Kind, columns, table_rows
from tests.reading.order.sheet import BOLD, CHINESE, SANS, SERIF, Sheet, Style, fill, flow, wrapped


def stacked(
    sheet: Sheet, x: float, y: float, lines: list[str], size: float = 10, pitch: float = 0, font: str = SANS
) -> float:
    for text in lines:
        sheet.put(x, y, text, size, font)
        y += pitch or size * 1.3
    return y


def address(sheet: Sheet) -> list[str]:
    rng = sheet.rng
    lines = [sheet.words(2).title(), f"{sheet.title(1)} Lane {rng.randint(1, 99)}"]
    if rng.random() < 0.4:
        lines.insert(1, f"Flat {rng.randint(1, 30)}")
    if rng.random() < 0.4:
        lines.insert(0, sheet.words(3).title() + " Ltd")
    return [*lines, f"{rng.randint(10000, 99999)} {sheet.words(2).title()}"]


def references(sheet: Sheet) -> list[str]:
    rng = sheet.rng
    lines = [
        f"Customer no {rng.randint(10000, 99999)}",
        f"Invoice {rng.randint(1000, 9999)}-7",
        f"Date {rng.randint(1, 28)} March 2026",
        "Page 1 of 2",
        f"Our reference {sheet.words(1)}/{rng.randint(2, 99)}",
    ]
    return rng.sample(lines, rng.randint(3, 5))


def letter(sheet: Sheet) -> None:
    """An address beside references; the letter; three columns of small print at the foot."""
    rng = sheet.rng
    if rng.random() < 0.5:
        sheet.put_centred(297, 60, sheet.words(3).title() + " Works", 18, BOLD)
    stacked(sheet, 60, 120, address(sheet))
    stacked(sheet, rng.uniform(340, 420), 120 + rng.choice((0, 0, 5, 26)), references(sheet))
    style = Style(SERIF, 10.5, 14)
    y = flow(sheet, style, 60, 240, rng.uniform(300, 470), rng.randint(8, 24))
    stacked(sheet, 60, y + 30, ["Yours sincerely", sheet.words(2).title()])
    if rng.random() < 0.6:
        for x in (60, 230, 400):
            stacked(sheet, x, 780, [sheet.title(4), sheet.title(3), sheet.title(4)], 7)


def addresses(sheet: Sheet) -> None:
    """Sender and receiver side by side over the text."""
    rng = sheet.rng
    y = 100.0
    stacked(sheet, LEFT, y, ["From", *address(sheet)])
    stacked(sheet, rng.uniform(290, 360), y, ["To", *address(sheet)])
    fill(sheet, Style.random(rng, (10, 11)), LEFT, 240, RIGHT - LEFT, rng.uniform(400, BOTTOM))


def pros_and_cons(sheet: Sheet) -> None:
    """Two lists of phrases under headings."""
    rng = sheet.rng
    sheet.put(LEFT, 70, sheet.title(5), 16, BOLD)
    size = rng.uniform(10, 12)
    style = Style(rng.choice((SERIF, SANS)), size, size * 1.3)
    for x, heading in ((LEFT, "Advantages"), (310, "Disadvantages")):
        sheet.put(x, 110, heading, 12, BOLD)
        y = 132.0
        for _ in range(rng.randint(3, 6)):
            for text in wrapped(rng, style, [200] * rng.randint(1, 3)):
                sheet.put(x, y, text, size, style.font)
                y += style.leading
            y += rng.choice((0, 3))


def two_short_columns(sheet: Sheet) -> None:
    """A sentence that goes on in the second column."""
    rng = sheet.rng
    size = rng.uniform(10, 13)
    style = Style(rng.choice((SERIF, SANS)), size, size * 1.4)
    columns(sheet, style, 2, 80, 80 + style.leading * rng.uniform(1.2, 4), 70, balanced=True)


def three_short_columns(sheet: Sheet) -> None:
    """A heading over three small blocks of text, and more text below."""
    rng = sheet.rng
    style = Style(SANS, 10, 13)
    sheet.put_centred(297, 70, sheet.title(3), 18, BOLD)
    columns(sheet, style, 3, 100, 100 + 13 * rng.uniform(3, 8), 26, balanced=True)
    fill(sheet, Style(SERIF, 11, 14.5), LEFT, 240, RIGHT - LEFT, 500)


def two_stories(sheet: Sheet) -> None:
    """Two articles side by side, each under its own headline, over one that takes the page's width."""
    rng = sheet.rng
    style = Style.random(rng)
    for x in (LEFT, 308):
        sheet.put(x, 66, sheet.title(rng.randint(2, 4)), 14, BOLD)
        fill(sheet, style, x, 80, 237, rng.uniform(250, 380))
    sheet.put(LEFT, 420, sheet.title(5), 16, BOLD)
    fill(sheet, style, LEFT, 434, RIGHT - LEFT, BOTTOM)


def receipt(sheet: Sheet) -> None:
    """Items and prices, and sums."""
    rng = sheet.rng
    size, pitch = rng.uniform(9, 11), rng.uniform(12, 18)
    for n, text in enumerate((sheet.words(2).upper(), "61 Harbor Street", "Tel 01632 960 184")):
        sheet.put_centred(180, 60 + n * 14, text, size, SANS)
    y = 120.0
    for _ in range(rng.randint(5, 25)):
        sheet.put(80, y, sheet.words(rng.randint(1, 3)), size, SANS)
        sheet.put_right(280, y, f"{rng.uniform(1, 90):.2f}", size, SANS)
        y += pitch
    sheet.put(80, y + 8, "TOTAL", size, BOLD)
    sheet.put_right(280, y + 8, f"{rng.uniform(100, 900):.2f}", size, BOLD)


def receipt_with_quantities(sheet: Sheet) -> None:
    rng = sheet.rng
    size, pitch = rng.uniform(9, 11), rng.uniform(12, 18)
    y = 80.0
    for _ in range(rng.randint(6, 20)):
        sheet.put(80, y, str(rng.randint(1, 9)), size, SANS)
        sheet.put(105, y, sheet.words(rng.randint(1, 3)), size, SANS)
        sheet.put_right(330, y, f"{rng.uniform(1, 90):.2f}", size, SANS)
        y += pitch
    sheet.put(80, y + 8, "Total", size, BOLD)
    sheet.put_right(330, y + 8, f"{rng.uniform(100, 900):.2f}", size, BOLD)


def table(sheet: Sheet) -> None:
    """A table of numbers between paragraphs."""
    rng = sheet.rng
    style = Style.random(rng)
    y = flow(sheet, style, LEFT, TOP, RIGHT - LEFT, rng.randint(3, 8))
    count = rng.randint(3, 7)
    edges = [LEFT + n * (RIGHT - LEFT) / count for n in range(count)]
    y = table_rows(sheet, edges, RIGHT, y + 36, rng.randint(5, 20), 9, rng.uniform(12, 20))
    flow(sheet, style, LEFT, y + 24, RIGHT - LEFT, rng.randint(3, 8))


def table_of_names(sheet: Sheet) -> None:
    """A table of words: names, towns, trades."""
    rng = sheet.rng
    pitch = rng.uniform(16, 24)
    count = rng.randint(3, 5)
    edges = [LEFT + n * (RIGHT - LEFT) / count for n in range(count)]
    y = 90.0
    for n in range(rng.randint(5, 18)):
        for x in edges:
            sheet.put(x, y, sheet.title(1 if n == 0 else rng.randint(1, 2)), 10, BOLD if n == 0 else SANS)
        y += pitch


def table_of_values_in_words(sheet: Sheet) -> None:
    """Levels and what they mean, between paragraphs under headings."""
    rng = sheet.rng
    style = Style(SANS, 11, 13)
    y = flow(sheet, style, LEFT, TOP, RIGHT - LEFT, rng.randint(3, 8)) + 20
    for _ in range(rng.randint(4, 9)):
        sheet.put(LEFT, y, f"{sheet.words(1).title()}-income", 11, SANS)
        value = rng.choice(("less than", "at least", "more than", "no more than"))
        sheet.put(300, y, f"{value} {rng.randint(10, 90)} per cent", 11, SANS)
        y += 13
    sheet.put(LEFT, y + 16, sheet.title(3), 11, BOLD)
    flow(sheet, style, LEFT, y + 42, RIGHT - LEFT, rng.randint(3, 8))


def form(sheet: Sheet) -> None:
    """Labels and what was filled in."""
    rng = sheet.rng
    sheet.put(LEFT, 60, sheet.title(3), 16, BOLD)
    pitch, at = rng.uniform(17, 28), rng.uniform(170, 230)
    y = 100.0
    for _ in range(rng.randint(6, 16)):
        sheet.put(LEFT, y, sheet.title(rng.randint(1, 3)) + ":", 10, SANS)
        value = rng.choice(
            (
                sheet.words(2).title(),
                str(rng.randint(100, 99999)),
                f"{rng.randint(1, 28)} May 2026",
                sheet.words(1),
            )
        )
        sheet.put(at, y, value, 10, SERIF)
        y += pitch


def invoice_fields(sheet: Sheet) -> None:
    """Keys and values, close to each other, over a table and the text."""
    rng = sheet.rng
    fields = [
        ("Invoice number", f"INV-2026-{rng.randint(100, 999)}"),
        ("Invoice date", "14 March 2026"),
        ("Due date", "28 March 2026"),
        ("Payment terms", "30 days"),
        ("Amount due", f"EUR {rng.randint(100, 9999)}.00"),
        ("Order number", str(rng.randint(10000, 99999))),
    ]
    y = 90.0
    for key, value in rng.sample(fields, rng.randint(4, 6)):
        sheet.put(LEFT, y, key, 10, SANS)
        sheet.put(LEFT + 105, y, value, 10, SANS)
        y += rng.choice((14, 16))
    edges = [LEFT, 240, 330, 420]
    y = table_rows(sheet, edges, RIGHT, y + 30, rng.randint(4, 10), 10, 18)
    fill(sheet, Style(SERIF, 10.5, 14), LEFT, y + 30, RIGHT - LEFT, y + 120)


def contents(sheet: Sheet) -> None:
    """Titles of chapters and their pages."""
    rng = sheet.rng
    sheet.put(LEFT, 70, "Contents", 18, BOLD)
    y, number = 110.0, 1
    pitch = rng.uniform(14, 22)
    for _ in range(rng.randint(8, 25)):
        sheet.put(LEFT + rng.choice((0, 0, 18)), y, sheet.title(rng.randint(2, 8)), 10.5, SERIF)
        sheet.put_right(RIGHT, y, str(number), 10.5, SERIF)
        number += rng.randint(1, 19)
        y += pitch


def clauses(sheet: Sheet) -> None:
    """Numbered paragraphs, the number hanging at the left of the first line."""
    rng = sheet.rng
    style = Style(rng.choice((SERIF, SANS)), 10.5, 13.5)
    y = 80.0
    for n in range(1, rng.randint(6, 14)):
        sheet.put(LEFT, y + style.size * 0.72, f"{n}.{rng.randint(1, 9)}", style.size, style.font)
        count = rng.randint(1, 4)
        for k, text in enumerate(wrapped(rng, style, [RIGHT - 86] * count)):
            sheet.put(86, y + style.size * 0.72 + k * style.leading, text, style.size, style.font)
        y += count * style.leading + rng.choice((0, 6))


def chinese_form(sheet: Sheet) -> None:
    """Chinese labels and values."""
    rng = sheet.rng
    style = Style(CHINESE, 11)
    y, pitch = 80.0, rng.uniform(20, 30)
    for _ in range(rng.randint(6, 14)):
        sheet.put(LEFT, y, wrapped(rng, style, [44, 11])[0] + ":", 11, CHINESE)
        sheet.put(LEFT + 90, y, wrapped(rng, style, [rng.uniform(22, 110), 11])[0], 11, CHINESE)
        y += pitch


KINDS: dict[str, Kind] = {
    "letter": letter,
    "addresses": addresses,
    "pros and cons": pros_and_cons,
    "two short columns": two_short_columns,
    "three short columns": three_short_columns,
    "two stories": two_stories,
    "receipt": receipt,
    "receipt with quantities": receipt_with_quantities,
    "table": table,
    "table of names": table_of_names,
    "table of values in words": table_of_values_in_words,
    "form": form,
    "invoice": invoice_fields,
    "contents": contents,
    "clauses": clauses,
    "Chinese form": chinese_form,
}
