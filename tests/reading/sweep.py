"""The pages of the sweep: ordinary pages of known text, turned ones, and some with a stamp.

    python -m tests.reading.sweep --out FOLDER [--sample N]

writes each page as a grey PNG, and `truth.json`: the lines of each, by file, those of a stamp last.
"""

import argparse
import json
import random
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Final, get_args

from PIL import Image

from tests.reading.sheets import Family, Layout, Sheet, Stamp, State, Style, draw

_SIZES_PT: Final = (7.0, 8.0, 9.0, 9.5, 10.0, 11.0, 12.0, 13.0, 14.0)
_LINES: Final = (1, 2, 4, 7, 12, 20, 30, 45, 60)
_STYLES: Final[tuple[Style, ...]] = (
    *("regular", "bold", "regular", "italic", "regular", "regular", "bold", "regular", "bold italic"),
)
_DPI: Final = {
    "clean": (144, 144, 200),
    "grey": (144, 150, 200),
    "speckled": (144, 150, 200),
    "skewed": (144, 150, 200),
}
_TURNED, _STAMPED = 100, 50


def upright() -> list[Sheet]:
    """432 pages: every layout in every state and family, nine times, of all sizes and numbers of lines."""
    sheets = []
    cells = product(get_args(Layout), get_args(State), get_args(Family))
    for cell, (layout, state, family) in enumerate(cells):
        for variant, lines in enumerate(_LINES):
            # Steps without a common factor with nine: all sizes come with all numbers of lines.
            size_pt = _SIZES_PT[(2 * variant + 5 * cell) % 9]
            # Columns have two lines at least, or they would be none.
            count = max(2, lines) if layout == "columns" else lines
            name = f"{len(sheets):03}-{layout}-{state}-{family}-{size_pt:g}pt-{count}"
            sheet = Sheet(
                name, layout, state, family, _STYLES[(4 * variant + cell) % 9], size_pt, count,
                paper="letter" if (variant + cell) % 2 else "a4",
                dpi=_DPI[state][(variant + cell) % 3],
            )  # fmt: skip
            sheets.append(sheet)
    return sheets


def turned(sheets: list[Sheet]) -> list[Sheet]:
    """The three other turns of 100 of these pages."""
    chosen = [sheets[n * len(sheets) // _TURNED] for n in range(_TURNED)]
    return [
        replace(sheet, name=f"{sheet.name}-turned{turn}", turn=turn)
        for sheet in chosen
        for turn in (90, 180, 270)
    ]


def stamped() -> list[Sheet]:
    """50 pages with a stamp against their direction."""
    sheets = []
    kinds = ((180, "corner"), (90, "left"), (270, "right"), (90, "right"), (270, "left"), (90, "corner"),
             (270, "corner"))  # fmt: skip
    for number in range(_STAMPED):
        turn, place = kinds[number % len(kinds)]
        rng = random.Random(number)
        family = get_args(Family)[number % 3]
        state = ("clean", "grey", "clean", "speckled", "skewed")[number % 5]
        size_pt, lines = rng.choice(_SIZES_PT), rng.randint(8, 40)
        name = f"{number:03}-stamp{turn}-{place}-{state}-{family}-{size_pt:g}pt-{lines}"
        sheet = Sheet(
            name, ("full", "ragged")[number % 2], state, family, rng.choice(_STYLES), size_pt, lines,
            paper="letter" if number % 4 == 3 else "a4", dpi=rng.choice(_DPI[state]),
            stamp=Stamp(turn, place, framed=number % 3 != 1),
        )  # fmt: skip
        sheets.append(sheet)
    return sheets


def sweep() -> list[Sheet]:
    """All pages."""
    plain = upright()
    return plain + turned(plain) + stamped()


def sample() -> list[Sheet]:
    """40 pages of all kinds."""
    plain = upright()
    # Steps without a common factor with the nine variants, the three turns and the seven kinds of stamps.
    return plain[5::17][:25] + turned(plain)[7::31][:9] + stamped()[1::9][:6]


def main() -> None:
    """Write pages and truth into a folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--sample", action="store_true", help="only the 40 pages of `make test`")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    truth = {}
    for sheet in sample() if args.sample else sweep():
        picture = draw(sheet)
        Image.fromarray(picture.pixels).save(args.out / f"{sheet.name}.png", compress_level=6)
        truth[f"{sheet.name}.png"] = picture.lines + picture.stamp
    (args.out / "truth.json").write_text(json.dumps(truth, indent=1))


if __name__ == "__main__":
    main()
