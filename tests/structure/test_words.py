"""PP-StructureV3 tells words too, with boxes where they stand, whichever way their line runs."""

import numpy as np
import pytest

from consumer.domain.result import Detection, PageResult, Word
from tests.structure.conftest import NewEngine, NewZoo
from tests.structure.engine import Page, typeset

LINES = ("Harbour report of Monday", "Twelve large ships came in", "and nine of them left again")


def page() -> Page:
    return typeset(*((16.0, "helv", line) for line in LINES))


def words(result: PageResult) -> list[Word]:
    return [word for line in result.detections for word in line.words or ()]


def is_in(word: Word, line: Detection) -> bool:
    (xs, ys), (line_xs, line_ys) = (zip(*box, strict=True) for box in (word.box, line.box))
    return min(line_xs) <= min(xs) <= max(xs) <= max(line_xs) and min(line_ys) <= min(ys) <= max(ys) <= max(
        line_ys
    )


@pytest.mark.parametrize("quarters", [0, 2])
def test_words_are_those_of_their_lines_and_have_the_ink_in_their_boxes(
    new_zoo: NewZoo, new_engine: NewEngine, quarters: int
) -> None:
    pixels = np.ascontiguousarray(np.rot90(page(), quarters))
    result = new_engine(new_zoo().pipeline(), words=True).read_one(pixels)
    assert [word.text for word in words(result)] == " ".join(LINES).split()
    ink = pixels.min(axis=2) < 128
    covered = np.zeros_like(ink)
    for line in result.detections:
        assert line.text == " ".join(word.text for word in line.words or ())
        for word in line.words or ():
            assert is_in(word, line)
            assert 0.5 < word.confidence <= 1
            (x1, x2), (y1, y2) = ((min(side), max(side)) for side in zip(*word.box, strict=True))
            box = ink[y1 : y2 + 1, x1 : x2 + 1]
            # No word is alone in the box of another, and its ink reaches about to all edges.
            assert box.any()
            margin = 6
            rows, columns = np.flatnonzero(box.any(axis=1)), np.flatnonzero(box.any(axis=0))
            assert rows[0] < margin
            assert rows[-1] >= box.shape[0] - margin
            assert columns[0] < margin
            assert columns[-1] >= box.shape[1] - margin
            covered[y1 : y2 + 1, x1 : x2 + 1] = True
    assert (ink & covered).sum() > 0.97 * ink.sum()


def test_without_being_asked_for_words_are_not_told(new_zoo: NewZoo, new_engine: NewEngine) -> None:
    result = new_engine(new_zoo().pipeline()).read_one(page())
    assert result.detections
    assert all(line.words is None for line in result.detections)
