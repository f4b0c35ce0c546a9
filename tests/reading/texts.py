"""Invented texts of the sweep: prose, letters, records and receipts, of the English words in `words.txt`.

Left out is what nobody can tell by its shape alone: O beside 0, I beside l and 1, apostrophes, quotation
marks, dashes of several lengths.
"""

import random
import string
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

_FILE: Final = Path(__file__).with_name("words.txt")
#: By the name of the list, which stands in its first line.
_WORDS: Final = {
    name: words.split()
    for name, _, words in (part.partition("\n") for part in _FILE.read_text().split("== ")[1:])
}

_SENTENCES: Final = (
    "The {adjective} {noun} {verb} the {noun} {preposition} the {adjective} {noun}.",
    "{name} {surname} {verb} the {noun} {preposition} the {noun}, and the {noun} {verb} it {adverb}.",
    "On {date} the {noun} {verb} {number} of the {adjective} {noun}.",
    "We {verb} your {noun} of {date} and {verb} the {adjective} {noun} for {money}.",
    "In {town} the {noun} {adverb} {verb} more than {number} people.",
    "Please send the {adjective} {noun} to {name} {surname} {preposition} the end of {month}.",
    "After the {noun} the {noun} {verb} a {adjective} {noun}, which the {noun} had {adverb} {verb}.",
    "They {verb} {number} of them {preposition} the {noun}, but the {adjective} {noun} was {adverb} there.",
    "The total of {money} for the {noun} was {adverb} paid in {month} {year}.",
    "Nobody {preposition} the {noun} {adverb} {verb} the {noun} that {name} had {verb}.",
    "If the {noun} is {adjective}, the {noun} of {town} must be told before {date}.",
    "Your order {code} for the {adjective} {noun} has been sent to {town}.",
    "When the {noun} was {adjective}, {name} {verb} the {noun} and the {noun}.",
    "Both the {noun} and the {noun} were {adjective} because of the {noun}.",
    "The number of the {noun} is {code}, and that of the {noun} is {number}.",
    "Every {noun} has a {adjective} {noun}, and the {noun} {preposition} it is {adjective}.",
)
_RECORDS: Final = (
    "{name} {surname}",
    "{date}",
    "{surname}, {name}: {number}",
    "{name} {surname}, {number} {town} {street}",
    "Order {code} of {date}",
    "{Adjective} {noun}: {money}",
    "{code} {adjective} {noun} {amount}",
    "{iso_date} {name} {surname} {amount}",
    "{Adjective} {noun} of {town}",
    "Total for {month} {year}: {money}",
    "{month} {amount} {amount} {amount}",
    "{Noun} {preposition} the {noun}",
    "Telephone {telephone}",
    "Page {number} of the {noun}",
)
_OPENING: Final = (
    "{name} {surname} and Company",
    "{number} {town} {street}",
    "{town} {postcode}",
    "Telephone {telephone}",
    "{date}",
    "Our reference: {code}",
    "{name} {surname}",
    "{number} {surname} {street}",
    "{town} {postcode}",
    "Subject: {adjective} {noun} {code}",
    "Dear {name} {surname},",
)
_CLOSING: Final = (
    "Yours sincerely,",
    "{name} {surname}",
    "{Adjective} {noun} of {town}",
    "Copy to: {name} {surname}",
)
_RECEIPT_TOP: Final = (
    "{surname} and {surname}",
    "{number} {town} {street}",
    "Telephone {telephone}",
    "Receipt {code}",
    "{iso_date} {time}",
)
_RECEIPT_END: Final = ("Thank you for your visit", "Please keep this receipt")
_STAMPS: Final = (
    ("RECEIVED {stamp_date}",),
    ("PAID {stamp_date}",),
    ("RECEIVED", "{stamp_date}"),
    ("APPROVED", "{name} {surname}"),
    ("COPY", "Order {code}"),
    ("Checked by {name} {surname}",),
    ("ENTERED {stamp_date}", "Number {code}"),
    ("PAID IN FULL", "{town} {stamp_date}"),
    ("CANCELLED {stamp_date}",),
    ("Archive {code}",),
)


class Writer:
    """Writes texts by a generator of random numbers of its own: the same seed gives the same texts."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        #: What templates can ask for beside the words of the lists.
        self._made: dict[str, Callable[[], str]] = {
            "year": lambda: str(rng.randint(1987, 2029)),
            "number": lambda: str(rng.randint(12, 998)),
            "amount": self._amount,
            "money": lambda: f"{rng.choice(('EUR', 'USD', 'GBP'))} {self._amount()}",
            "postcode": lambda: str(rng.randint(21000, 98999)),
            "telephone": lambda: f"{rng.randint(201, 989)}-{rng.randint(201, 989)}-{rng.randint(2000, 9899)}",
            "code": self._code,
            "date": self._date,
            "stamp_date": lambda: (
                f"{rng.randint(2, 28)} {self._word('month')[:3].upper()} {self._made['year']()}"
            ),
            "iso_date": lambda: f"{rng.randint(2021, 2029)}-{rng.randint(1, 12):02}-{rng.randint(1, 28):02}",
            "time": lambda: f"{rng.randint(8, 19):02}:{rng.randint(2, 59):02}",
        }

    def _word(self, slot: str) -> str:
        """A word of the list of this name; a capital in the name makes one in the word."""
        word = self._rng.choice(_WORDS[slot.lower()])
        return word.capitalize() if slot[0].isupper() else word

    def _amount(self) -> str:
        return f"{round(10 ** self._rng.uniform(0.3, 4.2)) + self._rng.randrange(100) / 100:,.2f}"

    def _code(self) -> str:
        letters = "".join(self._rng.choices("ACDEFHKMNPRTUVWXY", k=2))
        return f"{letters}-{self._rng.randint(2000, 9899)}-{self._rng.randint(20, 99)}"

    def _date(self) -> str:
        day, month, year = self._rng.randint(2, 28), self._word("month"), self._rng.randint(1998, 2029)
        return self._rng.choice((f"{day} {month} {year}", f"{month} {day}, {year}"))

    def _fill(self, template: str) -> str:
        """Put words into the slots of a template."""
        return "".join(
            text + (self._made[slot]() if slot in self._made else self._word(slot) if slot else "")
            for text, slot, _, _ in string.Formatter().parse(template)
        )

    def _fill_all(self, templates: Iterable[str]) -> list[str]:
        return [self._fill(template) for template in templates]

    def paragraph(self) -> str:
        """Write two to six sentences."""
        return " ".join(self._fill(self._rng.choice(_SENTENCES)) for _ in range(self._rng.randint(2, 6)))

    def record(self) -> str:
        """Write a short line: names, dates, amounts, codes, addresses."""
        return self._fill(self._rng.choice(_RECORDS))

    def letter(self) -> tuple[list[str], list[str]]:
        """Write the lines before and after the body of a letter."""
        return self._fill_all(_OPENING), self._fill_all(_CLOSING)

    def receipt(self, items: int) -> tuple[list[str], list[tuple[str, str]], list[str]]:
        """Write heading, rows (item, price) with their total as the last, and ending of a receipt."""
        rows, cents = [], 0
        for _ in range(items):
            price = round(100 * 10 ** self._rng.uniform(0.0, 1.9))
            cents += price
            rows.append((self._fill("{Adjective} {goods}"), f"{price / 100:.2f}"))
        rows.append((self._rng.choice(("Total", "Total EUR", "Amount due")), f"{cents / 100:,.2f}"))
        return self._fill_all(_RECEIPT_TOP), rows, self._fill_all(_RECEIPT_END)

    def stamp(self) -> list[str]:
        """Write one or two lines of a stamp."""
        return self._fill_all(self._rng.choice(_STAMPS))
