"""The documents that are read: made here, with known text, or those of a corpus with transcribed truth."""

import csv
import html
import itertools
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pymupdf
from PIL import Image

from tests.reading.sheets import Layout, Sheet, State, Typeset, draw, typeset
from tests.reading.texts import Writer

#: Resolution of scans.
_DPI = 150


@dataclass(frozen=True, slots=True)
class Document:
    """A file with its number of pages; `truth`: the text that stands on them."""

    path: Path
    pages: int
    truth: str

    @property
    def name(self) -> str:
        """Its name, which no other document has."""
        return self.path.name


def made(folder: Path, pages: int, *, first: int = 0) -> list[Document]:
    """Make documents of so many pages together, at least: the kinds one after the other.

    `first`: the number of the first document; documents of other numbers have other texts.
    """
    documents: list[Document] = []
    while sum(document.pages for document in documents) < pages:
        number = first + len(documents)
        documents.append(KINDS[number % len(KINDS)](folder, number))
    return documents


def _sheet(number: int, layout: Layout, state: State, size_pt: float, lines: int) -> Sheet:
    return Sheet(
        name=f"peers-{number:03}-{layout}",
        layout=layout,
        state=state,
        family=("sans", "serif")[number % 2],
        style="regular",
        size_pt=size_pt,
        lines=lines,
        paper="a4",
        dpi=_DPI,
    )


def _letter(folder: Path, number: int) -> Document:
    """A letter as a PDF with text."""
    return _pdf(folder / f"{number:03}-letter.pdf", [typeset(_sheet(number, "ragged", "clean", 11, 34))])


def _report(folder: Path, number: int) -> Document:
    """A PDF of two pages: full lines, and two columns."""
    full, columns = (_sheet(number, layout, "clean", 10, 44) for layout in ("full", "columns"))
    return _pdf(folder / f"{number:03}-report.pdf", [typeset(full), typeset(columns)])


def _receipt(folder: Path, number: int) -> Document:
    """A photograph of a receipt: grey on grey."""
    sheet = _sheet(number, "receipt", "grey", 9, 30)
    return _scan(folder / f"{number:03}-receipt.png", typeset(sheet), sheet)


def _columns(folder: Path, number: int) -> Document:
    """A scan of two columns, askew."""
    sheet = _sheet(number, "columns", "skewed", 9.5, 42)
    return _scan(folder / f"{number:03}-columns.png", typeset(sheet), sheet)


def _table(folder: Path, number: int) -> Document:
    """A scan of a ruled table."""
    sheet = _sheet(number, "ragged", "grey", 9, 0)
    return _scan(folder / f"{number:03}-table.png", _ruled(sheet), sheet)


def _speckled(folder: Path, number: int) -> Document:
    """A scan of a letter with dust on the glass."""
    sheet = _sheet(number, "ragged", "speckled", 12, 30)
    return _scan(folder / f"{number:03}-scan.png", typeset(sheet), sheet)


KINDS: Sequence[Callable[[Path, int], Document]] = (
    *(_letter, _receipt, _report, _table, _columns, _speckled),
)


def _pdf(path: Path, texts: Sequence[Typeset]) -> Document:
    with pymupdf.open() as document:
        for text in texts:
            document.insert_pdf(text.document)
        document.save(path)
    return Document(path, len(texts), "\n".join(line for text in texts for line in text.lines))


def _scan(path: Path, text: Typeset, sheet: Sheet) -> Document:
    Image.fromarray(draw(text.document[0], sheet)).save(path, dpi=(sheet.dpi, sheet.dpi))
    return Document(path, 1, "\n".join(text.lines))


def _ruled(sheet: Sheet, rows: int = 24) -> Typeset:
    """Set a table of three columns: number, goods, price."""
    _, priced, _ = Writer(sheet.rng("table")).receipt(rows)
    table = [("No", "Goods", "Price"), *((str(n), *row) for n, row in enumerate(priced, 1))]
    edges_pt, top_pt, height_pt = (60.0, 110.0, 400.0, 520.0), 80.0, 20.0
    document = pymupdf.open()
    page = document.new_page()
    for number, cells in enumerate(table):
        y_pt = top_pt + number * height_pt
        for cell, (left_pt, right_pt) in zip(cells, itertools.pairwise(edges_pt), strict=True):
            page.draw_rect((left_pt, y_pt, right_pt, y_pt + height_pt), width=0.7)
            page.insert_text((left_pt + 4, y_pt + 14), cell, fontname="helv", fontsize=sheet.size_pt)
    return Typeset(document, tuple(" ".join(cells) for cells in table), (), pymupdf.Rect())


def of_corpus(folder: Path) -> list[Document]:
    """Give the documents of `folder`/accuracy that `folder`/accuracy.tsv has truth for."""
    files = folder / "accuracy"
    with (folder / "accuracy.tsv").open(encoding="utf-8", newline="") as rows:
        table = list(csv.DictReader(rows, delimiter="\t", quoting=csv.QUOTE_NONE))
    named = [(files / row["image"], files / row["truth"]) for row in table if row["truth"]]
    return [Document(path, _pages(path), _truth(truth)) for path, truth in named if truth.suffix in _READERS]


def _pages(path: Path) -> int:
    with pymupdf.open(path) as document:
        return int(document.page_count)


def _truth(path: Path) -> str:
    return "\n".join(_READERS[path.suffix](path.read_text(encoding="utf-8", errors="replace")))


def _of_hocr(text: str) -> Iterator[str]:
    for word in re.findall(r"<span class=['\"]ocrx_word['\"][^>]*>(.*?)</span>", text, flags=re.DOTALL):
        yield html.unescape(re.sub(r"<[^>]+>", "", word))


def _of_quads(text: str) -> Iterator[str]:
    """Rows of eight coordinates and a text, which may have commas."""
    for row in csv.reader(text.splitlines()):
        if len(row) > 8:
            yield ",".join(row[8:])


_READERS: dict[str, Callable[[str], Iterator[str]]] = {
    ".hocr": _of_hocr,
    ".csv": _of_quads,
    ".txt": lambda text: iter(text.splitlines()),
}
