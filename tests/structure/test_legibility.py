"""What was read with confidence is said, and what could not be read is warned of."""

from typing import Any

import cv2
import numpy as np
import pytest

from consumer.child.ppstructure import results
from consumer.domain.errors import Code
from tests.structure.conftest import NewEngine, NewZoo
from tests.structure.engine import Page, texts, typeset, written
from tests.structure.zoo import Box

#: "The weather is very fine today", without spaces, in a script that the networks of the zoo do not know.
KOREAN = "오늘은날씨가아주좋습니다"


def in_korean(*lines: int) -> Page:
    """A page of eight lines, of which these are in Korean."""
    english = [(20, "helv", f"The ship number {n} came in") for n in range(8)]
    return typeset(*((20, "korea", KOREAN) if n in lines else line for n, line in enumerate(english)))


def test_a_page_has_the_mean_confidence_of_its_lines_by_their_length(
    new_zoo: NewZoo, new_engine: NewEngine
) -> None:
    engine = new_engine(new_zoo().pipeline())
    read = engine.read_one(written("Sixteen", "ships came in from the sea"))
    lengths = [len(line.text) for line in read.detections]
    mean = float(np.average([line.confidence for line in read.detections], weights=lengths))
    assert read.page.confidence == pytest.approx(mean)
    assert mean > 0.9
    assert read.warnings == ()
    assert engine.read_one(written()).page.confidence is None


def test_a_page_in_a_script_that_is_not_known_is_warned_of(new_zoo: NewZoo, new_engine: NewEngine) -> None:
    engine = new_engine(new_zoo().pipeline())
    (warning,) = engine.read_one(in_korean(*range(8))).warnings
    assert warning.code is Code.LOW_CONFIDENCE
    assert warning.message.startswith("8 of 8 lines could not be read")
    (warning,) = engine.read_one(in_korean(3)).warnings
    assert warning.message.startswith("1 of 8 lines could not be read")


def test_lines_of_a_block_that_was_read_as_one_line_are_warned_of(
    new_zoo: NewZoo, new_engine: NewEngine
) -> None:
    """PaddleX reads a block without text once more as a whole: noise, with hardly any confidence."""
    read = new_engine(new_zoo(Box("text", 0.05, 0.0, 0.95, 0.5)).pipeline()).read_one(in_korean(*range(8)))
    (warning,) = read.warnings
    assert "8 of them not at all" in warning.message


def test_lines_that_paddlex_drops_for_their_score_are_warned_of(
    new_zoo: NewZoo, new_engine: NewEngine
) -> None:
    read = new_engine(new_zoo().pipeline(score_thresh=0.9)).read_one(in_korean(1, 2))
    assert len(read.detections) == 6
    (warning,) = read.warnings
    assert warning.message.startswith("2 of 8 lines could not be read with confidence, 2 of them not at all")


@pytest.mark.parametrize("score_thresh", [0.0, 0.5])
def test_what_layout_parsing_edits_or_reads_elsewhere_is_not_warned_of(
    score_thresh: float, new_zoo: NewZoo, new_engine: NewEngine
) -> None:
    """A formula, lettering of a seal, and a line that two blocks cut into pieces."""
    page = written("The area is", "XXXXXX", "of a square and more", width=800, height=1000)
    cv2.putText(page, "Approved", (330, 700), cv2.FONT_HERSHEY_SIMPLEX, 1.4, (0, 0, 180), 3)
    halves = (Box("text", 0.02, 0.2, 0.33, 0.28), Box("text", 0.36, 0.2, 0.98, 0.28))
    zoo = new_zoo(Box("formula", 0.04, 0.11, 0.4, 0.18), Box("seal", 0.375, 0.6, 0.75, 0.8), *halves)
    zoo.formula("x ^ { 2 }")
    zoo.seal((0.07, 0.3, 0.85, 0.6))
    config = zoo.pipeline(use_formula_recognition=True, use_seal_recognition=True, score_thresh=score_thresh)
    read = new_engine(config).read_one(page)
    assert len(read.page.formulas) == 1
    assert "theareais" in texts(read)
    assert read.warnings == ()


def ocr(*lines: tuple[tuple[int, int, int, int], str]) -> dict[str, Any]:
    """An OCR result of PaddleX: the box and the text of each line."""
    polygons = [[[x1, y1], [x2, y1], [x2, y2], [x1, y2]] for (x1, y1, x2, y2), _ in lines]
    said = [text for _, text in lines]
    return {"dt_polys": polygons, "rec_polys": polygons, "rec_texts": said, "rec_scores": [0.9] * len(said)}


def test_a_line_without_text_is_unread_unless_it_was_read_as_part_of_another() -> None:
    line, piece, elsewhere, dot = (0, 0, 200, 20), (90, 0, 200, 20), (0, 90, 200, 110), (0, 50, 20, 70)
    read = ocr((line, "All of it"), (piece, ""), (elsewhere, ""), (dot, ""))
    (quad,) = results._unread(read)
    assert quad[0] == (0, 90)
    # A line in two pieces.
    assert (
        list(results._unread(ocr((line, ""), ((0, 0, 100, 20), "All"), ((100, 0, 200, 20), "of it")))) == []
    )


def test_formulas_and_lines_in_a_seal_that_was_read_are_no_unread_lines() -> None:
    line = ((0, 0, 200, 20), "")
    assert list(results._unread(ocr(line) | {"rec_labels": ["formula"]})) == []
    seal = {"label": "seal", "coordinate": [0, 0, 300, 300]}
    page = {"overall_ocr_res": ocr(line), "layout_det_res": {"boxes": [seal]}, "parsing_res_list": []}
    assert len(results.page_text(page | {"seal_res_list": [ocr(line)]}).unread) == 1
    assert results.page_text(page | {"seal_res_list": [ocr((line[0], "Approved"))]}).unread == []


def test_an_unread_line_counts_by_its_length_however_it_lies() -> None:
    (quad,) = results._unread(ocr(((0, 0, 20, 200), "")))
    assert np.linalg.norm(np.subtract(quad[0], quad[1])) == 200
