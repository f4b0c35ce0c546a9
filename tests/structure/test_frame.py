"""Boxes lie on the words of the page as it was rendered, however the engine turned or shrank it."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from consumer.domain.result import Detection, PageResult
from tests.structure.conftest import NewEngine, NewZoo
from tests.structure.engine import Page, texts, written
from tests.structure.zoo import Box

#: A turned crop is sampled anew, so edges may move a little.
TOLERANCE_PX = 4

BLOCKS = (Box("doc_title", 0.02, 0.04, 0.98, 0.2), Box("text", 0.02, 0.2, 0.98, 0.98))
LINES = ("Harbour report", "Twelve ships came in", "and nine of them left")


def corners(page: PageResult) -> list[np.ndarray]:
    return [np.array(line.box) for line in page.detections]


def turned(points: np.ndarray, page: Page, degrees: int) -> np.ndarray:
    """Points of a page after it was turned clockwise."""
    height, width = page.shape[:2]
    for _ in range(degrees // 90):
        points = np.stack([height - points[:, 1], points[:, 0]], axis=1)
        height, width = width, height
    return points


def lies_on(line: Detection, page: Page) -> bool:
    """Whether most of the ink is dark within the box, and none is just outside."""
    mask = np.zeros(page.shape[:2], np.uint8)
    cv2.fillPoly(mask, [np.array(line.box)], 1)
    wider = cv2.dilate(mask, np.ones((9, 9), np.uint8))
    ink = page[:, :, 0] < 128
    inside, around = int((ink & (mask == 1)).sum()), int((ink & (wider == 1) & (mask == 0)).sum())
    return inside > 200 and around < inside / 20


@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_boxes_of_a_turned_page_lie_on_its_words(
    degrees: int, new_zoo: NewZoo, new_engine: NewEngine
) -> None:
    zoo, page = new_zoo(*BLOCKS), written(*LINES)
    zoo.orientation(0)
    config = zoo.pipeline(use_doc_orientation_classify=True)
    upright = new_engine(config).read_one(page)
    # The page lies turned clockwise, and the classifier finds that.
    zoo.orientation(degrees)
    lying = np.ascontiguousarray(np.rot90(page, k=-degrees // 90))
    read = new_engine(config).read_one(lying)

    assert texts(read) == texts(upright) == [line.replace(" ", "").lower() for line in LINES]
    assert (upright.page.angle, read.page.angle) == (0, 360 - degrees)
    for there, here in zip(corners(upright), corners(read), strict=True):
        assert np.abs(turned(there, page, degrees) - here).max() <= TOLERANCE_PX
    assert all(lies_on(line, lying) for line in read.detections)
    for there_block, here_block in zip(upright.page.blocks, read.page.blocks, strict=True):
        box = np.array(there_block.box).reshape(2, 2)
        wanted = turned(box, page, degrees)
        found = np.array(here_block.box).reshape(2, 2)
        assert np.abs(np.sort(wanted, axis=0) - found).max() <= TOLERANCE_PX
        assert (there_block.label, there_block.order) == (here_block.label, here_block.order)


def test_a_strip_far_longer_than_sixteen_bits_has_its_boxes_where_the_words_are(
    new_zoo: NewZoo, new_engine: NewEngine
) -> None:
    page = written("Anchor", width=40_000, height=300)
    cv2.putText(page, "Windlass", (38_000, 180), cv2.FONT_HERSHEY_SIMPLEX, 5, (0, 0, 0), 12)
    read = new_engine(new_zoo().pipeline()).read_one(page)
    last = read.detections[-1]
    assert last.text.lower() == "windlass"
    assert all(37_900 < x <= 40_000 and 0 <= y <= 300 for x, y in last.box)


def test_lines_come_in_the_order_of_their_blocks_and_those_in_none_stay(
    new_zoo: NewZoo, new_engine: NewEngine
) -> None:
    """The right column is found first; the line at the foot is in no block."""
    page = written("Left one", "Left two", width=900)
    for n, line in enumerate(("Right one", "Right two")):
        cv2.putText(page, line, (520, 80 + 80 * n), cv2.FONT_HERSHEY_SIMPLEX, 1.4, (0, 0, 0), 3)
    cv2.putText(page, "At the foot", (40, 440), cv2.FONT_HERSHEY_SIMPLEX, 1.4, (0, 0, 0), 3)
    zoo = new_zoo(Box("text", 0.5, 0.05, 0.98, 0.4), Box("text", 0.02, 0.05, 0.48, 0.4))
    read = new_engine(zoo.pipeline()).read_one(page)
    assert texts(read) == ["leftone", "lefttwo", "rightone", "righttwo", "atthefoot"]
    assert [block.order for block in read.page.blocks] == [1, 2]
    assert [block.content.split()[0] for block in read.page.blocks] == ["Left", "Right"]
    assert all(block.confidence == pytest.approx(0.9) for block in read.page.blocks)


@pytest.mark.parametrize("missed", [1, 2])
def test_columns_stay_columns_where_layout_misses_a_paragraph(
    missed: int, new_zoo: NewZoo, new_engine: NewEngine
) -> None:
    """Two columns of two paragraphs under a headline; the lower left or upper right one is in no block."""
    page = written(width=1400, height=800)
    cv2.putText(page, "Headline over all of it", (100, 70), cv2.FONT_HERSHEY_SIMPLEX, 1.6, (0, 0, 0), 3)
    for n in range(16):
        place = (60 + 650 * (n // 8), 150 + 45 * (n % 8) + (60 if n % 8 > 3 else 0))
        cv2.putText(page, f"Column line number {n:02}", place, cv2.FONT_HERSHEY_SIMPLEX, 1.1, (0, 0, 0), 2)
    halves = [Box("text", x, y, x + 0.44, y + 0.25) for x in (0.03, 0.5) for y in (0.13, 0.43)]
    del halves[missed]
    zoo = new_zoo(Box("doc_title", 0.05, 0.02, 0.95, 0.11), *halves)
    read = new_engine(zoo.pipeline()).read_one(page)
    assert texts(read) == ["headlineoverallofit", *(f"columnlinenumber{n:02}" for n in range(16))]


def test_the_same_page_is_the_same_twice(new_zoo: NewZoo, new_engine: NewEngine, tmp_path: Path) -> None:
    engine, page = new_engine(new_zoo(*BLOCKS).pipeline(), batch_pages=2), written(*LINES)
    first, second = engine.read(page, page)
    apart = {"page_number"}
    assert first.page.model_dump(exclude=apart) == second.page.model_dump(exclude=apart)
    assert [line.model_dump(exclude=apart) for line in first.detections] == [
        line.model_dump(exclude=apart) for line in second.detections
    ]
    assert first == engine.read_one(page)


@pytest.mark.parametrize(("width", "height"), [(1, 1), (3, 700), (700, 3)])
def test_a_page_of_a_few_pixels_has_its_boxes_within(
    width: int, height: int, new_zoo: NewZoo, new_engine: NewEngine
) -> None:
    zoo = new_zoo(Box("formula", 0.0, 0.0, 0.5, 0.5), Box("text", 0.5, 0.0, 1.0, 1.0))
    zoo.formula("x")
    zoo.orientation(90)
    config = zoo.pipeline(use_formula_recognition=True, use_doc_orientation_classify=True)
    read = new_engine(config).read_one(np.full((height, width, 3), 255, np.uint8))
    corners = [corner for block in read.page.blocks for corner in _corners(block.box)]
    assert all(0 <= x <= width and 0 <= y <= height for x, y in corners)
    assert len(read.page.formulas) == 1


def _corners(box: tuple[int, int, int, int]) -> tuple[tuple[int, int], tuple[int, int]]:
    return box[:2], box[2:]
