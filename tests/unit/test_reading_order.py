"""Lines come in the order in which a person reads them.

Pages are made by `tests.reading.order`, which knows their order. Boxes are as a detector's: a little off, and
some of them parts of lines. In `tests/reading/test_order.py` the engine reads the same pages.
"""

import itertools
import math
import random
import statistics
import time
from collections.abc import Iterable, Sequence

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from consumer.domain.geometry import Point, Quad
from consumer.domain.reading_order import reading_order
from tests.reading.order import asian, beside, blocks, columns, mixed, others
from tests.reading.order.detector import Found, detected, kept_order
from tests.reading.order.pages import page

#: No page is larger.
FINITE = st.floats(-1e9, 1e9)
LINE_HEIGHT = 20.0

#: A page that lies askew, and one that lies on its side or its head as well.
TURNS = st.builds(lambda quarter, skew: 90 * quarter + skew, st.integers(0, 3), st.floats(-5, 5))


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


def assert_read_as_listed(
    lines: Sequence[Quad], degrees: float = 0, seed: int = 0, texts: Sequence[str] = ()
) -> None:
    """Expect the lines, shuffled and on a turned page, to be read in the order in which they are listed."""
    shuffled = random.Random(seed).sample(range(len(lines)), len(lines))
    boxes = [turned(lines[i], degrees) for i in shuffled]
    order = reading_order(boxes, [texts[i] for i in shuffled] if texts else ())
    assert [shuffled[k] for k in order] == list(range(len(lines)))


def read(found: Sequence[Found]) -> list[Found]:
    return [found[n] for n in reading_order([each.quad for each in found], [each.text for each in found])]


def order_kept(kind: str, seed: int) -> float:
    rng = random.Random(f"{kind} {seed}")
    return kept_order(read(detected(page(kind, seed), rng, skew=rng.choice((0, 0.4, -1, 3, -5, 5)))))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("kind", columns.KINDS | beside.KINDS | asian.KINDS | blocks.KINDS)
def test_columns_and_blocks_and_rows_are_read_in_order(kind: str, seed: int) -> None:
    assert order_kept(kind, seed) >= 0.95


def test_most_pages_of_other_kinds_are_read_in_order() -> None:
    kept = [order_kept(kind, seed) for kind in mixed.KINDS | others.KINDS for seed in range(10)]
    assert statistics.mean(share >= 0.95 for share in kept) >= 0.95


@pytest.mark.parametrize(
    "kind", ["newspaper of three columns", "paper", "Chinese newspaper of three columns"]
)
def test_columns_stay_apart_though_some_lines_of_two_were_found_as_one(kind: str) -> None:
    found = detected(page(kind, 0), random.Random(0), merged=0.06)
    assert kept_order(read(found)) >= 0.95


@given(st.lists(quads(st.integers(0, 200).map(float)) | quads(FINITE), max_size=40), st.booleans())
def test_every_line_is_read_once_for_any_boxes(lines: list[Quad], with_texts: bool) -> None:
    texts = ["12"] * len(lines) if with_texts else ()
    assert sorted(reading_order(lines, texts)) == list(range(len(lines)))


@st.composite
def running_text(draw: st.DrawFn, x: float, width: float, pitch: float) -> list[Quad]:
    """A column of paragraphs: most lines full, the last of each shorter."""
    top = draw(st.floats(100, 140))
    widths = draw(st.lists(st.floats(0.75, 1.0) | st.just(1.0), min_size=5, max_size=30))
    widths[0] = 1.0
    return [line(x, top + n * pitch, width * share) for n, share in enumerate(widths)]


@st.composite
def text_columns(draw: st.DrawFn) -> list[Quad]:
    width, pitch = draw(st.floats(280, 600)), draw(st.floats(24, 30))
    gutter = draw(st.floats(30, 100))
    count = draw(st.integers(2, 3))
    texts = [draw(running_text(100 + n * (width + gutter), width, pitch)) for n in range(count)]
    return list(itertools.chain(*texts))


@given(text_columns(), TURNS, st.integers())
def test_columns_are_read_one_after_the_other_on_a_turned_page(
    lines: list[Quad], degrees: float, seed: int
) -> None:
    assert_read_as_listed(lines, degrees, seed)


@given(text_columns(), st.floats(200, 900), TURNS, st.integers())
def test_a_heading_over_the_columns_comes_before_them(
    lines: list[Quad], width: float, degrees: float, seed: int
) -> None:
    assert_read_as_listed([line(200, 20, width, 36), *lines], degrees, seed)


@given(st.floats(3, 60), st.integers(3, 40), TURNS, st.integers())
@example(8, 20, 0, 0)
def test_a_heading_close_to_level_columns_comes_before_them(
    gap: float, count: int, degrees: float, seed: int
) -> None:
    heading = line(100, 20, 900, 36)
    texts = [[line(x, 56 + gap + n * 28, 420) for n in range(count)] for x in (100, 580)]
    assert_read_as_listed([heading, *texts[0], *texts[1]], degrees, seed)


RECEIPT_ROWS = st.tuples(st.floats(66, 300), st.floats(40, 90), st.floats(-4, 4))


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


@pytest.mark.parametrize("columns", [1, 3])
def test_values_beside_labels_of_two_lines_are_read_row_by_row(columns: int) -> None:
    """Values stand in the middle of the height of their labels."""
    boxes, texts = [], []
    rows: list[int] = []
    y = 0
    for n in range(12):
        is_long = n % 3 == 2
        for k in range(1 + is_long):
            # Boxes of close lines overlap.
            boxes.append(line(20, y + 19 * k, 150 + 17 * (n * 7 % 9), 26))
            texts.append("Carbon dioxide")
        for k in range(columns):
            boxes.append(line(420 + 120 * k, y + 9 * is_long, 60, 26))
            texts.append("10 000")
        rows += [n] * (len(boxes) - len(rows))
        y += 21 + 19 * is_long
    read_rows = [rows[n] for n in reading_order(boxes, texts)]
    assert read_rows == sorted(read_rows)


@given(st.integers(), st.integers(2, 12), st.integers(2, 12))
def test_single_characters_have_no_direction(seed: int, rows: int, width: int) -> None:
    """A detector's box of a digit begins at any of its corners."""
    rng = random.Random(seed)
    digits = [line(60 * n, 50 * m, rng.choice((13, 24)), 30) for m in range(rows) for n in range(width)]
    for n, box in enumerate(digits):
        first = rng.randrange(4)
        a, b, c, d = (*box[first:], *box[:first])
        digits[n] = a, b, c, d
    assert_read_as_listed(digits, seed=seed)


def paragraph(x: float, y: float, count: int) -> list[Quad]:
    return [line(x, y + 28 * n, 420 - 40 * (n % 3 == 2)) for n in range(count)]


@pytest.mark.parametrize("quarter", [90, 180, 270])
def test_text_of_another_direction_comes_after_the_columns_and_in_its_own_order(quarter: int) -> None:
    stamp = [turned(box, quarter) for box in (line(-200, -2000, 180), line(-200, -1960, 150))]
    a, b = stamp[0][0]
    # Between the columns, where it would be in the way.
    stamp = [(*(Point(x - a + 550, y - b + 400) for x, y in box),) for box in stamp]  # type: ignore[misc]
    assert_read_as_listed([*paragraph(100, 100, 30), *paragraph(640, 100, 30), *stamp], seed=quarter)


def test_two_receipts_that_lie_head_to_foot_are_read_one_after_the_other() -> None:
    def receipt(rows: int) -> list[Quad]:
        return [box for n in range(rows) for box in (line(20, 40 * n, 200), line(400, 40 * n, 70))]

    other = [turned(box, 180) for box in receipt(12)]
    below = [(*(Point(x + 600, y + 1500) for x, y in box),) for box in other]
    assert_read_as_listed([*receipt(15), *below])  # type: ignore[list-item]


def test_single_characters_of_a_vertical_line_go_with_it() -> None:
    stamp = [turned(line(0, 0, 300, 24), 270), *(line(-2, -330 - 26 * n, 24, 22) for n in range(4))]
    stamp = [(*(Point(x + 40, y + 900) for x, y in box),) for box in stamp]  # type: ignore[misc]
    assert_read_as_listed([*paragraph(100, 100, 30), *paragraph(640, 100, 30), *stamp])


def test_values_are_read_with_their_keys() -> None:
    keys = ("Invoice number", "Invoice date", "Order number", "Amount due")
    values = ("INV-2026-733", "14 March 2026", "55120-98", "EUR 7870.00")
    rows = [(line(100, 100 + 26 * n, 150), line(420, 100 + 26 * n, 130)) for n in range(4)]
    texts = [text for row in zip(keys, values, strict=True) for text in row]
    assert_read_as_listed([box for row in rows for box in row], texts=texts)


def test_lists_side_by_side_are_read_one_after_the_other() -> None:
    left = [line(100, 100 + 26 * n, width) for n, width in enumerate((240, 150, 215))]
    right = [line(760, 100 + 26 * n, width) for n, width in enumerate((170, 152, 208, 118))]
    assert_read_as_listed([*left, *right])


def test_rows_of_a_receipt_that_is_not_flat_are_read_in_order() -> None:
    """The right side hangs lower, by more the farther down."""
    rows = [(line(100, 60 * n, 200, 34), line(500, 61.5 * n + 4, 90, 34)) for n in range(8)]
    assert_read_as_listed([box for row in rows for box in row])


def test_a_page_nested_to_any_depth_is_read() -> None:
    """On each level a line above and a line to the left of all that follows."""
    lines = []
    for start in range(0, 60_000, 40):
        lines.append(line(start, start, 200_000 - start))
        lines.append(line(start, start + 30, 20, 99_969 - start))
    assert sorted(reading_order(lines)) == list(range(len(lines)))


def crowded(rng: random.Random) -> Iterable[Quad]:
    for _ in range(1500):
        yield line(rng.randrange(5000), rng.randrange(7000), rng.randint(1, 400), rng.randint(1, 40))


@pytest.mark.parametrize(
    "lines",
    [
        [line(80 * n, 30 * m, 60) for m in range(50) for n in range(30)],
        [line(500 * n, 30 * m, 470) for n in range(8) for m in range(190)],
        list(crowded(random.Random(0))),
    ],
    ids=["table", "newspaper", "crowd"],
)
def test_a_page_of_1500_lines_is_ordered_at_once(lines: list[Quad]) -> None:
    started = time.process_time()
    assert sorted(reading_order(lines)) == list(range(len(lines)))
    assert time.process_time() - started < 5


def test_a_page_without_text_has_no_order() -> None:
    assert reading_order([]) == []
