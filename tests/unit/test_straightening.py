"""Pages that lay askew on the glass are straightened, and boxes find their place on the page again."""

import math

import cv2
import numpy as np
import pytest

from consumer.child.page_layout.skew import Straightening, skew_of
from consumer.domain.geometry import Point, Quad, Rect, bounds

WIDTH, HEIGHT = 1000, 1400


def line(degrees: float, *, x: float = 500, y: float = 700, length: float = 600, height: float = 30) -> Quad:
    """The corners of a line round a middle, which falls by so many degrees."""
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    a, b, c, d = (
        Point(x + cos * along - sin * across, y + sin * along + cos * across)
        for along, across in (
            (-length / 2, -height / 2),
            (length / 2, -height / 2),
            (length / 2, height / 2),
            (-length / 2, height / 2),
        )
    )
    return a, b, c, d


@pytest.mark.parametrize("degrees", [-14.0, -0.5, 0.4, 3.0, 14.0])
@pytest.mark.parametrize("quarters", range(4))
def test_the_skew_is_that_of_the_lines_whichever_way_their_text_runs(degrees: float, quarters: int) -> None:
    assert skew_of([line(degrees + 90 * quarters)] * 3) == pytest.approx(degrees)


@pytest.mark.parametrize(
    "quads",
    [
        [],
        # Hardly askew.
        [line(0.2)],
        # Too short to tell.
        [line(5.0, length=100)],
        # A stamp, and no page.
        [line(30.0)],
    ],
)
def test_a_page_whose_lines_tell_no_skew_is_level(quads: list[Quad]) -> None:
    assert skew_of(quads) == 0.0


def test_the_skew_is_that_of_most_of_the_text_and_not_of_most_lines() -> None:
    assert skew_of([*[line(8.0, length=160)] * 3, *[line(2.0, length=900)] * 2]) == pytest.approx(2.0)


@pytest.mark.parametrize("degrees", [-6.0, 4.0])
def test_a_line_of_a_skewed_page_is_a_box_as_high_as_itself_on_the_straight_one(degrees: float) -> None:
    straightening = Straightening(WIDTH, HEIGHT, degrees)
    x1, y1, x2, y2 = straightening.box(line(degrees))
    assert (x2 - x1, y2 - y1) == pytest.approx((600, 30))


@pytest.mark.parametrize("degrees", [-6.0, 0.0, 4.0])
def test_a_box_of_the_straight_page_holds_its_text_on_the_page(degrees: float) -> None:
    straightening = Straightening(WIDTH, HEIGHT, degrees)
    quad = line(degrees, x=450, y=300)
    assert straightening.back(straightening.box(quad)) == pytest.approx(bounds(quad))
    x1, y1, x2, y2 = straightening.back_about(straightening.box(quad))
    assert ((x1 + x2) / 2, (y1 + y2) / 2) == pytest.approx((450, 300))
    assert (x2 - x1, y2 - y1) == pytest.approx((600, 30))


@pytest.mark.parametrize("degrees", [-6.0, 4.0])
def test_the_image_and_the_boxes_of_its_lines_are_straightened_alike(degrees: float) -> None:
    page = np.full((HEIGHT, WIDTH, 3), 255, np.uint8)
    quad = line(degrees)
    cv2.fillPoly(page, [np.array(quad).round().astype(np.int32)], (0, 0, 0))
    straightening = Straightening(WIDTH, HEIGHT, degrees)
    y, x = np.nonzero(straightening.image(page)[:, :, 0] < 128)
    assert (x.min(), y.min(), x.max(), y.max()) == pytest.approx(straightening.box(quad), abs=2)


@pytest.mark.parametrize("degrees", [-6.0, 4.0])
def test_no_corner_of_a_page_is_cut_off(degrees: float) -> None:
    straightening = Straightening(WIDTH, HEIGHT, degrees)
    height, width = straightening.image(np.zeros((HEIGHT, WIDTH, 3), np.uint8)).shape[:2]
    corners = Point(0, 0), Point(WIDTH, 0), Point(WIDTH, HEIGHT), Point(0, HEIGHT)
    left, top, right, bottom = straightening.box(corners)
    assert min(left, top) >= -1
    assert right <= width + 1
    assert bottom <= height + 1


def test_a_level_page_is_left_as_it_is() -> None:
    page = np.zeros((20, 10, 3), np.uint8)
    straightening = Straightening(10, 20, 0.0)
    assert straightening.image(page) is page
    assert straightening.back_about(Rect(1, 2, 3, 4)) == Rect(1, 2, 3, 4)
