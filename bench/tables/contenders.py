"""What finds the tables of pages: our engines in their settings, and PyMuPDF."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pymupdf

from bench.installed import ROOT, NotRunError
from bench.tables import markup
from bench.tables.markup import Cell
from bench.tables.pages import Page, Table
from consumer.domain.geometry import Rect

_OURS = Path(sys.executable)
_STRUCTURE = ROOT / "tests" / "structure" / ".venv" / "bin" / "python"

#: Edges of cells that are nearer to each other are one.
_SAME_EDGE_PT = 2.0

Line = tuple[Sequence[Sequence[int]], str]


@dataclass(frozen=True, slots=True)
class Reading:
    """What was found on a page: tables, and lines of text with their corners, in pixels.

    `seconds`: of processor time.
    """

    seconds: float
    tables: Sequence[Table]
    lines: Sequence[Line] = ()


@dataclass(frozen=True, slots=True)
class Contender:
    """One of those that are compared; `read` raises NotRunError."""

    name: str
    read: Callable[[Sequence[Page]], list[Reading]]


def _engine(pages: Sequence[Page], python: Path, *arguments: str, **settings: str) -> list[Reading]:
    """Read pages with an engine of ours. `settings`: those of the consumer, without their prefix."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("BUCKET_OCR_")}
    environment |= {f"BUCKET_OCR_{name}": value for name, value in settings.items()}
    ended = subprocess.run(
        [python, "-m", "bench.tables.programs.engine", *arguments],
        cwd=ROOT,
        env=environment | {"PYTHONPATH": str(ROOT)},
        input="\n".join(page.image.model_dump_json() for page in pages),
        capture_output=True,
        text=True,
        check=False,
    )
    if ended.returncode:
        raise NotRunError((ended.stderr.strip().splitlines() or ["no reason"])[-1])
    answers = [json.loads(line) for line in ended.stdout.splitlines()]
    return [
        Reading(
            answer["seconds"],
            [Table(Rect(*box), _of_one_form(html)) for *box, html in answer["tables"]],
            answer["lines"],
        )
        for answer in answers
    ]


def _of_one_form(html: str) -> str:
    return markup.written(markup.parsed(html))


def _rapidocr(**settings: str) -> Callable[[Sequence[Page]], list[Reading]]:
    return lambda pages: _engine(pages, _OURS, "rapidocr", **settings)


def _ppstructure(pages: Sequence[Page]) -> list[Reading]:
    return _engine(pages, _STRUCTURE, "pp-structurev3", "--real-zoo")


def _pymupdf(pages: Sequence[Page]) -> list[Reading]:
    """`find_tables` on a PDF of nothing but the image."""
    return [_found(page, (), "lines") for page in pages]


def _pymupdf_with_lines(pages: Sequence[Page]) -> list[Reading]:
    """The same with our lines as invisible text, by which rows and columns are told."""
    read = zip(pages, _engine(pages, _OURS, "rapidocr", LAYOUT="none"), strict=True)
    found = [(_found(page, reading.lines, "text"), reading.seconds) for page, reading in read]
    return [replace(reading, seconds=reading.seconds + seconds) for reading, seconds in found]


def _found(page: Page, lines: Sequence[Line], strategy: str) -> Reading:
    image, scale = page.image, page.image.scale
    rows = np.fromfile(image.path, np.uint8).reshape(image.height_px, image.width_px, 3)
    pixels = pymupdf.Pixmap(
        pymupdf.csRGB, image.width_px, image.height_px, np.ascontiguousarray(rows[:, :, ::-1]).tobytes(), 0
    )
    with pymupdf.open() as document:
        sheet = document.new_page(width=image.width_px / scale, height=image.height_px / scale)
        sheet.insert_image(sheet.rect, pixmap=pixels)
        for corners, text in lines:
            _write(sheet, np.array(corners) / scale, text)
        began = time.process_time()
        tables = on_pdf(sheet, strategy, scale)
        return Reading(time.process_time() - began, tables)


def on_pdf(sheet: pymupdf.Page, strategy: str, scale: float) -> list[Table]:
    """Give the tables that PyMuPDF finds on a page. `scale`: pixels per point."""
    return [_table(table, scale) for table in sheet.find_tables(strategy=strategy).tables]


def _write(sheet: pymupdf.Page, corners_pt: Any, text: str) -> None:
    """Write a line as invisible text as long as it is on the page."""
    left, bottom = float(corners_pt[:, 0].min()), float(corners_pt[:, 1].max())
    length_pt = pymupdf.get_text_length(text, fontname="helv", fontsize=1)
    size_pt = float(np.ptp(corners_pt[:, 0])) / max(length_pt, 0.1)
    if size_pt > 0:
        sheet.insert_text(
            (left, bottom - size_pt / 4), text, fontname="helv", fontsize=size_pt, render_mode=3
        )


def _table(table: Any, scale: float) -> Table:
    """A table of PyMuPDF, whose cells are boxes in points: their edges are rows and columns."""
    texts = {
        box: text
        for row, said in zip(table.rows, table.extract(), strict=True)
        for box, text in zip(row.cells, said, strict=True)
        if box is not None
    }
    columns, rows = (_edges(side for box in texts for side in box[axis::2]) for axis in (0, 1))
    cells = []
    for box, text in texts.items():
        left, top, right, bottom = (
            _place(edges, side) for edges, side in zip((columns, rows) * 2, box, strict=True)
        )
        if left < right and top < bottom:
            cells.append(Cell(top, left, bottom - top, right - left, text or ""))
    return Table(Rect(*(scale * side for side in table.bbox)), markup.written(cells))


def _edges(sides: Iterable[float]) -> list[float]:
    """Coordinates that are apart."""
    edges: list[float] = []
    for side in sorted(sides):
        if not edges or side - edges[-1] > _SAME_EDGE_PT:
            edges.append(side)
    return edges


def _place(edges: Sequence[float], side: float) -> int:
    return min(range(len(edges)), key=lambda n: abs(edges[n] - side))


CONTENDERS: Sequence[Contender] = (
    Contender("bucket-ocr, LAYOUT=fast", _rapidocr(LAYOUT="fast")),
    Contender("bucket-ocr, LAYOUT=full", _rapidocr(LAYOUT="full")),
    Contender("PP-StructureV3, stand-ins for most of its networks", _ppstructure),
    Contender("PyMuPDF, image alone", _pymupdf),
    Contender("PyMuPDF, our lines as invisible text", _pymupdf_with_lines),
)
