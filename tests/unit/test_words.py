"""Words of a line are boxed by their ink, which is found between the places of their characters."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumer.child.pixels import Image
from consumer.child.ppstructure.lines import ReadText, keeping_characters
from consumer.child.rapidocr.engine import from_right_to_left
from consumer.child.rapidocr.networks import Places
from consumer.child.rapidocr.recognition import _decoded
from consumer.child.words import PLACE_PX, Character, find_words
from consumer.domain.geometry import Point, part_of
from consumer.domain.legibility import TextWord

#: Left, top, right and bottom of the ink of words.
INK = [(10, 14, 70, 36), (90, 20, 150, 36), (158, 14, 190, 36)]


def drawn(ink: list[tuple[int, int, int, int]], width: int = 200, *, is_white: bool = False) -> Image:
    line = np.full((48, width, 3), 255, np.uint8)
    for x1, y1, x2, y2 in ink:
        # Not all of it: a letter is no block.
        line[y1:y2, x1:x2:3] = 0
        line[y1, x1:x2] = line[y2 - 1, x1:x2] = 0
        line[y1:y2, x2 - 1] = 0
    return 255 - line if is_white else line


def read(*words: tuple[str, int, int], likely: float = 0.5) -> list[Character]:
    """Characters at even distances, each word from its left to its right."""
    found: list[Character] = []
    for text, left, right in words:
        places = np.linspace(left, right, len(text), endpoint=False) / PLACE_PX
        found += [
            Character(each, float(place), likely, is_spaced=n == 0 and bool(found))
            for n, (each, place) in enumerate(zip(text, places, strict=True))
        ]
    return found


THREE = read(("abc", 10, 70), ("de", 90, 150), ("f", 158, 190))


def boxes(line: Image, characters: list[Character]) -> list[tuple[float, ...]]:
    height, width = line.shape[:2]
    return [
        (word.left * width, word.top * height, word.right * width, word.bottom * height)
        for word in find_words(line, characters)
    ]


def around(ink: list[tuple[int, int, int, int]]) -> list[Any]:
    return [pytest.approx((x1 - 1, y1 - 1, x2 + 1, y2 + 1), abs=1.01) for x1, y1, x2, y2 in ink]


@pytest.mark.parametrize("is_white", [False, True])
def test_a_box_is_a_little_larger_than_the_ink(is_white: bool) -> None:
    line = drawn(INK, is_white=is_white)
    assert [word.text for word in find_words(line, THREE)] == ["abc", "de", "f"]
    assert boxes(line, THREE) == around(INK)


def test_places_that_are_a_little_off_cost_nothing() -> None:
    late = [each._replace(place=each.place + 0.8) for each in THREE]
    assert boxes(drawn(INK), late) == around(INK)


def test_rules_of_a_table_and_ink_of_other_lines_are_not_of_the_word() -> None:
    line = drawn(INK)
    line[44:46] = 0
    line[:, 196:198] = 0
    line[0:3, 20:40] = 0
    line[46:48, 100:110] = 0
    assert boxes(line, THREE) == around(INK)


def test_words_that_touch_are_parted_in_the_middle() -> None:
    line = drawn([(10, 14, 150, 36)])
    first, second = find_words(line, read(("ab", 10, 80), ("cd", 80, 150)))
    assert first.right == pytest.approx(second.left, abs=0.02)
    assert first.right * 200 == pytest.approx(70, abs=10)


def test_characters_of_chinese_are_words_and_parted_from_others() -> None:
    characters = read(("東京v2", 10, 170))
    assert [word.text for word in find_words(drawn(INK), characters)] == ["東", "京", "v2"]


def test_a_word_is_as_likely_as_its_characters_are_on_average() -> None:
    likely = [each._replace(likely=n / 10) for n, each in enumerate(read(("abc", 10, 70)))]
    (word,) = find_words(drawn(INK), likely)
    assert word.confidence == pytest.approx(0.1)


def test_a_line_without_ink_has_its_words_all_the_same() -> None:
    assert [word.text for word in find_words(drawn([]), THREE)] == ["abc", "de", "f"]
    assert find_words(drawn(INK), []) == []


@given(
    st.lists(st.tuples(st.sampled_from("ab 東"), st.floats(0, 40), st.booleans()), max_size=30),
    st.integers(1, 300),
    st.integers(1, 100),
)
def test_no_places_are_too_odd(characters: list[tuple[str, float, bool]], width: int, height: int) -> None:
    rng = np.random.default_rng(width)
    line = rng.integers(0, 256, (height, width, 3), np.uint8)
    read_ones = [Character(text, place, 0.5, spaced) for text, place, spaced in characters]
    found = find_words(line, read_ones)
    assert "".join(word.text for word in found) == "".join(each.text.strip() for each in read_ones)
    for word in found:
        assert 0 <= word.left <= word.right <= 1
        assert 0 <= word.top <= word.bottom <= 1


def likely(*classes: int, count: int = 5) -> npt.NDArray[np.float32]:
    places = np.full((len(classes), count), 0.01, np.float32)
    for place, number in enumerate(classes):
        places[place, number] = 0.9
    return places


def test_rapidocr_keeps_where_each_character_begins() -> None:
    # The blank, a, b, 1, and the space.
    reading = _decoded(Places.of(likely(0, 1, 1, 0, 1, 4, 2, 2), 0), ["", "a", "b", "1", " "])
    assert reading.text == "aa b"
    kept = [(each.text, each.place, each.is_spaced) for each in reading.characters if each.text != " "]
    assert kept == [("a", 1.0, False), ("a", 4.0, False), ("b", 6.0, False)]
    assert {round(each.likely, 3) for each in reading.characters} == {0.9}


def test_paddlexs_texts_keep_where_each_character_begins() -> None:
    def decode(indices: object, likely: object, **named: object) -> list[tuple[str, float]]:
        return [("ab", 0.9), ("longer than it was read", 0.9)]

    indices = np.array([[0, 1, 1, 0, 2], [0, 1, 1, 0, 2]])
    scores = np.array([[0.1, 0.8, 0.9, 0.1, 0.7]] * 2, np.float32)
    (read_text, _), (other, _) = keeping_characters(decode)(indices, scores)
    assert isinstance(read_text, ReadText)
    assert read_text == "ab"
    assert [(each.text, each.place) for each in read_text.characters] == [("a", 1.0), ("b", 4.0)]
    assert [each.likely for each in read_text.characters] == pytest.approx([0.8, 0.7])
    assert not isinstance(other, ReadText)


def test_words_of_arabic_are_in_the_order_of_the_text() -> None:
    """It was read from left to right: the end of the text comes first, and every word is reversed."""
    words = [
        TextWord(_square(n), text[::-1] if n else text, 0.9) for n, text in enumerate(("12", "عالم", "مرحبا"))
    ]
    ordered = from_right_to_left(words, "مرحبا عالم 12")
    assert [word.text for word in ordered] == ["مرحبا", "عالم", "12"]
    assert [word.quad for word in ordered] == [_square(2), _square(1), _square(0)]


def _square(n: int) -> tuple[Point, Point, Point, Point]:
    return Point(10 * n, 0), Point(10 * n + 9, 0), Point(10 * n + 9, 9), Point(10 * n, 9)


def test_a_part_of_a_slanted_box_slants() -> None:
    quad = (Point(0, 0), Point(100, 100), Point(90, 110), Point(-10, 10))
    assert part_of(quad, 0.5, 0.0, 1.0, 1.0) == (
        Point(50, 50),
        Point(100, 100),
        Point(90, 110),
        Point(40, 60),
    )
    assert part_of(quad, 0.0, 0.5, 1.0, 1.0)[0] == Point(-5, 5)
