"""The bench of tables: truth, pages, cells in HTML, which table is compared to which."""

from pathlib import Path

import numpy as np
import pymupdf
import pytest

from bench.tables import markup
from bench.tables.__main__ import best_match
from bench.tables.contenders import on_pdf
from bench.tables.made import KINDS, made
from bench.tables.markup import Cell
from bench.tables.pages import Page, Table, of_corpus
from consumer.domain.geometry import Rect

TRUTH = """<document><table id="1"><region id="1" page="2">
<cell start-row="0" start-col="0" end-col="1"><bounding-box x1="50" y1="650" x2="250" y2="700"/>
<content>A &amp; B</content></cell>
<cell start-row="1" start-col="1"><bounding-box x1="150" y1="600" x2="250" y2="650"/><content>two
lines</content></cell></region></table></document>"""


@pytest.mark.parametrize(
    "html",
    [
        (
            "<html><body><table><thead><tr><th colspan='2'>A</th><th rowspan=2>B</th></tr></thead>"
            "<tbody><tr><td>c</td><td><b>d</b> e</td></tr></tbody></table></body></html>"
        ),
        '<table border="1"><tr><td colspan="2">A</td><td rowspan="2">B<tr><td> c<td>d\n e</table>',
        # One that reaches below the last row.
        '<table><tr><td colspan="2">A</td><td rowspan="9">B</td></tr><tr><td>c</td><td>d e</td></tr></table>',
    ],
)
def test_html_of_any_form_has_one_form(html: str) -> None:
    assert markup.written(markup.parsed(html)) == (
        '<table><tr><td colspan="2">A</td><td rowspan="2">B</td></tr><tr><td>c</td><td>d e</td></tr></table>'
    )


def test_a_place_without_a_cell_is_an_empty_cell() -> None:
    html = markup.written([Cell(0, 1, text="a < b"), Cell(1, 0, text="c")])
    assert html == "<table><tr><td></td><td>a &lt; b</td></tr><tr><td>c</td><td></td></tr></table>"
    assert markup.written(markup.parsed(html)) == html


def test_truth_of_a_corpus_is_of_its_page_in_pixels_from_the_top(tmp_path: Path) -> None:
    with pymupdf.open() as document:
        for _ in range(2):
            document.new_page(width=600, height=800)
        document.save(tmp_path / "one.pdf")
    (tmp_path / "one-str.xml").write_text(TRUTH)
    (page,) = of_corpus(tmp_path, tmp_path)
    assert (page.name, page.image.width_px, page.image.height_px) == ("one-2", 1200, 1600)
    (table,) = page.tables
    assert table.box == Rect(100, 200, 500, 400)
    assert table.html == (
        '<table><tr><td colspan="2">A &amp; B</td></tr><tr><td></td><td>two lines</td></tr></table>'
    )


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> list[Page]:
    return made(len(KINDS), tmp_path_factory.mktemp("pages"))


def test_made_tables_are_drawn_where_they_are_said_to_be(pages: list[Page]) -> None:
    for page, kind in zip(pages, KINDS, strict=True):
        shape = page.image.height_px, page.image.width_px, 3
        pixels = np.fromfile(page.image.path, np.uint8).reshape(shape)
        (table,) = page.tables
        left, top, right, bottom = (round(side) for side in table.box)
        ink = pixels[:, :, 0] < 128
        assert ink[top:bottom, left:right].mean() > 0.02
        assert not ink[bottom + 4 : bottom + 20].any()
        cells = markup.parsed(table.html)
        assert 1 + max(cell.row for cell in cells) == kind.rows
        assert any(cell.rows > 1 and cell.columns > 1 for cell in cells) == kind.grouped
        assert all(cell.text for cell in cells)


def test_pymupdf_finds_a_ruled_table_of_a_pdf_with_its_spans(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """This says that its tables are compared fairly: cells by their edges, in pixels."""
    # pymupdf-layout, which another test may have imported, makes PyMuPDF find tables in another way.
    monkeypatch.setattr(pymupdf, "_get_layout", None)
    with pymupdf.open() as document:
        page = document.new_page()
        for box, text in (
            ((100, 100, 300, 130), "Head"),
            ((100, 130, 200, 160), "left"),
            ((200, 130, 300, 160), "right"),
        ):
            page.draw_rect(box)
            page.insert_text((box[0] + 5, box[3] - 8), text)
        (table,) = on_pdf(page, "lines", 2.0)
    assert table.html == (
        '<table><tr><td colspan="2">Head</td></tr><tr><td>left</td><td>right</td></tr></table>'
    )
    assert table.box == pytest.approx((200, 200, 600, 320), abs=2)


def test_a_table_is_compared_to_the_one_that_overlaps_it_most() -> None:
    truth = Table(Rect(0, 0, 100, 100), "truth")
    near, far, none = (
        Table(Rect(10, 10, 110, 110), "near"),
        Table(Rect(90, 90, 300, 300), "far"),
        Table(Rect(200, 200, 300, 300), "none"),
    )
    assert best_match(truth, [far, near, none]) == "near"
    assert best_match(truth, [none]) is None
    assert best_match(truth, []) is None
