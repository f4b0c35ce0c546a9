"""Pages and lines are read the right way up: what they say decides, not a classifier that errs."""

import numpy as np
import pytest

from consumer.domain.geometry import Point, angle
from consumer.domain.result import Detection
from tests.structure.conftest import NewEngine, NewZoo
from tests.structure.engine import Page, texts, typeset, written
from tests.structure.zoo import Box

LINES = ("Harbour report", "Twelve ships came in", "and nine of them left")
SAID = [line.replace(" ", "").lower() for line in LINES]
TOLERANCE_PX = 4


def turned(page: Page, degrees: int) -> Page:
    """Turn a page clockwise."""
    return np.ascontiguousarray(np.rot90(page, -degrees // 90))


def degrees(line: Detection) -> int:
    """The nearest quarter turn of a line, clockwise."""
    a, b, c, d = (Point(x, y) for x, y in line.box)
    return round(angle((a, b, c, d)) / 90) % 4 * 90


@pytest.mark.parametrize("found", [90, 180, 270])
def test_an_upright_page_that_a_classifier_would_turn_is_read_upright(
    found: int, new_zoo: NewZoo, new_engine: NewEngine
) -> None:
    zoo, page = new_zoo(Box("text", 0.02, 0.04, 0.98, 0.98)), written(*LINES)
    plain = new_engine(zoo.pipeline()).read_one(page)
    zoo.orientation(found)
    read = new_engine(zoo.pipeline(use_doc_orientation_classify=True)).read_one(page)
    assert texts(read) == SAID
    assert read.page.angle == 0
    assert read.warnings == ()
    assert [line.box for line in read.detections] == [line.box for line in plain.detections]
    assert read.page.blocks == plain.page.blocks


def test_an_upside_down_page_that_no_classifier_turns_is_turned_by_what_it_says(
    new_zoo: NewZoo, new_engine: NewEngine
) -> None:
    page = written(*LINES)
    engine = new_engine(new_zoo().pipeline())
    upright, read = engine.read_one(page), engine.read_one(turned(page, 180))
    assert texts(read) == SAID
    assert read.page.angle == 180
    height, width = page.shape[:2]
    for there, here in zip(upright.detections, read.detections, strict=True):
        expected = np.array([width, height]) - np.array(there.box)
        assert np.abs(expected - np.array(here.box)).max() <= TOLERANCE_PX
        assert here.confidence == pytest.approx(there.confidence, abs=0.05)


def test_text_in_another_direction_than_the_page_is_read_and_keeps_its_own(
    new_zoo: NewZoo, new_engine: NewEngine
) -> None:
    """A stamp upside down, and margins that run up and down."""
    page = written(*LINES, width=900, height=700)
    stamp = turned(written("Received in March", width=600, height=110), 180)
    page[500:610, 150:750] = stamp
    margin = written("Volume nineteen", width=440, height=110)
    page[20:460, 700:810] = turned(margin, 90)
    page[20:460, 800:890] = turned(margin, 270)[:, 20:]
    read = new_engine(new_zoo().pipeline()).read_one(page)
    found = sorted((text, degrees(line)) for text, line in zip(texts(read), read.detections, strict=True))
    margins = [("volumenineteen", 90), ("volumenineteen", 270)]
    assert found == sorted([*((line, 0) for line in SAID), ("receivedinmarch", 180), *margins])
    assert read.page.angle == 0


def test_text_that_runs_down_a_page_does_not_turn_the_page(new_zoo: NewZoo, new_engine: NewEngine) -> None:
    """Columns of Chinese and Japanese run down, and their page is upright."""
    read = new_engine(new_zoo().pipeline()).read_one(turned(written(*LINES), 90))
    assert sorted(texts(read)) == sorted(SAID)
    assert [degrees(line) for line in read.detections] == [90, 90, 90]
    assert read.page.angle == 0


def test_single_characters_have_the_direction_of_the_page(new_zoo: NewZoo, new_engine: NewEngine) -> None:
    """A 1 is much higher than wide, and PaddleX would turn it."""
    rows = ("17114", "41171", "11471", "71141")
    page = typeset(*((16, "helv", (" " * 10).join(row)) for row in rows))
    read = new_engine(new_zoo().pipeline()).read_one(page)
    assert "".join(texts(read)) == "".join(rows)
    assert {degrees(line) for line in read.detections} == {0}


def test_lines_that_a_classifier_would_turn_are_read_upright(new_zoo: NewZoo, new_engine: NewEngine) -> None:
    zoo, page = new_zoo(), written(*LINES)
    plain = new_engine(zoo.pipeline()).read_one(page)
    zoo.lines_upside_down()
    read = new_engine(zoo.pipeline(turns_lines=True)).read_one(page)
    assert texts(read) == SAID
    assert [line.box for line in read.detections] == [line.box for line in plain.detections]


def test_a_line_that_a_classifier_turns_rightly_starts_at_its_own_corner(
    new_zoo: NewZoo, new_engine: NewEngine
) -> None:
    zoo = new_zoo()
    zoo.lines_upside_down()
    page = turned(written(*LINES), 180)
    read = new_engine(zoo.pipeline(turns_lines=True)).read_one(page)
    assert texts(read) == SAID
    assert {degrees(line) for line in read.detections} == {180}
