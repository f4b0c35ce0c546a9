"""Rows, columns and spans of a table are found by its rules, the white between words, and the network."""

from collections.abc import Sequence
from dataclasses import replace

import cv2
import numpy as np
import numpy.typing as npt

from consumer.child.page_layout.detector import Region
from consumer.child.page_layout.grid import Grid, build_grid, text_rows
from consumer.child.page_layout.paragraphs import BlockLine
from consumer.child.page_layout.rules import Rule, find_rules, ruled_areas
from consumer.child.page_layout.spans import TableEvidence
from consumer.child.page_layout.structure import StructureCell
from consumer.child.page_layout.tables import read_table, table_regions
from consumer.child.page_layout.words import Word, words_of
from consumer.domain.geometry import Rect

LINE, WIDE, HIGH = 20, 200, 40


def word(text: str, row: float, column: float, *, wide: float = 80) -> Word:
    """A word in the middle of a cell of a grid of `WIDE` x `HIGH` pixels that begins at the origin."""
    x, y = (column + 0.5) * WIDE, (row + 0.5) * HIGH
    return Word(text, Rect(x - wide / 2, y - LINE / 2, x + wide / 2, y + LINE / 2), 0)


def table(
    words: Sequence[Word],
    rules: Sequence[Rule] = (),
    network: Sequence[StructureCell] = (),
    *,
    rows: int,
    columns: int,
) -> Grid:
    area = Rect(0, 0, columns * WIDE, rows * HIGH)
    grid = build_grid(TableEvidence(area, words, rules, network, LINE))
    assert grid is not None
    return grid


def ruled(rows: int, columns: int) -> list[Rule]:
    """Rules round all cells."""
    return [
        *(Rule("horizontal", n * HIGH, 0, columns * WIDE) for n in range(rows + 1)),
        *(Rule("vertical", n * WIDE, 0, rows * HIGH) for n in range(columns + 1)),
    ]


def shape(grid: Grid) -> list[tuple[int, int, int, int]]:
    return [(cell.row, cell.column, cell.rows, cell.columns) for cell in grid.cells]


def cell(row: int, column: int, rows: int = 1, columns: int = 1) -> StructureCell:
    """A cell of the network, which is never quite where it should be."""
    box = Rect(column * WIDE + 9, row * HIGH + 4, (column + columns) * WIDE - 13, (row + rows) * HIGH - 3)
    return StructureCell(row, column, rows, columns, box)


def test_rules_make_rows_and_columns_whatever_their_cells_hold() -> None:
    grid = table([word("a", 0, 0), word("b", 2, 1), word("c", 2, 2)], ruled(3, 3), rows=3, columns=3)
    assert shape(grid) == [(row, column, 1, 1) for row in range(3) for column in range(3)]


def test_a_rule_that_is_missing_makes_a_span() -> None:
    rules = [rule for rule in ruled(3, 3) if (rule.axis, rule.at) != ("vertical", WIDE)]
    rules.append(Rule("vertical", WIDE, HIGH, 3 * HIGH))
    words = [word("head over two", 0, 0.5, wide=150), word("a", 1, 0), word("b", 1, 1), word("c", 2, 2)]
    assert shape(table(words, rules, rows=3, columns=3))[:2] == [(0, 0, 1, 2), (0, 2, 1, 1)]


def test_a_rule_that_is_missing_between_two_rows_makes_a_span_down() -> None:
    rules = [rule for rule in ruled(3, 2) if (rule.axis, rule.at) != ("horizontal", HIGH)]
    rules.append(Rule("horizontal", HIGH, WIDE, 2 * WIDE))
    words = [word("category", 0.5, 0), word("a", 0, 1), word("b", 1, 1), word("c", 2, 0)]
    assert shape(table(words, rules, rows=3, columns=2))[:2] == [(0, 0, 2, 1), (0, 1, 1, 1)]


def test_a_word_that_reaches_over_two_columns_makes_a_span_without_any_rule() -> None:
    words = [word(f"{row}{column}", row, column) for row in range(1, 12) for column in range(3)]
    head = word("a head over two", 0, 0.5, wide=240)
    grid = table([head, word("c", 0, 2), *words], rows=12, columns=3)
    assert shape(grid)[:3] == [(0, 0, 1, 2), (0, 2, 1, 1), (1, 0, 1, 1)]


def test_two_texts_beside_each_other_are_two_cells_though_the_rule_between_them_is_missing() -> None:
    rules = [rule for rule in ruled(3, 3) if (rule.axis, rule.at) != ("vertical", WIDE)]
    rules.append(Rule("vertical", WIDE, HIGH, 3 * HIGH))
    words = [word("a", 0, 0), word("b", 0, 1), word("c", 1, 1), word("d", 2, 2)]
    assert shape(table(words, rules, rows=3, columns=3))[:2] == [(0, 0, 1, 1), (0, 1, 1, 1)]


def test_a_stroke_that_prolongs_a_rule_into_a_word_does_not_divide_it() -> None:
    rules = [rule for rule in ruled(3, 3) if (rule.axis, rule.at) != ("vertical", WIDE)]
    rules.append(Rule("vertical", WIDE, 0.3 * HIGH, 3 * HIGH))
    words = [word("head over two", 0, 0.5, wide=150), word("a", 1, 0), word("b", 1, 1), word("c", 2, 2)]
    assert shape(table(words, rules, rows=3, columns=3))[:2] == [(0, 0, 1, 2), (0, 2, 1, 1)]


def test_short_rules_make_neither_rows_nor_columns() -> None:
    stubs = [Rule("horizontal", 1.5 * HIGH, 0, WIDE / 2), Rule("vertical", WIDE / 2, 0, HIGH)]
    words = [word("a", 0, 0), word("b", 1, 1), word("c", 2, 0)]
    grid = table(words, [*ruled(3, 2), *stubs], rows=3, columns=2)
    assert (len(grid.xs), len(grid.ys)) == (3, 4)


def test_text_of_several_lines_between_rules_is_one_cell() -> None:
    words = [word("a cell of", 0, 0), word("two lines", 0.4, 0), word("7", 0.2, 1), word("b", 2, 0)]
    rules = [rule for rule in ruled(3, 2) if (rule.axis, rule.at) != ("horizontal", HIGH)]
    assert len(table(words, rules, rows=3, columns=2).ys) == 3


def test_many_rows_of_values_between_two_rules_are_rows() -> None:
    rules = [Rule("horizontal", y, 0, 2 * WIDE) for y in (0, HIGH, 6 * HIGH)]
    words = [word(text, row, column) for row in range(6) for column, text in enumerate(("name", f"1{row}"))]
    assert len(table(words, rules, rows=6, columns=2).ys) == 7


def test_the_networks_columns_are_moved_to_the_white_between_words() -> None:
    words = [word("name", row, 0, wide=190) for row in range(4)] + [
        word("17", row, 1, wide=40) for row in range(4)
    ]
    network = [cell(row, column) for row in range(4) for column in range(2)]
    grid = table(words, (), network, rows=4, columns=2)
    assert 195 <= grid.xs[1] <= 280
    assert len(grid.ys) == 5


def test_columns_of_the_network_whose_border_words_cross_are_one() -> None:
    words = [word(f"one long word {row}", row, 0.5, wide=390) for row in range(4)]
    network = [cell(row, column) for row in range(4) for column in range(2)]
    assert len(table(words, (), network, rows=4, columns=2).xs) == 2


def test_the_networks_spans_count_where_there_are_no_rules() -> None:
    network = [cell(0, 0), cell(0, 1, 1, 2), *(cell(row, column) for row in (1, 2) for column in range(3))]
    words = [
        word("head", 0, 1.5),
        *(word(f"{row}{column}", row, column) for row in (1, 2) for column in range(3)),
    ]
    assert shape(table(words, (), network, rows=3, columns=3))[:2] == [(0, 0, 1, 1), (0, 1, 1, 2)]


def test_without_rules_and_network_wide_white_makes_columns() -> None:
    words = [word(f"{row}{column}", row, column) for row in range(5) for column in range(3)]
    grid = table(words, rows=5, columns=3)
    assert (len(grid.xs), len(grid.ys)) == (4, 6)


def test_rows_that_the_network_has_not_seen_are_rows_all_the_same() -> None:
    words = [word(f"{row}{column}", row, column) for row in range(12) for column in range(3)]
    upper = [cell(row, column) for row in range(5) for column in range(3)]
    few = [cell(4 * row, column, 4) for row in range(3) for column in range(3)]
    for network in (upper, few):
        assert len(table(words, (), network, rows=12, columns=3).ys) == 13


def test_rows_of_names_below_those_that_the_network_has_seen_are_rows() -> None:
    words = [word(name, row, column) for row in range(12) for column, name in enumerate(("left", "right"))]
    upper = [cell(row, column) for row in range(5) for column in range(2)]
    assert len(table(words, (), upper, rows=12, columns=2).ys) == 13


def test_words_that_step_down_a_page_are_several_rows() -> None:
    words = [word("step", 0.25 * n, n) for n in range(12)]
    assert len(text_rows(words, LINE)) > 2


def test_a_double_rule_makes_no_row_or_column() -> None:
    rules = [*ruled(2, 2), Rule("vertical", WIDE + 6, 0, 2 * HIGH), Rule("horizontal", HIGH + 6, 0, 2 * WIDE)]
    words = [word("a", 0, 0), word("b", 1, 1)]
    assert len(table(words, rules, rows=2, columns=2).cells) == 4


def test_every_word_is_in_exactly_one_cell() -> None:
    words = [word(f"{row}{column}", row, column) for row in range(3) for column in range(3)]
    words.append(Word("outside", Rect(700, 300, 760, 320), 0))
    held = table(words, ruled(3, 3), rows=3, columns=3).held(words)
    assert sorted(each.text for cell in held for each in cell) == sorted(each.text for each in words)


def drawn(rows: int, columns: int, x: int = 100, y: int = 100) -> npt.NDArray[np.uint8]:
    """A page of 900 x 900 with a table that is drawn with lines, and its cells' names in it."""
    page = np.full((900, 900, 3), 255, np.uint8)
    for n in range(rows + 1):
        cv2.line(page, (x, y + n * HIGH), (x + columns * WIDE, y + n * HIGH), (0, 0, 0), 1)
    for n in range(columns + 1):
        cv2.line(page, (x + n * WIDE, y), (x + n * WIDE, y + rows * HIGH), (0, 0, 0), 1)
    for row in range(rows):
        for column in range(columns):
            at = (x + column * WIDE + 20, y + row * HIGH + 28)
            cv2.putText(page, f"r{row} c{column}", at, cv2.FONT_HERSHEY_SIMPLEX, 0.7, (0, 0, 0), 2)
    return page


def lines_of(rows: int, columns: int, x: int = 100, y: int = 100) -> list[BlockLine]:
    """The lines of such a page; those of the second row were read as one."""
    made: list[BlockLine] = []
    for row in range(rows):
        names = [f"r{row} c{column}" for column in range(columns)]
        starts = [x + column * WIDE + 18 for column in range(columns)]
        if row == 1:
            names, starts = [" ".join(names)], starts[:1]
        width = 85 + (columns - 1) * WIDE if row == 1 else 85
        top = y + row * HIGH + 9
        made += [
            BlockLine(len(made) + n, name, Rect(start, top, start + width, top + 24))
            for n, (name, start) in enumerate(zip(names, starts, strict=True))
        ]
    return made


def test_a_line_of_arabic_over_several_cells_begins_in_the_right_one() -> None:
    page, lines = drawn(3, 3), lines_of(3, 3)
    (row,) = [line for line in lines if line.text.startswith("r1")]
    said = "\u0627\u0633\u0645 \u0627\u0644\u0645\u0646\u062a\u062c \u0627\u0644\u0633\u0639\u0631"
    lines[row.number] = replace(row, text=said)
    cv2.rectangle(page, (102, 142), (690, 178), (255, 255, 255), -1)
    for x in (118, 318, 518):
        cv2.rectangle(page, (x, 152), (x + 80, 170), (0, 0, 0), -1)
    region = Region("table", Rect(100, 100, 700, 220), None)
    found = read_table(page, region, lines, find_rules(page, LINE), [])
    assert found is not None
    assert list(found.texts[3:6]) == said.split()[::-1]


def test_words_of_arabic_in_a_cell_stay_in_order() -> None:
    line = BlockLine(0, "\u0627\u0633\u0645 \u0627\u0644\u0645\u0646\u062a\u062c", Rect(10, 10, 190, 34))
    page = np.full((200, 700, 3), 255, np.uint8)
    other = [BlockLine(n, f"v{n}", Rect(210, 10 + 40 * n, 260, 34 + 40 * n)) for n in (1, 2)]
    found = read_table(page, Region("table", Rect(0, 0, 600, 120), None), [line, *other], ruled(3, 3), [])
    assert found is not None
    assert found.texts[0] == line.text


def test_a_drawn_table_is_found_and_read_without_any_network() -> None:
    page, lines = drawn(3, 3), lines_of(3, 3)
    rules = find_rules(page, LINE)
    (region,) = table_regions([], rules, [line.box for line in lines], LINE)
    found = read_table(page, region, lines, rules, [])
    assert found is not None
    cells = "".join(
        f"<tr>{''.join(f'<td>r{row} c{column}</td>' for column in range(3))}</tr>" for row in range(3)
    )
    assert found.html == f"<table>{cells}</table>"
    assert found.confidence is None
    assert found.lines == frozenset(range(7))


def test_strokes_of_letters_are_no_rules_of_a_table() -> None:
    page, lines = drawn(3, 3), lines_of(3, 3)
    rules = find_rules(page, LINE)
    (region,) = table_regions([], rules, [line.box for line in lines], LINE)
    stroke = Rule("horizontal", 100 + HIGH + 21, 120, 600)
    found = read_table(page, region, lines, [*rules, stroke], [])
    assert found == read_table(page, region, lines, rules, [])


def test_texts_of_a_cell_are_read_from_left_to_right_and_stand_in_it_whatever_their_direction() -> None:
    page = np.full((200, 500, 3), 255, np.uint8)
    lines = [
        BlockLine(0, "second", Rect(80, 10, 140, 30)),
        BlockLine(1, "first", Rect(20, 10, 70, 30)),
        BlockLine(2, "b", Rect(220, 10, 240, 30)),
        BlockLine(3, "upward", Rect(220, 45, 240, 75), is_upright=False),
    ]
    found = read_table(page, Region("table", Rect(0, 0, 400, 80), 0.9), lines, ruled(2, 2), [])
    assert found is not None
    assert found.texts == ("first second", "b", "", "upward")
    assert found.lines == frozenset(range(4))


def test_a_table_that_is_detected_twice_is_one_and_ends_where_its_lines_do() -> None:
    boxes = [Rect(100, y, 500, y + 24) for y in (100, 140, 180)]
    twice = [Region("table", Rect(90, 90, right, 210), 0.9) for right in (400, 420)]
    assert table_regions(twice, [], boxes, LINE) == [Region("table", Rect(100, 100, 500, 204), 0.9)]


def test_what_the_network_finds_round_two_drawn_tables_is_two_tables() -> None:
    page = np.minimum(drawn(3, 3), drawn(3, 3, y=400))
    lines = [*lines_of(3, 3), *lines_of(3, 3, y=400)]
    rules = find_rules(page, LINE)
    detected = [Region("table", Rect(90, 90, 710, 530), 0.9)]
    regions = table_regions(detected, rules, [line.box for line in lines], LINE)
    assert sorted(round(region.box.y1 / 100) for region in regions) == [1, 4]


def test_text_alone_and_a_frame_are_no_tables() -> None:
    page = np.full((900, 900, 3), 255, np.uint8)
    for n in range(20):
        cv2.putText(page, "Lines of ordinary text, with TEE", (50, 60 + 40 * n), 0, 1.0, (0, 0, 0), 2)
    cv2.rectangle(page, (20, 20), (880, 880), (0, 0, 0), 2)
    assert ruled_areas(find_rules(page, LINE), LINE) == []


def test_rules_are_found_on_slightly_turned_pages() -> None:
    turn = cv2.getRotationMatrix2D((400, 200), 0.6, 1)
    page = cv2.warpAffine(drawn(4, 3), turn, (900, 900), borderValue=(255, 255, 255))
    rules = find_rules(np.asarray(page, np.uint8), LINE)
    counts = {axis: sum(rule.axis == axis for rule in rules) for axis in ("horizontal", "vertical")}
    assert counts == {"horizontal": 5, "vertical": 4}


def test_words_are_where_their_ink_is() -> None:
    page = drawn(1, 2)
    (line,) = [BlockLine(0, "r0 c0 r0 c1", Rect(118, 109, 403, 133))]
    boxes = [round(each.box.x1, -1) for each in words_of(page, [line])]
    assert boxes[0] == 120
    assert 300 <= boxes[2] <= 330


def test_rows_without_a_line_are_no_table() -> None:
    region = Region("table", Rect(0, 0, 100, 100), 0.9)
    assert read_table(np.full((200, 200, 3), 255, np.uint8), region, lines_of(2, 2, 500, 500), [], []) is None


def test_graph_paper_is_no_table() -> None:
    page = np.full((1200, 1600, 3), 255, np.uint8)
    page[::30], page[:, ::30] = 170, 170
    lines = [BlockLine(n, f"line {n}", Rect(105, 109 + 100 * n, 235, 133 + 100 * n)) for n in range(5)]
    rules = find_rules(page, LINE)
    assert len(rules) > 80
    regions = table_regions([], rules, [line.box for line in lines], LINE)
    assert [read_table(page, region, lines, rules, []) for region in regions] == [None]


def test_rows_of_three_cells_in_a_picture_are_a_table_and_those_of_a_receipt_are_not() -> None:
    boxes = [Rect(x, y, x + 80, y + 24) for y in range(100, 340, 40) for x in (100, 300, 500)]
    picture = [Region("image", Rect(90, 90, 610, 340), 0.8)]
    assert [region.label for region in table_regions(picture, [], boxes, LINE)] == ["table"]
    assert table_regions(picture, [], [box for box in boxes if box.x1 != 300], LINE) == []


def test_columns_of_a_page_are_no_table() -> None:
    lines = [
        BlockLine(2 * n + m, "lines of prose", Rect(100 + 300 * m, 100 + 30 * n, 380 + 300 * m, 124 + 30 * n))
        for n in range(20)
        for m in range(2)
    ]
    network = [
        StructureCell(0, column, 1, 1, Rect(300 * column, 0, 300 * column + 300, 700)) for column in (0, 1)
    ]
    region = Region("table", Rect(90, 90, 700, 700), 0.6)
    assert read_table(np.full((900, 900, 3), 255, np.uint8), region, lines, [], network) is None
