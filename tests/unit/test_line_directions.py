"""A line is read in the direction in which it says most, with a recogniser that is passed in."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from consumer.child.pixels import Image
from consumer.child.ppstructure.lines import LineReader, crop_lines

#: Brightness of the side of a crop at which its text starts.
START = 200


class Recognizer:
    """Reads a crop whose text starts at its left; `confidence` is that of all others."""

    def __init__(self, confidence: float = 0.6) -> None:
        self.confidence = confidence
        self.seen = 0

    def __call__(self, crops: Sequence[Image], **_: Any) -> list[dict[str, Any]]:
        self.seen += len(crops)
        return [
            {"rec_text": "ship", "rec_score": 0.99}
            if crop[0, 0, 0] == crop[-1, 0, 0] == START
            else {"rec_text": "dihs", "rec_score": self.confidence}
            for crop in crops
        ]


def crop(width: int, height: int, turn: int) -> Image:
    """A crop of this size with text that is turned by so many quarters clockwise."""
    size = (height, width) if turn % 2 == 0 else (width, height)
    upright = np.zeros((*size, 3), np.uint8)
    upright[:, :2] = START
    return np.ascontiguousarray(np.rot90(upright, -turn))


@pytest.mark.parametrize(
    ("width", "height", "turn"),
    [(200, 20, 0), (200, 20, 2), (20, 200, 1), (20, 200, 3), (20, 60, 1), (20, 60, 0)],
)
def test_a_line_is_read_in_its_own_direction_and_keeps_it(width: int, height: int, turn: int) -> None:
    (result,) = LineReader(Recognizer())([crop(width, height, turn)])
    assert (result["rec_text"], result["rec_text"].turn, result["rec_score"]) == ("ship", turn, 0.99)


def test_a_line_that_reads_well_is_read_once() -> None:
    recognizer = Recognizer()
    LineReader(recognizer)([crop(200, 20, 0)] * 5)
    assert recognizer.seen == 5


@pytest.mark.parametrize("confidence", [0.92, float("nan")])
def test_a_direction_counts_only_if_it_is_clearly_better(confidence: float) -> None:
    """Many numbers can be read both ways; a score that is no number is worse than any."""
    (result,) = LineReader(Recognizer(confidence))([crop(200, 20, 2)])
    assert result["rec_text"].turn == (0 if confidence > 0.9 else 2)


def test_one_character_is_not_turned_among_lines_of_its_height() -> None:
    """A 1 is three times as high as wide."""
    line, one = crop(200, 20, 0), crop(7, 21, 1)
    results = LineReader(Recognizer())([line, one])
    assert [result["rec_text"].turn for result in results] == [0, 0]


def test_crops_lie_as_on_the_page_also_beyond_the_size_that_opencv_takes() -> None:
    page = np.zeros((40, 33_000, 3), np.uint8)
    page[10:30, 32_900:32_910] = START
    high, wide = (
        np.array([[32_900, 10], [32_910, 10], [32_910, 30], [32_900, 30]]),
        np.array([[32_890, 10], [32_930, 10], [32_930, 30], [32_890, 30]]),
    )
    crops = crop_lines(page, [high, wide])
    assert [each.shape[:2] for each in crops] == [(20, 10), (20, 40)]
    assert crops[0].min() == START
    assert crops[1][:, 12:18].min() == START
    assert crops[1][:, 24:].max() == 0
