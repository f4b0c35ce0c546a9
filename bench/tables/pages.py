"""Pages with tables whose cells are known: those of a corpus in the form of ICDAR 2013, or made here."""

import xml.etree.ElementTree as ET
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pymupdf

from bench.tables import markup
from bench.tables.markup import Cell
from consumer.domain.geometry import Rect
from consumer.domain.page import POINTS_PER_INCH, PageImage
from tests.page_images import bgr, stored

_DPI = 144
SCALE = _DPI / POINTS_PER_INCH


@dataclass(frozen=True, slots=True)
class Table:
    """A table: its box in pixels of the page, and its cells as HTML."""

    box: Rect
    html: str


@dataclass(frozen=True, slots=True)
class Page:
    """A page, its image, and the tables that are on it."""

    name: str
    image: PageImage
    tables: Sequence[Table]


def rasterised(name: str, page: pymupdf.Page, tables: Sequence[Table], folder: Path) -> Page:
    """Draw a page of a PDF at 144 dpi."""
    pixels = page.get_pixmap(matrix=pymupdf.Matrix(SCALE, SCALE), alpha=False)
    image = stored(bgr(pixels), folder / f"{name}.bgr", scale=SCALE, dpi=_DPI)
    return Page(name, image, tables)


def of_corpus(corpus: Path, folder: Path) -> list[Page]:
    """Draw the pages with tables of each `NAME.pdf` that has its truth in `NAME-str.xml` beside it."""
    pages = []
    for truth in sorted(corpus.glob("*-str.xml")):
        name = truth.name.removesuffix("-str.xml")
        by_page: dict[int, list[Table]] = {}
        with pymupdf.open(corpus / f"{name}.pdf") as document:
            for number, region in _regions(truth):
                by_page.setdefault(number, []).append(_table(region, document[number - 1]))
            pages += [
                rasterised(f"{name}-{number}", document[number - 1], tables, folder)
                for number, tables in sorted(by_page.items())
            ]
    return pages


def _regions(path: Path) -> Iterator[tuple[int, ET.Element]]:
    """The parts of tables, with the number of the page of each: a table may go on on the next page."""
    for region in ET.parse(path).getroot().iter("region"):
        yield int(region.attrib["page"]), region


def _table(region: ET.Element, page: pymupdf.Page) -> Table:
    cells, boxes = [], []
    for element in region.iter("cell"):
        row, column = int(element.attrib["start-row"]), int(element.attrib["start-col"])
        rows = 1 + int(element.get("end-row", row)) - row
        columns = 1 + int(element.get("end-col", column)) - column
        cells.append(Cell(row, column, rows, columns, element.findtext("content") or ""))
        box = element.find("bounding-box")
        assert box is not None
        boxes.append([float(box.attrib[side]) for side in ("x1", "y1", "x2", "y2")])
    lefts, bottoms, rights, tops = zip(*boxes, strict=True)
    # Points from the lower left corner.
    low, high = (page.rect.height - side for side in (min(bottoms), max(tops)))
    corners = (min(lefts), high, max(rights), low)
    return Table(Rect(*(SCALE * side for side in corners)), markup.written(cells))
