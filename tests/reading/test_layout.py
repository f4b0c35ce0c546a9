"""Blocks, tables and markdown of pages that the engine reads, with either layout."""

import re
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final, Literal

import cv2
import numpy as np
import pytest
from PIL import Image as Pictures

from consumer.child.page_layout.detector import Region
from consumer.child.page_layout.layout import Layout, PageLayout
from consumer.child.page_layout.markdown import as_line
from consumer.child.page_layout.skew import Straightening
from consumer.child.pixels import Image
from consumer.domain.errors import Code
from consumer.domain.geometry import PageTransform, Point, Rect
from consumer.domain.legibility import TextLine
from consumer.domain.result import Block, Detection, PageResult
from tests.conftest import ROOT
from tests.markdown import LEFT_OUT, untold
from tests.reading.reader import Reader
from tests.reading.running_heads import book_page
from tests.sampling import every

SCAN: Final = ROOT / "tests" / "samples" / "scan.png"
ROWS: Final = [
    ["Article", "Parcels", "Sheets", "Weight kg"],
    ["Cream laid 120 g", "6", "3,000", "46.5"],
    ["Blue cover 240 g", "2", "500", "15.2"],
    ["Marbled paper, red", "1", "80", "2.4"],
    ["Grey board 2 mm", "4", "160", "61.0"],
]


def _require(kind: str) -> None:
    if kind == "full":
        try:
            version("pymupdf-layout")
        except PackageNotFoundError:
            pytest.skip("pymupdf-layout is not installed")


@pytest.fixture(scope="module", params=["fast", "full"])
def reader(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Reader:
    _require(request.param)
    return Reader(tmp_path_factory.mktemp("pages"), layout=request.param)


@pytest.fixture(scope="module")
def scan() -> Image:
    with Pictures.open(SCAN) as image:
        return np.ascontiguousarray(np.asarray(image.convert("RGB"), np.uint8)[:, :, ::-1])


def rows_of(html: str) -> list[list[str]]:
    return [re.findall(r"<td[^>]*>(.*?)</td>", row) for row in re.findall(r"<tr>(.*?)</tr>", html)]


def texts(blocks: tuple[Block, ...], labels: set[str]) -> str:
    return "\n".join(block.content for block in blocks if block.label in labels)


def holds(box: tuple[int, int, int, int], line: Detection) -> bool:
    x, y = (sum(corner[n] for corner in line.box) / 4 for n in (0, 1))
    return box[0] <= x <= box[2] and box[1] <= y <= box[3]


def lost(result: PageResult) -> list[str]:
    """Lines with a word that is neither in markdown nor in a block that it leaves out."""
    told = result.page.markdown + "\n" + texts(result.page.blocks, LEFT_OUT)
    return untold([line.text for line in result.detections], told)


@pytest.mark.parametrize("quarters", range(4))
def test_a_table_of_a_scan_is_read_whichever_way_it_lies(reader: Reader, scan: Image, quarters: int) -> None:
    result = reader.read(np.rot90(scan, -quarters))
    (table,) = result.page.tables
    assert rows_of(table.html) == ROWS
    assert len(table.cells) == 20
    assert lost(result) == []
    (block,) = [block for block in result.page.blocks if block.label == "table"]
    assert (block.content, block.box) == (table.html, table.box)
    for cell, text in zip(table.cells, (text for row in ROWS for text in row), strict=True):
        inside = [line.text for line in result.detections if holds(cell, line)]
        assert text in inside


def test_markdown_of_a_scan_has_its_title_and_paragraphs(reader: Reader, scan: Image) -> None:
    markdown = reader.read(scan).page.markdown
    assert markdown.startswith("# Orchard Vale Paper Mill\n\n")
    assert (
        "Please check the number of parcels before you sign, and write any damage on this sheet.\n\n<table>"
        in (markdown)
    )


def squeezed(text: str) -> str:
    """Letters and digits alone: the recogniser loses spaces, and doubles brackets."""
    return re.sub(r"[\W_]+", "", text)


@pytest.mark.corpus
@pytest.mark.parametrize("seed", every(3, range(20)))
def test_markdown_has_footnotes_and_neither_running_heads_nor_page_numbers(reader: Reader, seed: int) -> None:
    page = book_page(seed)
    result = reader.read(page.image)
    left_out = [squeezed(text) for text in texts(result.page.blocks, LEFT_OUT).splitlines()]
    assert sorted(left_out) == sorted(map(squeezed, (page.head, page.number)))
    told = squeezed(result.page.markdown)
    for note in page.footnotes:
        words = [squeezed(word) for word in note.split()[1:]]
        assert sum(word in told for word in words) >= 0.95 * len(words), note
    assert lost(result) == []


@pytest.mark.parametrize("side", [1, 40, 700])
def test_a_blank_page_has_no_layout(reader: Reader, side: int) -> None:
    page = reader.read(np.full((side, 2 * side, 3), 255, np.uint8)).page
    assert (page.blocks, page.tables, page.markdown) == ((), (), "")


def test_lines_in_another_direction_are_blocks_of_their_own(reader: Reader, scan: Image) -> None:
    page = scan.copy()
    stamp = np.full((60, 420, 3), 240, np.uint8)
    cv2.putText(stamp, "RECEIVED BY POST", (10, 44), cv2.FONT_HERSHEY_SIMPLEX, 1.3, (0, 0, 0), 3)
    page[900:1320, 20:80] = np.rot90(stamp)
    result = reader.read(page)
    assert "RECEIVED BY POST" in [block.content for block in result.page.blocks]
    assert lost(result) == []


@pytest.mark.parametrize("kind", ["fast", "full"])
def test_a_huge_page_and_thousands_of_lines_have_a_layout(kind: Literal["fast", "full"]) -> None:
    _require(kind)
    page = np.full((5600, 7000, 3), 255, np.uint8)
    lines = []
    for n in range(2000):
        x, y = 40 + 345 * (n % 20), 40 + 55 * (n // 20)
        cv2.putText(page, f"entry {n}", (x, y + 28), cv2.FONT_HERSHEY_SIMPLEX, 1.0, (0, 0, 0), 2)
        corners = Point(x, y), Point(x + 200, y), Point(x + 200, y + 36), Point(x, y + 36)
        lines.append(TextLine(corners, f"entry {n}", 1.0))
    steps: list[None] = []
    transform = PageTransform(7000, 5600, 7000, 5600)
    layout = PageLayout(1, kind).find(page, lines, transform, lambda: steps.append(None))
    told = layout.markdown + texts(layout.blocks, LEFT_OUT)
    assert all(f"entry {n}" in told for n in range(2000))
    assert len(steps) >= 2


@pytest.mark.parametrize("box", [Rect(900, 10, 990, 90), Rect(300, 10, 100, 90), Rect(10, 250, 90, 290)])
def test_a_table_detected_outside_the_page_or_without_extent_costs_no_layout(box: Rect) -> None:
    layout = PageLayout(1, "fast")
    layout._find_regions = lambda *_: [Region("table", box, 0.9)]
    line = TextLine((Point(20, 20), Point(200, 20), Point(200, 40), Point(20, 40)), "a line", 1.0)
    page = np.full((200, 400, 3), 255, np.uint8)
    found = layout.find(page, [line], PageTransform(400, 200, 400, 200), lambda: None)
    assert (found.markdown, found.tables) == ("a line", ())


def test_a_long_strip_askew_is_not_straightened_onto_a_page_of_many_times_its_size() -> None:
    strip = Straightening(500, 9000, 14.0)
    assert not strip.is_needed
    assert Straightening(2480, 3508, 15.0).is_needed


class Failing:
    """A layout that fails, as libraries may with any page."""

    def find(self, *_: Any) -> Layout:
        raise RuntimeError("no such operator")


def test_a_layout_that_fails_costs_the_layout_of_its_page_alone(tmp_path: Path, scan: Image) -> None:
    reader = Reader(tmp_path, layout="fast")
    whole = reader.read(scan)
    reader.engine._layout = Failing()  # type: ignore[assignment]
    result = reader.read(scan)
    assert result.detections == whole.detections
    assert (result.page.blocks, result.page.tables) == ((), ())
    assert result.page.markdown.splitlines() == [line.text for line in result.detections]
    (warning,) = result.warnings
    assert (warning.code, warning.page_number) == (Code.ENGINE_ERROR, 1)
    assert "no blocks and tables" in warning.message
    assert "RuntimeError: no such operator" in warning.message


def test_a_page_whose_layout_ended_processes_has_its_lines_and_a_warning(tmp_path: Path, scan: Image) -> None:
    reader = Reader(tmp_path, layout="fast")
    whole, lines = reader.read(scan), reader.read(scan, lines_only=True)
    assert lines.detections == whole.detections
    assert (lines.page.blocks, lines.page.tables) == ((), ())
    (warning,) = lines.warnings
    assert (warning.code, warning.page_number) == (Code.ENGINE_ERROR, 1)
    assert "no blocks and tables" in warning.message


def test_without_a_layout_markdown_is_the_lines(tmp_path: Path, scan: Image) -> None:
    page = Reader(tmp_path, layout="none").read(scan)
    assert page.page.markdown.splitlines() == [as_line(line.text) for line in page.detections]
    assert page.page.blocks == ()
