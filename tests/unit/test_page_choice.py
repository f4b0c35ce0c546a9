"""Ranges of pages on the command line."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumer.cli.page_choice import ALL_PAGES, PageChoice


@pytest.mark.parametrize(
    ("text", "pages"),
    [
        ("3", [3]),
        ("3-7", [3, 4, 5, 6, 7]),
        ("1,4,9-", [1, 4, 9, 10]),
        ("5-,2", [2, 5, 6, 7, 8, 9, 10]),
        ("2-4, 3-5,4", [2, 3, 4, 5]),
        ("10-12", [10]),
        ("11-", []),
    ],
)
def test_ranges_choose_pages(text: str, pages: list[int]) -> None:
    choice = PageChoice.parse(text)
    assert [page for page in range(1, 11) if page in choice] == pages
    assert choice.count(10) == len(pages)


@pytest.mark.parametrize("text", ["", "0", "a", "3-2", "-3", "1,,2", "1-2-3", "0-5", "1;2", "1.5"])
def test_anything_else_is_refused_and_quoted(text: str) -> None:
    with pytest.raises(ValueError, match="is no range of pages"):
        PageChoice.parse(text)


@given(st.lists(st.tuples(st.integers(1, 30), st.integers(0, 5)), min_size=1), st.integers(0, 40))
def test_pages_are_counted_once(ranges: list[tuple[int, int]], page_count: int) -> None:
    choice = PageChoice.parse(",".join(f"{first}-{first + more}" for first, more in ranges))
    assert choice.count(page_count) == sum(page in choice for page in range(1, page_count + 1))
    assert choice.last == max(page for page in range(1, 40) if page in choice)


def test_by_default_all_pages_are_chosen() -> None:
    assert (ALL_PAGES.count(20_000), 20_000 in ALL_PAGES) == (20_000, True)
