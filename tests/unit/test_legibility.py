"""A page says how well it was read, and warns if text of it could not be read."""

import pytest

from consumer.domain.errors import Code
from consumer.domain.geometry import Point, Quad
from consumer.domain.legibility import TextLine, low_confidence, mean_confidence


def quad(length: int = 100) -> Quad:
    return Point(0, 0), Point(length, 0), Point(length, 10), Point(0, 10)


def read(text: str, confidence: float = 0.99, length: int = 100) -> TextLine:
    return TextLine(quad(length), text, confidence)


def test_the_confidence_of_a_page_counts_each_line_by_its_characters() -> None:
    assert mean_confidence([read("abc", 0.5), read("d", 0.9)]) == pytest.approx(0.6)
    assert mean_confidence([]) is None


def test_a_page_that_was_read_well_has_no_warning() -> None:
    assert low_confidence([read("A line of words")] * 40, [], 1) is None
    assert low_confidence([], [], 1) is None


def test_a_stain_among_many_lines_is_no_reason_to_warn() -> None:
    assert low_confidence([read("A line of words")] * 40, [quad()], 1) is None


@pytest.mark.parametrize(("read_lines", "unread"), [(0, 1), (10, 1), (300, 5)])
def test_a_page_with_text_that_could_not_be_read_has_a_warning(read_lines: int, unread: int) -> None:
    warning = low_confidence([read("A line of words")] * read_lines, [quad()] * unread, 7)

    assert warning is not None
    assert (warning.code, warning.page_number) == (Code.LOW_CONFIDENCE, 7)
    assert f"{unread} of {read_lines + unread} lines" in warning.message


def test_a_page_that_was_read_badly_has_a_warning() -> None:
    warning = low_confidence([read("A l1ne 0f w0rcls", 0.7), read("A line of words")], [], 1)

    assert warning is not None
    assert "1 of 2 lines" in warning.message


def test_text_of_letters_that_look_like_cyrillic_is_called_so() -> None:
    warning = low_confidence([read("MOCKBA COCHA KOPA TOPT"), read("TEATP METPO BECHA")], [], 1)

    assert warning is not None
    assert "Cyrillic" in warning.message


@pytest.mark.parametrize(
    "text",
    [
        "THE MARKET AT THE CORNER OF THE PARK",
        "CHECK",
        "A B C " * 10,
        "OK " * 15,
        "3.50 4.20 12 345 678 901 234 567",
    ],
)
def test_latin_text_is_not_called_cyrillic(text: str) -> None:
    assert low_confidence([read(text)], [], 1) is None


def test_greek_is_called_so() -> None:
    warning = low_confidence([read("\u03b9\u03bb\u03b3\u03b9 \u03b5\u03c3\u03b9", 0.8)], [], 1)

    assert warning is not None
    assert "Greek" in warning.message
