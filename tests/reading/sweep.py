"""The pages of the sweep: ordinary pages of known text, some of them turned, and some with a stamp.

    python -m tests.reading.sweep FOLDER [--sample]

writes each page as a grey PNG, and `truth.json`: the lines of each page by its file, those of a stamp last.
"""

import argparse
import json
import random
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Final, get_args

from PIL import Image

from tests.reading.sheets import Family, Layout, Place, Sheet, Stamp, State, Style, Turn, draw, typeset

_SIZES_PT: Final = (7.0, 8.0, 9.0, 9.5, 10.0, 11.0, 12.0, 13.0, 14.0)
_LINES: Final = (1, 2, 4, 7, 12, 20, 30, 45, 60)
_STYLES: Final[tuple[Style, ...]] = (
    *("regular", "bold", "regular", "italic", "regular", "regular", "bold", "regular", "bold italic"),
)
#: PDFs are rendered at 144, scans have 150 to 200.
_DPI: Final[dict[State, tuple[int, int, int]]] = {
    "clean": (144, 144, 200),
    "grey": (144, 150, 200),
    "speckled": (144, 150, 200),
    "skewed": (144, 150, 200),
}
_STAMPS: Final[tuple[tuple[Turn, Place], ...]] = (
    *((180, "corner"), (90, "left"), (270, "right"), (180, "corner")),
    *((90, "right"), (270, "left"), (90, "corner"), (270, "corner")),
)
_TURNED: Final = 100
_STAMPED: Final = 50


def upright() -> list[Sheet]:
    """432 pages: every layout in every state and family, nine times, of all sizes and numbers of lines."""
    sheets: list[Sheet] = []
    cells = product(get_args(Layout), get_args(State), get_args(Family))
    for cell, (layout, state, family) in enumerate(cells):
        for variant, lines in enumerate(_LINES):
            # Steps without a common factor with nine: all sizes come with all numbers of lines.
            size_pt = _SIZES_PT[(2 * variant + 5 * cell) % 9]
            sheet = Sheet(
                name=f"{len(sheets):03}-{layout}-{state}-{family}-{size_pt:g}pt-{lines}",
                layout=layout,
                state=state,
                family=family,
                style=_STYLES[(4 * variant + cell) % 9],
                size_pt=size_pt,
                lines=lines,
                paper="letter" if (variant + cell) % 2 else "a4",
                dpi=_DPI[state][(variant + cell) % 3],
            )
            sheets.append(sheet)
    return sheets


def turned() -> list[Sheet]:
    """The three other turns of 100 of these pages."""
    sheets = upright()
    return [
        replace(sheet, name=f"{sheet.name}-turned{turn}", turn=turn)
        for sheet in (sheets[n * len(sheets) // _TURNED] for n in range(_TURNED))
        for turn in get_args(Turn)[1:]
    ]


def stamped() -> list[Sheet]:
    """50 pages with a stamp against their direction."""
    sheets = []
    for number in range(_STAMPED):
        turn, place = _STAMPS[number % len(_STAMPS)]
        rng = random.Random(number)
        state, family = rng.choice(get_args(State)), rng.choice(get_args(Family))
        size_pt, lines = rng.choice(_SIZES_PT), rng.randint(8, 45)
        sheet = Sheet(
            name=f"{number:03}-stamp{turn}-{place}-{state}-{family}-{size_pt:g}pt-{lines}",
            layout=rng.choice(("full", "ragged")),
            state=state,
            family=family,
            style=rng.choice(_STYLES),
            size_pt=size_pt,
            lines=lines,
            paper=rng.choice(("a4", "letter")),
            dpi=rng.choice(_DPI[state]),
            stamp=Stamp(turn, place, framed=rng.random() < 0.6),
        )
        sheets.append(sheet)
    return sheets


def sweep() -> list[Sheet]:
    """All pages."""
    return upright() + turned() + stamped()


def sample() -> list[Sheet]:
    """40 pages, of all kinds: steps without a common factor with the numbers of variants."""
    return upright()[1::17][:25] + turned()[14::31][:9] + stamped()[::7][:6]


def main() -> None:
    """Write pages and truth into a folder."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--sample", action="store_true", help="only the 40 pages of `make test`")
    args = parser.parse_args()
    args.folder.mkdir(parents=True, exist_ok=True)
    truth = {}
    for sheet in sample() if args.sample else sweep():
        text = typeset(sheet)
        Image.fromarray(draw(text.document[0], sheet)).save(args.folder / f"{sheet.name}.png")
        truth[f"{sheet.name}.png"] = text.lines + text.stamp
    (args.folder / "truth.json").write_text(json.dumps(truth, indent=1))


if __name__ == "__main__":
    main()
