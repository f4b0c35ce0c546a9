"""Textract's blocks of tables: cells with the words of their lines, spans, headers, and boxes."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from consumer.domain.body import chunks
from consumer.domain.result import PageResult, Status, Table
from consumer.outputs import FORMATS
from consumer.outputs.textract import FORMAT
from consumer.service.spool import FileSpool
from tests.outputs.documents import box, head, line, plain_page, rich_page, written

Block = dict[str, Any]
Box = tuple[int, int, int, int]


def blocks_of(page: PageResult, folder: Path) -> dict[str, Block]:
    (body,) = written(FORMATS["textract"], [page], folder).values()
    return {block["Id"]: block for block in json.loads(body)["Blocks"]}


def of_kind(blocks: dict[str, Block], kind: str) -> list[Block]:
    return [block for block in blocks.values() if block["BlockType"] == kind]


def children(blocks: dict[str, Block], block: Block, kind: str = "CHILD") -> list[Block]:
    relations = [each for each in block.get("Relationships", ()) if each["Type"] == kind]
    return [blocks[name] for relation in relations for name in relation["Ids"]]


def pixels(block: Block, page: PageResult) -> Box:
    width, height = page.page.width_px or 0, page.page.height_px or 0
    place = block["Geometry"]["BoundingBox"]
    left, top = place["Left"], place["Top"]
    right, bottom = left + place["Width"], top + place["Height"]
    return round(left * width), round(top * height), round(right * width), round(bottom * height)


def with_table(lines: dict[str, Box], html: str, cells: Sequence[Box]) -> PageResult:
    """A page with a table at (0, 0, 200, 100); several lines may say the same but for stars."""
    plain = plain_page(1)
    table = Table(box=(0, 0, 200, 100), html=html, cells=tuple(cells))
    detections = tuple(line(1, text.strip("*"), box(*corners)) for text, corners in lines.items())
    return plain.model_copy(
        update={"page": plain.page.model_copy(update={"tables": (table,)}), "detections": detections}
    )


HALVES = ((0, 0, 100, 100), (100, 0, 200, 100))


def test_a_cell_has_the_nearest_word_that_says_the_same(tmp_path: Path) -> None:
    page = with_table({"no": (110, 10, 190, 30), "no*": (10, 10, 90, 30)}, "<tr><td>no<td>no", HALVES)
    blocks = blocks_of(page, tmp_path)
    words = [children(blocks, cell) for cell in of_kind(blocks, "CELL")]
    assert [[pixels(word, page) for word in each] for each in words] == [
        [(10, 10, 90, 30)],
        [(110, 10, 190, 30)],
    ]
    assert len(of_kind(blocks, "WORD")) == 2


def test_a_word_is_in_one_cell_alone(tmp_path: Path) -> None:
    page = with_table({"no": (10, 10, 90, 30)}, "<tr><td>no<td>no", HALVES)
    blocks = blocks_of(page, tmp_path)
    words = [word["Id"] for cell in of_kind(blocks, "CELL") for word in children(blocks, cell)]
    assert len(set(words)) == 2
    # The other one is of its cell alone, and at its place.
    assert pixels(blocks[words[1]], page) == HALVES[1]


def test_words_outside_of_a_table_are_in_none_of_its_cells(tmp_path: Path) -> None:
    page = with_table({"no": (10, 300, 90, 320)}, "<tr><td>no", [(0, 0, 200, 100)])
    blocks = blocks_of(page, tmp_path)
    (cell,) = of_kind(blocks, "CELL")
    (word,) = children(blocks, cell)
    assert (word["Text"], pixels(word, page)) == ("no", (0, 0, 200, 100))
    (outside,) = of_kind(blocks, "LINE")
    assert [pixels(each, page) for each in children(blocks, outside)] == [(10, 300, 90, 320)]


def test_a_cell_that_spans_others_is_one_for_each_place_and_a_merged_one(tmp_path: Path) -> None:
    blocks = blocks_of(page := rich_page(1), tmp_path)
    (table,) = of_kind(blocks, "TABLE")
    cells, merged = children(blocks, table), children(blocks, table, "MERGED_CELL")
    places = [(cell["RowIndex"], cell["ColumnIndex"]) for cell in cells]
    assert sorted(places) == [(row, column) for row in (1, 2, 3, 4) for column in (1, 2)]
    assert {(cell["RowSpan"], cell["ColumnSpan"]) for cell in cells} == {(1, 1)}
    # The upper row, and the first column of the two rows below it.
    assert [(cell["RowSpan"], cell["ColumnSpan"]) for cell in merged] == [(1, 2), (2, 1)]
    assert [pixels(cell, page) for cell in merged] == [(100, 600, 500, 645), (100, 645, 300, 725)]
    parts = [[pixels(part, page) for part in children(blocks, cell)] for cell in merged]
    assert parts == [
        [(100, 600, 300, 645), (300, 600, 500, 645)],
        [(100, 645, 300, 685), (100, 685, 300, 725)],
    ]
    texts = [[word["Text"] for word in children(blocks, part)] for part in children(blocks, merged[0])]
    assert texts == [["Prices", "&", "weights"], []]


def test_cells_of_a_header_say_so(tmp_path: Path) -> None:
    blocks = blocks_of(rich_page(1), tmp_path)
    headers = {
        cell["RowIndex"] for cell in of_kind(blocks, "CELL") if "COLUMN_HEADER" in cell.get("EntityTypes", ())
    }
    assert headers == {1}


def test_cells_whose_boxes_do_not_fit_the_html_have_their_share_of_the_table(tmp_path: Path) -> None:
    page = with_table({}, "<tr><td>a<td>b<tr><td colspan=2>c", HALVES)
    blocks = blocks_of(page, tmp_path)
    boxes = [pixels(cell, page) for cell in of_kind(blocks, "CELL")]
    assert boxes == [(0, 0, 100, 50), (100, 0, 200, 50), (0, 50, 100, 100), (100, 50, 200, 100)]


@pytest.mark.parametrize(
    ("status", "told"), [(Status.SUCCESS, "SUCCEEDED"), (Status.PARTIAL, "PARTIAL_SUCCESS")]
)
def test_a_document_of_which_pages_failed_is_a_partial_success(
    status: Status, told: str, tmp_path: Path
) -> None:
    writer = FORMAT.begin(lambda: FileSpool(tmp_path))
    writer.add(plain_page(1, "text"))
    ((_, body),) = writer.finish(head(2).model_copy(update={"status": status}))
    response = json.loads(b"".join(chunks(body)))
    assert (response["JobStatus"], response["DocumentMetadata"]) == (told, {"Pages": 2})
