"""Boxes stay on the page, and lines come in the order in which a person reads them."""

import itertools
import math
import random
import time

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from consumer.domain.geometry import Point, Quad, angle, bounds, clip_quad, reading_order

FINITE = st.floats(allow_nan=False, allow_infinity=False)
SIDE = st.integers(1, 20_000)
LINE_HEIGHT = 20.0


def quads(coordinate: st.SearchStrategy[float]) -> st.SearchStrategy[Quad]:
    point = st.builds(Point, coordinate, coordinate)
    return st.tuples(point, point, point, point)


def line(x: float, y: float, width: float, height: float = LINE_HEIGHT) -> Quad:
    return Point(x, y), Point(x + width, y), Point(x + width, y + height), Point(x, y + height)


def turned(quad: Quad, degrees: float) -> Quad:
    """Return the line on the page turned clockwise; corners in whole pixels."""
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    a, b, c, d = (Point(round(x * cos - y * sin), round(x * sin + y * cos)) for x, y in quad)
    return a, b, c, d


def assert_read_as_listed(lines: list[Quad], degrees: float, seed: int) -> None:
    """Expect the lines, shuffled and on a turned page, to be read in the order in which they are listed."""
    shuffled = random.Random(seed).sample(range(len(lines)), len(lines))
    order = reading_order([turned(lines[i], degrees) for i in shuffled])
    assert [shuffled[k] for k in order] == list(range(len(lines)))


#: A page that lies askew, and one that lies on its side or its head as well.
TURNS = st.builds(lambda quarter, skew: 90 * quarter + skew, st.integers(0, 3), st.floats(-5, 5))


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


@given(st.lists(quads(st.integers(0, 200).map(float)) | quads(FINITE), max_size=40))
@settings(deadline=None)
def test_every_line_is_read_once_for_any_boxes(lines: list[Quad]) -> None:
    assert sorted(reading_order(lines)) == list(range(len(lines)))


@st.composite
def running_text(draw: st.DrawFn, x: float, width: float, pitch: float) -> list[Quad]:
    """A column of paragraphs: most lines full, the last of each shorter."""
    top = draw(st.floats(100, 140))
    widths = draw(st.lists(st.floats(0.6, 1.0) | st.just(1.0), min_size=5, max_size=30))
    widths[0] = 1.0
    return [line(x, top + n * pitch, width * share) for n, share in enumerate(widths)]


@st.composite
def columns(draw: st.DrawFn) -> list[Quad]:
    width, pitch = draw(st.floats(280, 600)), draw(st.floats(24, 36))
    gutter = draw(st.floats(30, 100))
    count = draw(st.integers(2, 3))
    texts = [draw(running_text(100 + n * (width + gutter), width, pitch)) for n in range(count)]
    return list(itertools.chain(*texts))


@given(columns(), TURNS, st.integers())
@settings(deadline=None)
def test_columns_are_read_one_after_the_other_on_a_turned_page(
    lines: list[Quad], degrees: float, seed: int
) -> None:
    assert_read_as_listed(lines, degrees, seed)


@given(columns(), st.floats(200, 900), TURNS, st.integers())
@settings(deadline=None)
def test_a_heading_over_the_columns_comes_before_them(
    lines: list[Quad], width: float, degrees: float, seed: int
) -> None:
    assert_read_as_listed([line(200, 20, width, 36), *lines], degrees, seed)


@given(st.floats(3, 60), st.integers(3, 40), TURNS, st.integers())
@example(8, 20, 0, 0)
@settings(deadline=None)
def test_a_heading_close_to_level_columns_comes_before_them(
    gap: float, count: int, degrees: float, seed: int
) -> None:
    heading = line(100, 20, 900, 36)
    texts = [[line(x, 56 + gap + n * 28, 420) for n in range(count)] for x in (100, 580)]
    assert_read_as_listed([heading, *texts[0], *texts[1]], degrees, seed)


def test_a_page_nested_to_any_depth_is_read() -> None:
    """On each level a line above and a line to the left of all that follows."""
    lines = []
    for start in range(0, 60_000, 40):
        lines.append(line(start, start, 200_000 - start))
        lines.append(line(start, start + 30, 20, 99_969 - start))
    assert sorted(reading_order(lines)) == list(range(len(lines)))


RECEIPT_ROWS = st.tuples(st.floats(60, 300), st.floats(40, 100), st.floats(-4, 4))


@given(st.lists(RECEIPT_ROWS, min_size=1, max_size=30), st.floats(21, 30), TURNS, st.integers())
@example([(200, 50, -4)] * 4, 22, 0, 0)
@settings(deadline=None)
def test_a_receipt_is_read_row_by_row(
    rows: list[tuple[float, float, float]], pitch: float, degrees: float, seed: int
) -> None:
    """Names at the left; prices at the right, a little higher or lower."""
    cells = [
        cell
        for n, (name, price, lower) in enumerate(rows)
        for cell in (line(20, 20 + n * pitch, name), line(500 - price, 20 + n * pitch + lower, price))
    ]
    assert_read_as_listed(cells, degrees, seed)


@pytest.mark.parametrize("seed", range(5))
def test_a_crowded_page_is_ordered_at_once(seed: int) -> None:
    rng = random.Random(seed)
    lines = [
        line(rng.randrange(5000), rng.randrange(7000), rng.randint(1, 400), rng.randint(1, 40))
        for _ in range(2000)
    ]
    started = time.perf_counter()
    assert sorted(reading_order(lines)) == list(range(2000))
    assert time.perf_counter() - started < 5


def test_a_page_without_text_has_no_order() -> None:
    assert reading_order([]) == []
