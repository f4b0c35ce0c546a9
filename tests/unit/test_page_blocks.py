"""Every line is in a block; heads, feet and page numbers are told from text; markdown has the rest."""

import pytest

from consumer.child.page_layout.blocks import PageBlock, page_blocks
from consumer.child.page_layout.detector import Region
from consumer.child.page_layout.markdown import as_line, markdown
from consumer.child.page_layout.paragraphs import BlockLine
from consumer.child.page_layout.spans import Cell
from consumer.child.page_layout.tables import FoundTable
from consumer.domain.geometry import Rect

SIZE = (1000, 1400)
HEIGHT = 20


def line(
    number: int, text: str, y: float, x: float = 100, *, width: float = 800, height: float = HEIGHT
) -> BlockLine:
    return BlockLine(number, text, Rect(x, y, x + width, y + height))


def region(label: str, top: float, bottom: float, confidence: float = 0.9) -> Region:
    return Region(label, Rect(90, top, 910, bottom), confidence)


def prose(first: int, top: float, count: int = 6) -> list[BlockLine]:
    return [line(first + n, f"line {n} of the prose", top + 26 * n) for n in range(count)]


def by_label(blocks: list[PageBlock]) -> dict[str, list[str]]:
    labels: dict[str, list[str]] = {}
    for block in blocks:
        labels.setdefault(block.label, []).append(block.content)
    return labels


def test_lines_of_a_region_are_a_block_and_loose_ones_are_blocks_of_their_own() -> None:
    page = [*prose(0, 300), line(6, "alone", 700), line(7, "with it", 726), line(8, "far away", 900)]
    blocks = page_blocks(SIZE, page, [region("text", 290, 460)], [])
    assert [[each.number for each in block.lines] for block in blocks] == [[0, 1, 2, 3, 4, 5], [6, 7], [8]]
    assert [block.order for block in blocks] == [1, 2, 3]
    assert [block.confidence for block in blocks] == [0.9, None, None]


@pytest.mark.parametrize(
    "below", [line(1, "larger", 126, height=30), line(1, "beside", 126, x=600, width=200)]
)
def test_loose_lines_of_another_size_or_column_are_blocks_of_their_own(below: BlockLine) -> None:
    blocks = page_blocks(SIZE, [line(0, "above", 100, width=300), below, *prose(2, 600)], [], [])
    assert [block.content for block in blocks][:2] == ["above", below.text]


def test_blocks_come_in_the_reading_order_of_their_lines() -> None:
    page = [line(0, "right, and read first", 300), line(1, "left", 100)]
    blocks = page_blocks(SIZE, page, [region("text", 90, 130), region("text", 290, 330)], [])
    assert [block.content for block in blocks] == ["right, and read first", "left"]


def test_heads_feet_and_page_numbers_are_left_out_of_markdown() -> None:
    page = [
        line(0, "The running head", 40, width=300),
        *prose(1, 200),
        line(7, "1 A footnote.", 1150, width=300),
        line(8, "- 17 -", 1340, x=480, width=60),
    ]
    regions = [region("header", 35, 65), region("text", 195, 360), region("footer", 1335, 1365)]
    blocks = page_blocks(SIZE, page, regions, [])
    labels = by_label(blocks)
    assert labels["header"] == ["The running head"]
    assert labels["number"] == ["- 17 -"]
    assert [block.order for block in blocks] == [None, 1, 2, None]
    text = markdown(blocks)
    assert "head" not in text
    assert "17" not in text
    assert text.endswith("1 A footnote.")


@pytest.mark.parametrize("number", ["7", "Page 3 of 12", "xiv", "A-3", "\u2013 5 \u2013", "12/40"])
def test_a_page_number_is_known_by_its_place_and_form_without_the_network(number: str) -> None:
    page = [*prose(0, 200), line(6, number, 1340, x=480, width=60)]
    assert by_label(page_blocks(SIZE, page, [], []))["number"] == [number]


def test_what_stands_beside_a_page_number_is_a_running_head() -> None:
    page = [line(0, "12", 40, width=30), line(1, "Chapter One", 40, x=700, width=200), *prose(2, 200)]
    labels = by_label(page_blocks(SIZE, page, [], []))
    assert (labels["number"], labels["header"]) == (["12"], ["Chapter One"])


def test_a_number_amid_the_page_and_a_head_that_is_not_on_top_are_text() -> None:
    page = [*prose(0, 100), line(6, "12", 700, width=30), *prose(7, 800)]
    blocks = page_blocks(SIZE, page, [region("header", 695, 725)], [])
    assert {block.label for block in blocks} == {"text"}


@pytest.mark.parametrize(
    ("top", "confidence", "label"), [(30, 0.45, "header"), (120, 0.7, "header"), (120, 0.5, "text")]
)
def test_a_head_is_at_the_very_edge_or_the_network_is_certain_of_it(
    top: int, confidence: float, label: str
) -> None:
    page = [line(0, "Annual report", top, width=300), *prose(1, 300)]
    blocks = page_blocks(SIZE, page, [region("header", top - 5, top + 25, confidence)], [])
    assert [block.label for block in blocks] == [label, "text"]


def test_a_head_with_text_further_out_is_text() -> None:
    page = [line(0, "on top", 20), line(1, "Annual report", 120, width=300), *prose(2, 300)]
    blocks = page_blocks(SIZE, page, [region("header", 115, 145)], [])
    assert by_label(blocks)["text"][:2] == ["on top", "Annual report"]


def test_the_only_line_of_a_page_is_text() -> None:
    assert markdown(page_blocks(SIZE, [line(0, "42", 40)], [region("header", 35, 65)], [])) == "42"


def test_large_print_is_a_heading_and_the_largest_on_top_the_title() -> None:
    page = [
        line(0, "Title", 100, height=50),
        *prose(1, 300),
        line(7, "Heading", 600, height=30),
        *prose(8, 700),
    ]
    blocks = page_blocks(SIZE, page, [], [])
    assert [block.label for block in blocks] == ["doc_title", "text", "paragraph_title", "text"]
    assert markdown(blocks).startswith("# Title\n\nline 0")
    assert "\n\n## Heading\n\n" in markdown(blocks)


def test_several_lines_of_usual_print_are_no_heading() -> None:
    blocks = page_blocks(SIZE, prose(0, 200), [region("paragraph_title", 190, 370)], [])
    assert [block.label for block in blocks] == ["text"]


def test_a_table_is_a_block_with_its_html_at_the_place_of_its_first_line() -> None:
    page = [line(0, "above", 100), line(1, "cell", 200), line(2, "below", 300)]
    box = Rect(90, 190, 910, 230)
    table = FoundTable(box, 0.8, (Cell(0, 0, 1, 1, box),), ("a < b",), frozenset({1}))
    blocks = page_blocks(SIZE, page, [region("text", 90, 330)], [table])
    assert [block.label for block in blocks] == ["text", "table"]
    assert markdown(blocks) == "above\n\nbelow\n\n<table><tr><td>a &lt; b</td></tr></table>"


def test_text_in_a_picture_is_kept_line_by_line_and_a_picture_without_text_has_no_place() -> None:
    page = [*prose(0, 100, 2), line(2, "in the picture", 400)]
    blocks = page_blocks(SIZE, page, [region("image", 80, 160), region("image", 700, 900)], [])
    assert markdown(blocks) == "line 0 of the prose\n\nline 1 of the prose\n\nin the picture"
    assert (blocks[-1].label, blocks[-1].order, blocks[-1].content) == ("image", None, "")


def test_a_line_in_another_direction_is_a_block_of_its_own() -> None:
    aside = BlockLine(6, "up the margin", Rect(92, 100, 112, 400), is_upright=False)
    blocks = page_blocks(SIZE, [*prose(0, 100), aside], [region("text", 90, 420)], [])
    assert [block.content for block in blocks][1:] == ["up the margin"]


def test_the_region_of_a_line_may_be_drawn_close_to_its_letters() -> None:
    head = line(0, "Sawyer", 40, 560, width=66)
    close = Region("header", Rect(564, head.box.y1 + 6, 622, head.box.y2 - 6), 0.93)
    blocks = page_blocks(SIZE, [head, *prose(1, 100)], [close], [])
    assert blocks[0].label == "header"


def test_lines_that_end_far_before_their_column_does_are_not_joined() -> None:
    address = [line(6, "Jane Smith", 500, width=300), line(7, "12 High Street", 526, width=300)]
    blocks = page_blocks(SIZE, [*prose(0, 100), *address], [region("text", 490, 550)], [])
    assert markdown(blocks).endswith("\n\nJane Smith\n\n12 High Street")


def test_the_last_line_of_a_paragraph_of_arabic_ends_it() -> None:
    said = "\u0643\u0644\u0645\u0629 \u0623\u062e\u0631\u0649 \u0647\u0646\u0627"
    short = [line(n, said, 100 + 26 * n, 500, width=400) for n in (2, 5)]
    full = [line(n, said, 100 + 26 * n) for n in (0, 1, 3, 4)]
    page = sorted([*full, *short], key=lambda each: each.number)
    paragraph = " ".join([said] * 3)
    assert markdown(page_blocks(SIZE, page, [], [])) == f"{paragraph}\n\n{paragraph}"


def test_items_are_a_list_in_markdown() -> None:
    items = [line(n, text, 100 + 26 * n) for n, text in enumerate(["\u2022 one", "\u2022 two"])]
    blocks = page_blocks(SIZE, [*items, line(2, "after them", 200)], [], [])
    assert markdown(blocks) == "- one\n- two\n\nafter them"


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("<script> it", "&lt;script> it"),
        ("&lt;script&gt;", "&amp;lt;script&amp;gt;"),
        ("# no heading", r"\# no heading"),
        ("- # no heading", r"- \# no heading"),
        ("- - -", r"- \- -"),
        ("``` no code", r"\`\`\` no code"),
        ("1. ~~~", r"1. \~\~~"),
        ("[no link](javascript:it)", r"[no link]\(javascript:it)"),
        ("[1]: no target", r"[1]\: no target"),
        ("a < b", "a < b"),
        ("AT&T", "AT&T"),
        ("-5", "-5"),
    ],
)
def test_text_does_not_become_markup(text: str, written: str) -> None:
    assert markdown(page_blocks(SIZE, [line(0, text, 700)], [], [])) == written


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("![no picture](http://it)", r"![no picture]\(http://it)"),
        ("<script> it", "&lt;script> it"),
        ("# no heading", r"\# no heading"),
        ("- no item", r"\- no item"),
        ("=", r"\="),
        ("--", r"\--"),
        ("-5", "-5"),
        ("1. first", "1. first"),
    ],
)
def test_a_line_does_not_become_markup_where_there_is_no_layout(text: str, written: str) -> None:
    """Under another line a dash alone would make that a heading."""
    assert as_line(text) == written


def test_a_page_without_lines_has_no_text() -> None:
    blocks = page_blocks(SIZE, [], [region("text", 100, 200), region("image", 300, 400)], [])
    assert [block.label for block in blocks] == ["image"]
    assert markdown(blocks) == ""
