"""Tables, formulas, seals, dewarped pages: everything else that PP-StructureV3 finds, in the page's frame."""

import base64
import math
import re
import xml.etree.ElementTree as ET
from typing import Any

import cv2
import numpy as np
import pytest

from consumer.child.ppstructure import results, tables
from consumer.domain.errors import Code
from consumer.domain.result import Status
from tests.markdown import lost
from tests.structure.conftest import NewEngine, NewZoo
from tests.structure.engine import Page, texts, written
from tests.structure.zoo import Box

# PaddleX divides by zero if columns have no width.
pytestmark = pytest.mark.filterwarnings("default:divide by zero:RuntimeWarning")

_ROWS = (("Name", "Price"), ("Apple", "17"), ("Pear", "23"))
_LEFT, _TOP, _CELL_WIDTH, _CELL_HEIGHT = 60, 180, 320, 100
_WIDTH, _HEIGHT = 800, 1000


def with_table() -> tuple[Page, Box]:
    """A ruled table under a line of text, and its block."""
    page = written("Prices of fruit", width=_WIDTH, height=_HEIGHT)
    for row, words in enumerate(_ROWS):
        for column, word in enumerate(words):
            x, y = _LEFT + _CELL_WIDTH * column, _TOP + _CELL_HEIGHT * row
            cv2.rectangle(page, (x, y), (x + _CELL_WIDTH, y + _CELL_HEIGHT), (0, 0, 0), 2)
            cv2.putText(page, word, (x + 60, y + 65), cv2.FONT_HERSHEY_SIMPLEX, 1.4, (0, 0, 0), 3)
    right, bottom = _LEFT + 2 * _CELL_WIDTH, _TOP + 3 * _CELL_HEIGHT
    return page, Box("table", _LEFT / _WIDTH, _TOP / _HEIGHT, right / _WIDTH, bottom / _HEIGHT)


@pytest.mark.parametrize("wired", [True, False])
@pytest.mark.parametrize("degrees", [0, 90])
def test_a_table_has_its_words_in_html_and_its_cells_on_the_page(
    wired: bool, degrees: int, new_zoo: NewZoo, new_engine: NewEngine
) -> None:
    page, block = with_table()
    zoo = new_zoo(Box("text", 0.0, 0.0, 1.0, 0.15), block)
    zoo.tables(3, 2, wired=wired)
    zoo.orientation(degrees)
    config = zoo.pipeline(use_table_recognition=True, use_doc_orientation_classify=True)
    lying = np.ascontiguousarray(np.rot90(page, k=-degrees // 90))
    read = new_engine(config).read_one(lying)

    (table,) = read.page.tables
    rows = re.findall(r"<tr>(.*?)</tr>", table.html)
    found = [re.findall(r"<td[^>]*>\s*(.*?)\s*</td>", row) for row in rows]
    assert found == [list(row) for row in _ROWS]
    wanted = [
        (_LEFT + _CELL_WIDTH * column, _TOP + _CELL_HEIGHT * row, _CELL_WIDTH, _CELL_HEIGHT)
        for row in range(3)
        for column in range(2)
    ]
    upright = [(x, y, x + width, y + height) for x, y, width, height in wanted]
    if degrees:
        upright = [(_HEIGHT - y2, x1, _HEIGHT - y1, x2) for x1, y1, x2, y2 in upright]
    assert np.abs(np.array(sorted(table.cells)) - np.array(sorted(upright))).max() <= 4
    assert [block.label for block in read.page.blocks] == ["text", "table"]
    assert read.page.blocks[1].content == table.html
    assert "<table" in read.page.markdown
    assert sorted(texts(read)) == sorted(["pricesoffruit", *(word.lower() for row in _ROWS for word in row)])


def test_a_line_that_reaches_over_cells_costs_no_page(new_zoo: NewZoo, new_engine: NewEngine) -> None:
    """With its own defaults PaddleX fails on such tables, because of a network that it did not load."""
    page, block = with_table()
    # One line for the whole first row.
    page[_TOP + 10 : _TOP + 90, _LEFT + 10 : _LEFT + 2 * _CELL_WIDTH - 10] = 255
    place = (_LEFT + 50, _TOP + 65)
    cv2.putText(page, "Heading over all cells", place, cv2.FONT_HERSHEY_SIMPLEX, 1.4, (0, 0, 0), 3)
    zoo = new_zoo(block)
    zoo.tables(12, 8)
    read = new_engine(zoo.pipeline(use_table_recognition=True)).read_one(page)
    (table,) = read.page.tables
    assert "headingoverallcells" in texts(read)
    assert "Heading" not in table.html
    assert lost(read) == []


def test_signs_of_html_in_a_table_are_text(new_zoo: NewZoo, new_engine: NewEngine) -> None:
    page, block = with_table()
    page[_TOP + _CELL_HEIGHT + 5 : _TOP + 2 * _CELL_HEIGHT - 5, _LEFT + 5 : _LEFT + _CELL_WIDTH - 5] = 255
    place = (_LEFT + 40, _TOP + _CELL_HEIGHT + 65)
    cv2.putText(page, "Ham & <eggs>", place, cv2.FONT_HERSHEY_SIMPLEX, 1.1, (0, 0, 0), 3)
    zoo = new_zoo(block)
    zoo.tables(3, 2)
    read = new_engine(zoo.pipeline(use_table_recognition=True)).read_one(page)
    (table,) = read.page.tables
    said = [cell.text or "" for cell in ET.fromstring(table.html).iter("td")]
    assert said[2].replace(" ", "") == "Ham&<eggs>"
    assert read.page.blocks[0].content == table.html
    assert read.page.markdown.count("eggs") == 1


def test_a_table_that_cannot_be_read_costs_its_page_the_tables_alone(
    new_zoo: NewZoo, new_engine: NewEngine
) -> None:
    """PaddleX fails on a table that has cells for one network and none for the other."""
    page, block = with_table()
    zoo = new_zoo(Box("text", 0.0, 0.0, 1.0, 0.15), block)
    zoo.tables(3, 2)
    engine = new_engine(zoo.pipeline(use_table_recognition=True), batch_pages=2)
    # In a dark table the zoo finds no structure.
    dark = page.copy()
    inside = slice(_TOP, _TOP + 3 * _CELL_HEIGHT), slice(_LEFT, _LEFT + 2 * _CELL_WIDTH)
    dark[inside] = 255 - dark[inside]
    good, bad = engine.read(page, dark)
    assert len(good.page.tables) == 1
    assert good.warnings == ()
    assert bad.page.status is Status.SUCCESS
    assert bad.page.tables == ()
    (warning,) = bad.warnings
    assert (warning.code, warning.page_number) == (Code.ENGINE_ERROR, 2)
    assert "tables of the page could not be read and were left out" in warning.message
    words = [word.lower() for row in _ROWS for word in row]
    assert sorted(texts(bad)) == sorted(["pricesoffruit", *words])
    assert [word for word in words if word not in bad.page.markdown.lower()] == []
    assert "<" not in bad.page.markdown


@pytest.mark.parametrize(
    "error",
    [MemoryError(), RuntimeError("Out of memory error on GPU 0."), RuntimeError("CUDA error(700), unknown.")],
)
def test_an_error_after_which_nothing_works_is_not_one_of_a_table(error: Exception) -> None:
    def fails(_image: Any, **_: Any) -> Any:
        raise error

    with pytest.raises(type(error)):
        tables.or_no_tables(fails)(None, overall_ocr_res={"rec_texts": []})


def test_a_block_has_the_html_of_its_own_table_also_after_one_that_was_dropped(
    new_zoo: NewZoo, new_engine: NewEngine
) -> None:
    """PaddleX drops a block within another, and counts the tables on as if it had not."""
    page, block = with_table()
    cv2.putText(page, "Small", (100, 700), cv2.FONT_HERSHEY_SIMPLEX, 1.4, (0, 0, 0), 3)
    inner, outer = Box("table", 0.02, 0.65, 0.4, 0.72, 0.95), Box("text", 0.15, 0.6, 0.95, 0.9)
    zoo = new_zoo(inner, outer, block)
    zoo.tables(3, 2)
    read = new_engine(zoo.pipeline(use_table_recognition=True)).read_one(page)
    (found,) = [each for each in read.page.blocks if each.label == "table"]
    assert "Apple" in found.content
    assert "Apple" in read.page.markdown
    assert sorted("Apple" in table.html for table in read.page.tables) == [False, True]


def test_a_formula_is_latex_in_its_place_and_no_line_of_text(new_zoo: NewZoo, new_engine: NewEngine) -> None:
    page = written("The area is", "XXXXXX", "of a square")
    zoo = new_zoo(
        Box("text", 0.0, 0.0, 1.0, 0.2), Box("formula", 0.05, 0.22, 0.5, 0.38), Box("text", 0, 0.4, 1, 0.6)
    )
    zoo.formula("x ^ { 2 }")
    engine = new_engine(zoo.pipeline(use_formula_recognition=True), batch_pages=2)
    before = page.copy()
    for read in engine.read(page, page):
        (formula,) = read.page.formulas
        assert formula.latex == "x^{2}"
        assert np.abs(np.array(formula.box) - np.array((32, 106, 320, 182))).max() <= 2
        assert texts(read) == ["theareais", "ofasquare"]
        assert "x^{2}" in read.page.markdown
    # It paints on what it is given.
    assert (page == before).all()


def test_lettering_of_a_seal_is_mapped_from_its_crop_and_not_doubled(
    new_zoo: NewZoo, new_engine: NewEngine
) -> None:
    page = written("Signed and sealed", width=_WIDTH, height=_HEIGHT)
    cv2.putText(page, "Approved", (330, 700), cv2.FONT_HERSHEY_SIMPLEX, 1.4, (0, 0, 180), 3)
    zoo = new_zoo(Box("text", 0.0, 0.0, 1.0, 0.15), Box("seal", 0.375, 0.6, 0.75, 0.8))
    # The crop is 300 x 200 pixels at (300, 600); the lettering lies in the middle of it.
    zoo.seal((0.07, 0.3, 0.85, 0.6))
    read = new_engine(zoo.pipeline(use_seal_recognition=True)).read_one(page)
    assert texts(read)[0] == "signedandsealed"
    (seal,) = read.detections[1:]
    assert "pprove" in seal.text
    xs, ys = zip(*seal.box, strict=True)
    assert min(xs) == pytest.approx(321, abs=25)
    assert max(xs) == pytest.approx(555, abs=25)
    assert min(ys) == pytest.approx(660, abs=25)
    assert max(ys) == pytest.approx(720, abs=25)
    # The text begins at its left.
    assert seal.box[0][0] < seal.box[1][0]


def test_a_dewarped_page_comes_with_the_image_of_its_boxes(new_zoo: NewZoo, new_engine: NewEngine) -> None:
    page = written("Harbour report")
    zoo = new_zoo()
    plain = new_engine(zoo.pipeline()).read_one(page)
    assert plain.page.flattened_image is None
    zoo.unwarping(40)
    flat = new_engine(zoo.pipeline(use_doc_unwarping=True)).read_one(page)
    assert flat.page.flattened_image is not None
    head, _, data = flat.page.flattened_image.partition(",")
    image = cv2.imdecode(np.frombuffer(base64.b64decode(data), np.uint8), cv2.IMREAD_COLOR)
    assert image is not None
    assert head == "data:image/jpeg;base64"
    assert image.shape[:2] == (flat.page.height_px, flat.page.width_px) == page.shape[:2]
    for there, here in zip(plain.detections[0].box, flat.detections[0].box, strict=True):
        assert (here[0] - there[0], here[1] - there[1]) == pytest.approx((40, 0), abs=3)
    ink = np.argwhere(image[:, :, 0] < 128)
    assert ink[:, 1].min() == pytest.approx(flat.detections[0].box[0][0], abs=15)


def test_columns_are_read_one_after_the_other(new_zoo: NewZoo, new_engine: NewEngine) -> None:
    page = written("Left one", "Left two", width=900)
    for n, line in enumerate(("Right one", "Right two")):
        cv2.putText(page, line, (520, 80 + 80 * n), cv2.FONT_HERSHEY_SIMPLEX, 1.4, (0, 0, 0), 3)
    zoo = new_zoo(Box("text", 0.52, 0.02, 1.0, 0.4), Box("text", 0.02, 0.02, 0.5, 0.4))
    zoo.regions((0.0, 0.0, 0.5, 1.0), (0.5, 0.0, 1.0, 1.0))
    read = new_engine(zoo.pipeline(use_region_detection=True)).read_one(page)
    assert texts(read) == ["leftone", "lefttwo", "rightone", "righttwo"]


def seal(*texts: str, score: float = 0.9) -> dict[str, Any]:
    """A result of PaddleX: two lines in a box that it takes for a seal, and the texts that it read in it."""
    box = [[0, 0], [100, 0], [100, 20], [0, 20]]
    line = {"rec_polys": [box, box], "dt_polys": [box, box]}
    return {
        "layout_det_res": {"boxes": [{"label": "seal", "coordinate": [0, 0, 600, 400]}]},
        "overall_ocr_res": line | {"rec_texts": ["Invoice", "Signed"], "rec_scores": [score, 0.9]},
        "seal_res_list": [line | {"rec_texts": list(texts), "rec_scores": [0.9] * len(texts)}],
        "parsing_res_list": [],
    }


def test_lines_in_a_seal_stay_if_nothing_was_read_of_the_seal() -> None:
    def said(result: dict[str, Any]) -> list[str]:
        return [line.text for line in results.page_text(result).lines]

    assert said(seal()) == said(seal(" ", "")) == ["Invoice", "Signed"]
    assert said(seal("ACME")) == ["ACME"]


def test_a_score_that_is_no_number_costs_its_line_only_the_confidence() -> None:
    scores = [line.confidence for line in results.page_text(seal(score=math.nan)).lines]
    assert scores == [0.0, 0.9]
