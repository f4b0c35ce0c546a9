"""How well tables are read: tree-edit-distance similarity to tables whose cells are known.

    make bench/tables
    make bench/tables TABLES="--corpus FOLDER"      # PDFs, and beside each NAME.pdf its truth in NAME-str.xml
    make bench/tables TABLES="--made 8 --only fast full"

The pages are drawn at 144 dpi. A table is compared to the one that overlaps it most of those that were found
on its page, and scores 0 if there is none. TEDS is that of Zhong, ShafieiBavani and Jimeno Yepes (2019), as
docling-metrics-table computes it; it is of the cells and their spans alone, or of their texts as well. Heads
of tables count as cells like others, and so do empty places of the grid.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import mean

from bench.installed import NotRunError, python_of
from bench.tables.contenders import CONTENDERS, Reading
from bench.tables.made import made
from bench.tables.pages import Page, Table, of_corpus
from consumer.domain.geometry import Rect

_LOCK = Path(__file__).with_name("environments") / "teds.txt"
_TEDS = Path(__file__).parent / "programs" / "teds.py"

_HEAD = """\
| | tables found | TEDS | structure alone | processor s a page |
|---|---:|---:|---:|---:|"""


def main() -> int:
    """Measure once; returns the exit status: 0 if anything could be measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--made", type=int, default=16, help="pages made here; default: %(default)s")
    parser.add_argument("--corpus", type=Path, help="a folder whose pages are read instead")
    parser.add_argument("--only", nargs="+", default=[""], help="parts of names of those that read")
    parser.add_argument("--each", action="store_true", help="the scores of every table as well")
    arguments = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory(prefix="bucket-ocr-bench-") as folder:
        corpus, drawn = arguments.corpus, Path(folder)
        pages = of_corpus(corpus, drawn) if corpus else made(arguments.made, drawn)
        for contender in CONTENDERS:
            if any(part in contender.name for part in arguments.only):
                try:
                    readings = contender.read(pages)
                except NotRunError as error:
                    print(f"{contender.name}: not run: {error}", file=sys.stderr)
                else:
                    rows.append(_row(contender.name, pages, readings, each=arguments.each))
                    print(rows[-1], file=sys.stderr)
    print(f"{sum(len(page.tables) for page in pages)} tables on {len(pages)} pages.\n\n{_HEAD}")
    print("\n".join(rows))
    return 0 if rows else 1


def _row(name: str, pages: Sequence[Page], readings: Sequence[Reading], *, each: bool) -> str:
    """Score what one of them read."""
    pairs = [
        (page.name, table.html, best_match(table, reading.tables))
        for page, reading in zip(pages, readings, strict=True)
        for table in page.tables
    ]
    found = [(truth, read) for _, truth, read in pairs if read is not None]
    scored = iter(_scores(found))
    scores = [(0.0, 0.0) if read is None else next(scored) for *_, read in pairs]
    if each:
        for (page_name, *_), (content, structure) in zip(pairs, scores, strict=True):
            print(f"{name}\t{page_name}\t{content:.3f}\t{structure:.3f}", file=sys.stderr)
    content, structure = (mean(values) for values in zip(*scores, strict=True))
    seconds = mean(reading.seconds for reading in readings)
    return f"| {name} | {len(found)} of {len(pairs)} | {content:.3f} | {structure:.3f} | {seconds:.2f} |"


def best_match(table: Table, found: Iterable[Table]) -> str | None:
    """Return the HTML of the table that overlaps this one most; None if none does."""
    overlaps = [(_overlap(table.box, each.box), each.html) for each in found]
    overlap, html = max(overlaps, default=(0.0, ""))
    return html if overlap > 0 else None


def _overlap(one: Rect, other: Rect) -> float:
    """Intersection over union, 0 to 1."""
    common = _area(Rect(*map(max, one[:2], other[:2]), *map(min, one[2:], other[2:])))
    return common / max(_area(one) + _area(other) - common, 1.0)


def _area(rect: Rect) -> float:
    return max(rect.x2 - rect.x1, 0.0) * max(rect.y2 - rect.y1, 0.0)


def _scores(pairs: Sequence[tuple[str, str]]) -> list[tuple[float, float]]:
    """TEDS of pairs of truth and reading, and TEDS of their structure."""
    scored = subprocess.run(
        [python_of(_LOCK), _TEDS], input=json.dumps(pairs), capture_output=True, text=True, check=True
    )
    return [(content, structure) for content, structure in json.loads(scored.stdout)]


if __name__ == "__main__":
    sys.exit(main())
