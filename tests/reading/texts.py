"""Invented texts of the sweep: prose, letters, records and receipts, of ordinary English words.

All take a `random.Random`, so the same seed gives the same text. Left out is what nobody can tell from its shape
alone: O beside 0, I beside l and 1, apostrophes, quotation marks, dashes of several lengths.
"""

import random
import string
from collections.abc import Callable, Iterator

NOUNS = """account agreement answer apartment article autumn balance basket board bottle branch bridge brother budget
building bureau business cabinet calendar camera captain carpet carriage castle ceiling century chapter charge chimney
church circle citizen clerk climate coast college column committee company contract corner council counter country
course court cousin customer damage danger daughter debate decision delivery department design desk director discount
district doctor document drawer driver edition effort election engine entrance evening evidence example exchange
exhibit expense factory farmer feature fence festival figure forest fortune foundation fountain furniture garage garden
gardener gate government guest habit harbour harvest history holiday hospital hotel household hundred industry insurance
invoice island journal journey judge kettle kitchen ladder landlord language lawyer leather lecture letter library
licence lumber machine magazine manager margin market master material meadow measure meeting member merchant message
method minister minute mirror morning mountain museum neighbour newspaper number office officer orchard order package
painter paper parcel passenger pattern payment pencil people permit picture pipe plan plumber pocket policy population
postman premium present price printer problem product profit project property purchase quality quarter question railway
reason receipt record region register report request reserve result river roof salary sample schedule school season
secretary section sentence service shelter shipment signature soldier solution station statement store storm stranger
street student subject summer supper supplier surface survey system table tailor teacher telephone tenant theatre
thousand ticket timber title traffic treasurer treaty tunnel uncle university valley vehicle village visitor voyage
waiter warehouse weather weekend widow window winter witness worker workshop yard""".split()
ADJECTIVES = """annual ancient blue bright broad broken busy careful central certain cheap clean clear cold common complete
correct curious daily damaged deep different distant early eastern empty entire exact famous final foreign former
fresh front full general gentle golden green handsome heavy honest large late legal little local long lower main
modern monthly narrow native northern official old open ordinary original other plain pleasant polite poor present
previous private proper public quick quiet ready recent regular remote rich round rural second separate serious short
simple single small smooth solid southern special spare strange strong sudden third tired upper urgent useful usual
valuable warm weekly western whole wide wooden yellow young""".split()
VERBS = """accepted admired answered approved arranged borrowed bought brought carried changed checked chose cleaned closed
collected copied counted covered delivered described discussed drew entered examined expected explained finished followed
forgot found gathered gave handed improved inspected kept left lost measured mentioned moved needed noticed offered
opened ordered packed painted passed placed planned prepared promised proposed protected received recorded refused
remembered removed rented repaired replaced reported returned reviewed saved sent served signed sold sorted studied
suggested thanked took used visited wanted watched welcomed wrote""".split()
ADVERBS = """again already always carefully certainly clearly early easily gladly hardly later nearly never often once
perhaps quickly quietly rarely really seldom slowly sometimes soon suddenly together twice usually yesterday""".split()
PREPOSITIONS = "about above across after against along among around before behind below beside between near under with".split()
NAMES = """Adam Agnes Albert Alice Amelia Anders Andrew Anna Arthur Barbara Beatrice Bernard Bruno Caroline Cecilia Charles
Clara Conrad Daniel Daphne David Dorothy Edgar Edith Edward Elena Emma Ernest Esther Felix Florence Frank George Grace
Greta Hannah Harold Helen Henry Herbert Hugo Jacob Jane Johanna Joseph Julia Karen Laura Leonard Lucy Magnus Margaret
Martin Matilda Maurice Monica Nathan Nora Oscar Patricia Paul Peter Philip Rachel Ralph Robert Rosa Ruth Samuel Sarah
Simon Stella Thomas Ursula Vera Victor Walter""".split()
SURNAMES = """Abbot Archer Baker Barlow Becker Bishop Bradley Brewer Carter Chapman Cooper Crawford Dalton Draper Farrow
Fisher Foster Gardner Goodwin Granger Hammond Harper Hartman Hayward Hobbs Holden Hunter Jensen Kendall Keller Lambert
Lindgren Marlow Mercer Morgan Murray Norton Osborne Palmer Parker Pearson Potter Preston Ramsey Reeves Richter Sawyer
Sheldon Spencer Stanton Summers Sutton Thatcher Thornton Turner Tyler Vaughan Wagner Walker Warner Weaver Webster
Whitman Winter Woodward""".split()
TOWNS = """Ashford Barnwell Bexhaven Brookfield Carlow Dunmore Eastbridge Fairview Granton Greenfield Hartwell Kingsbury
Lakeside Marston Newbridge Northgate Oakham Penrose Queensbury Redford Rosedale Southport Stanmore Thornbury Upton
Waterford Westbrook Weybridge Whitby Woodhaven""".split()
STREETS = "Street Road Avenue Square Terrace Garden Market Court".split()
GOODS = """almonds apples apricots bacon bananas barley beans biscuits bread broccoli butter cabbage candles carrots celery
cheese cherries chocolate cinnamon coffee crackers cream cucumber eggs envelopes flour garlic ginger grapes ham honey
juice lemons lettuce matches milk mushrooms mustard napkins noodles oats onions oranges paper parsley pasta peaches peas
pencils pepper plums pork potatoes pumpkin raisins rice salad salmon salt sausage soap spinach stamps sugar syrup tea
tomatoes towels tuna turkey vinegar walnuts water yeast yogurt""".split()
MONTHS = """January February March April May June July August September October November December""".split()

_SENTENCES = (
    "The {a} {n} {v} the {n} {p} the {a} {n}.",
    "{N} {S} {v} the {n} {p} the {n}, and the {n} {v} it {r}.",
    "On {d} the {n} {v} {k} of the {a} {n}.",
    "We {v} your {n} of {d} and {v} the {a} {n} for {m}.",
    "In {T} the {n} {r} {v} more than {k} people.",
    "Please send the {a} {n} to {N} {S} {p} the end of {M}.",
    "After the {n} the {n} {v} a {a} {n}, which the {n} had {r} {v}.",
    "They {v} {k} of them {p} the {n}, but the {a} {n} was {r} there.",
    "The total of {m} for the {n} was {r} paid in {M} {y}.",
    "Nobody {p} the {n} {r} {v} the {n} that {N} had {v}.",
    "If the {n} is {a}, the {n} of {T} must be told before {d}.",
    "Your order {c} for the {a} {n} has been sent to {T}.",
    "When the {n} was {a}, {N} {v} the {n} and the {n}.",
    "Both the {n} and the {n} were {a} because of the {n}.",
    "The number of the {n} is {c}, and that of the {n} is {k}.",
    "Every {n} has a {a} {n}, and the {n} {p} it is {a}.",
)
_RECORDS = (
    "{N} {S}",
    "{d}",
    "{S}, {N}: {k}",
    "{N} {S}, {k} {T} {t}",
    "Order {c} of {d}",
    "{A} {n}: {m}",
    "{c} {a} {n} {x}",
    "{e} {N} {S} {x}",
    "{A} {n} of {T}",
    "Total for {M} {y}: {m}",
    "{M} {x} {x} {x}",
    "{B} {p} the {n}",
    "Telephone {h}",
    "Page {k} of the {n}",
)
_OPENING = (
    "{N} {S} and Company",
    "{k} {T} {t}",
    "{T} {z}",
    "Telephone {h}",
    "{d}",
    "Our reference: {c}",
    "{N} {S}",
    "{k} {S} {t}",
    "{T} {z}",
    "Subject: {a} {n} {c}",
    "Dear {N} {S},",
)
_CLOSING = ("Yours sincerely,", "{N} {S}", "{A} {n} of {T}", "Copy to: {N} {S}")
_RECEIPT_TOP = ("{S} and {S}", "{k} {T} {t}", "Telephone {h}", "Receipt {c}", "{e} {w}")
_RECEIPT_END = ("Thank you for your visit", "Please keep this receipt")
STAMPS = (
    ("RECEIVED {D}",),
    ("PAID {D}",),
    ("RECEIVED", "{D}"),
    ("APPROVED", "{N} {S}"),
    ("COPY", "Order {c}"),
    ("Checked by {N} {S}",),
    ("ENTERED {D}", "Number {c}"),
    ("PAID IN FULL", "{T} {D}"),
    ("CANCELLED {D}",),
    ("Archive {c}",),
)


class Writer:
    """Writes texts by a generator of random numbers of its own."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        pick = rng.choice
        self._slots: dict[str, Callable[[], str]] = {
            "n": lambda: pick(NOUNS),
            "a": lambda: pick(ADJECTIVES),
            "A": lambda: pick(ADJECTIVES).capitalize(),
            "B": lambda: pick(NOUNS).capitalize(),
            "v": lambda: pick(VERBS),
            "r": lambda: pick(ADVERBS),
            "p": lambda: pick(PREPOSITIONS),
            "N": lambda: pick(NAMES),
            "S": lambda: pick(SURNAMES),
            "T": lambda: pick(TOWNS),
            "t": lambda: pick(STREETS),
            "M": lambda: pick(MONTHS),
            "y": lambda: str(rng.randint(1987, 2029)),
            "k": lambda: str(rng.randint(12, 998)),
            "x": lambda: self._amount(),
            "m": lambda: f"{pick(('EUR', 'USD', 'GBP'))} {self._amount()}",
            "z": lambda: str(rng.randint(21000, 98999)),
            "h": lambda: f"{rng.randint(201, 989)}-{rng.randint(201, 989)}-{rng.randint(2000, 9899)}",
            "c": self._code,
            "d": self._date,
            "D": lambda: f"{rng.randint(2, 28)} {pick(MONTHS)[:3].upper()} {rng.randint(2018, 2029)}",
            "e": lambda: f"{rng.randint(2021, 2029)}-{rng.randint(1, 12):02}-{rng.randint(1, 28):02}",
            "w": lambda: f"{rng.randint(8, 19):02}:{rng.randint(2, 59):02}",
        }

    def _amount(self) -> str:
        return f"{round(10 ** self._rng.uniform(0.3, 4.2)) + self._rng.randrange(100) / 100:,.2f}"

    def _code(self) -> str:
        letters = "".join(self._rng.choices("ACDEFHKMNPRTUVWXY", k=2))
        return f"{letters}-{self._rng.randint(2000, 9899)}-{self._rng.randint(20, 99)}"

    def _date(self) -> str:
        day, month, year = self._rng.randint(2, 28), self._rng.choice(MONTHS), self._rng.randint(1998, 2029)
        return self._rng.choice((f"{day} {month} {year}", f"{month} {day}, {year}"))

    def fill(self, template: str) -> str:
        """Put words into the slots of a template."""
        return "".join(
            text + (self._slots[slot]() if slot else "")
            for text, slot, _, _ in string.Formatter().parse(template)
        )

    def fill_all(self, templates: tuple[str, ...]) -> list[str]:
        """Put words into the slots of each template."""
        return [self.fill(template) for template in templates]

    def paragraph(self) -> str:
        """Write two to six sentences."""
        return " ".join(self.fill(self._rng.choice(_SENTENCES)) for _ in range(self._rng.randint(2, 6)))

    def records(self) -> Iterator[str]:
        """Yield, without end, short lines: names, dates, amounts, codes, addresses."""
        while True:
            yield self.fill(self._rng.choice(_RECORDS))

    def letter(self) -> tuple[list[str], list[str]]:
        """Write the lines before and after the body of a letter."""
        return self.fill_all(_OPENING), self.fill_all(_CLOSING)

    def receipt(self, items: int) -> tuple[list[str], list[tuple[str, str]], list[str]]:
        """Write heading, rows (item, price) with their total as the last, and ending of a receipt."""
        rows, cents = [], 0
        for _ in range(items):
            price = round(100 * 10 ** self._rng.uniform(0.0, 1.9))
            cents += price
            goods = f"{self._rng.choice(ADJECTIVES)} {self._rng.choice(GOODS)}".capitalize()
            rows.append((goods, f"{price / 100:.2f}"))
        rows.append((self._rng.choice(("Total", "Total EUR", "Amount due")), f"{cents / 100:,.2f}"))
        return self.fill_all(_RECEIPT_TOP), rows, self.fill_all(_RECEIPT_END)

    def stamp(self) -> list[str]:
        """Write one or two lines of a stamp."""
        return self.fill_all(self._rng.choice(STAMPS))
