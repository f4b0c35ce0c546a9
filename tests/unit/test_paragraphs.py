"""Lines become paragraphs, and words divided at the ends of lines become one."""

import pytest

from consumer.child.page_layout.paragraphs import BlockLine, compounds_of, is_item, joined, paragraphs
from consumer.domain.geometry import Rect

HEIGHT, LEADING = 20, 26


def lines(*texts: str, indents: tuple[int, ...] = (), width: int = 600) -> list[BlockLine]:
    """Lines below each other, each as wide as `width`; a text that ends with "|" is half as wide."""
    made = []
    for n, text in enumerate(texts):
        x = indents[n] if n < len(indents) else 0
        end = width // 2 if text.endswith("|") else width
        box = Rect(x, n * LEADING, end, n * LEADING + HEIGHT)
        made.append(BlockLine(n, text.rstrip("|"), box))
    return made


def texts(block: list[BlockLine], right: float = 600) -> list[list[str]]:
    return [[line.text for line in part] for part in paragraphs(block, right)]


@pytest.mark.parametrize(
    ("above", "below", "text"),
    [
        ("an exam-", "ple of it", "an example of it"),
        ("an exam\u00ad", "ple of it", "an example of it"),
        ("Jean-", "Paul Sartre", "Jean-Paul Sartre"),
        ("pages 12-", "14 of it", "pages 12-14 of it"),
        ("the COVID-", "19 cases", "the COVID-19 cases"),
        ("either -", "or", "either - or"),
        ("short-", "or long-term", "short- or long-term"),
        ("Vor-", "und Nachteile", "Vor- und Nachteile"),
        ("at https://a.org/our-", "page", "at https://a.org/our-page"),
        ("to me@our-", "house.org", "to me@our-house.org"),
        ("the end", "of it", "the end of it"),
        ("中文排", "版行", "中文排版行"),
    ],
)
def test_lines_are_joined_with_a_space_and_divided_words_without(above: str, below: str, text: str) -> None:
    assert joined([above, below]) == text


def test_a_compound_that_the_page_has_elsewhere_keeps_its_hyphen() -> None:
    page = ["a well-known fact", "it is a well-", "known exam-", "ple"]
    assert joined(page[1:], compounds_of(page)) == "it is a well-known example"
    assert joined(["his mother-in-", "law"], compounds_of(["A mother-in-law"])) == "his mother-in-law"


def test_full_lines_are_one_paragraph_and_a_short_one_ends_it() -> None:
    block = lines(
        "These are lines of prose that", "end where their words do.|", "The next one begins", "here"
    )
    assert texts(block) == [
        ["These are lines of prose that", "end where their words do."],
        ["The next one begins", "here"],
    ]


def test_a_line_that_left_no_room_for_the_next_word_does_not_end_a_paragraph() -> None:
    ragged = BlockLine(0, "ragged lines leave", Rect(0, 0, 540, HEIGHT))
    after = BlockLine(1, "extraordinarily long words over", Rect(0, LEADING, 600, LEADING + HEIGHT))
    assert texts([ragged, after]) == [["ragged lines leave", "extraordinarily long words over"]]


def test_an_indent_begins_a_paragraph() -> None:
    block = lines("   First", "goes on to the end", "   Second", "goes on", indents=(40, 0, 40, 0))
    assert texts(block) == [["   First", "goes on to the end"], ["   Second", "goes on"]]


def test_a_gap_begins_a_paragraph() -> None:
    above, below = lines("One line", "another line")
    lower = BlockLine(1, below.text, Rect(0, 60, 600, 80))
    assert texts([above, lower]) == [["One line"], ["another line"]]


def test_items_of_a_list_are_paragraphs_with_the_lines_below_them() -> None:
    block = lines(
        "\u2022 first of the items", "that goes on here", "\u2022 second", "2) third", indents=(0, 20, 0, 0)
    )
    assert texts(block) == [
        ["\u2022 first of the items", "that goes on here"],
        ["\u2022 second"],
        ["2) third"],
    ]


@pytest.mark.parametrize("text", ["\u2022 a", "- a", "1. a", "(b) c", "iv) a", "[12] Knuth"])
def test_bullets_and_numbers_begin_items(text: str) -> None:
    assert is_item(text)


@pytest.mark.parametrize("text", ["a - b", "1.5 per cent", "-12", "2024 was", "A sentence.", "*) see"])
def test_ordinary_lines_begin_none(text: str) -> None:
    assert not is_item(text)
