"""Boxes stay on the page, and know their angle and bounds."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumer.domain.geometry import Point, Quad, angle, bounds, clip_quad

FINITE = st.floats(allow_nan=False, allow_infinity=False)
SIDE = st.integers(1, 20_000)


def quads(coordinate: st.SearchStrategy[float]) -> st.SearchStrategy[Quad]:
    point = st.builds(Point, coordinate, coordinate)
    return st.tuples(point, point, point, point)


def line(x: float, y: float, width: float, height: float = 20.0) -> Quad:
    return Point(x, y), Point(x + width, y), Point(x + width, y + height), Point(x, y + height)


def turned(quad: Quad, degrees: float) -> Quad:
    """Return the line on the page turned clockwise; corners in whole pixels."""
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    a, b, c, d = (Point(round(x * cos - y * sin), round(x * sin + y * cos)) for x, y in quad)
    return a, b, c, d


@given(quads(FINITE), SIDE, SIDE)
def test_a_clipped_box_is_on_the_page_in_whole_pixels(quad: Quad, width: int, height: int) -> None:
    clipped = clip_quad(quad, width, height)
    assert all(0 <= x <= width and 0 <= y <= height for x, y in clipped)
    assert all(value == int(value) for point in clipped for value in point)


@given(quads(st.integers(0, 1000).map(float)))
def test_a_box_on_the_page_is_left_as_it_is(quad: Quad) -> None:
    assert clip_quad(quad, 1000, 1000) == quad


@given(quads(FINITE), st.integers(0, 7), st.sampled_from([math.nan, math.inf, -math.inf]))
def test_a_box_that_is_not_finite_is_refused(quad: Quad, at: int, bad: float) -> None:
    values = [value for point in quad for value in point]
    values[at] = bad
    a, b, c, d = (Point(x, y) for x, y in zip(values[::2], values[1::2], strict=True))
    with pytest.raises(ValueError, match="not finite"):
        clip_quad((a, b, c, d), 100, 100)


@given(st.integers(0, 359))
def test_the_angle_of_a_line_is_the_turn_of_its_page(degrees: int) -> None:
    quad = turned(line(0, 0, 10_000), degrees)
    assert (angle(quad) - degrees + 180) % 360 - 180 == pytest.approx(0, abs=0.1)


@given(quads(FINITE))
def test_bounds_hold_every_corner_and_touch_one_on_every_side(quad: Quad) -> None:
    box = bounds(quad)
    assert all(box.x1 <= x <= box.x2 and box.y1 <= y <= box.y2 for x, y in quad)
    assert {box.x1, box.x2} <= {x for x, _ in quad}
    assert {box.y1, box.y2} <= {y for _, y in quad}
