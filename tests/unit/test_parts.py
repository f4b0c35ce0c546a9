"""Which pages of a long document are stored, and under which keys."""

import itertools
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumer.domain import keys, parts
from consumer.domain.parts import Identity, PageRange, Piece, Progress

KEY = "a b/ü.pdf"
LAST = 40
IDENTITY = Identity.of("etag", None, "sha256:1", LAST)

page_ranges = st.tuples(st.integers(1, LAST), st.integers(1, LAST)).map(lambda x: PageRange(min(x), max(x)))


def piece(pages: PageRange, *, exhausted: bool = False) -> Piece:
    return Piece.named(KEY, IDENTITY, pages, exhausted=exhausted)


def numbers(pages: PageRange) -> set[int]:
    return set(range(pages.first, pages.last + 1))


pieces = st.lists(st.builds(piece, page_ranges, exhausted=st.booleans()), max_size=12)


@given(page_ranges, st.lists(page_ranges, max_size=8))
def test_missing_pages_are_those_that_are_wanted_and_not_stored(
    wanted: PageRange, stored: list[PageRange]
) -> None:
    gaps = parts.missing(wanted, stored)
    expected = numbers(wanted).difference(*map(numbers, stored))
    assert [page for gap in gaps for page in range(gap.first, gap.last + 1)] == sorted(expected)
    # As few as possible: no two touch.
    assert all(before.last + 1 < after.first for before, after in itertools.pairwise(gaps))


@given(pieces)
def test_every_page_is_taken_once_in_order_from_a_piece_that_has_it(stored: list[Piece]) -> None:
    complete = not parts.missing(PageRange(1, LAST), [each.pages for each in stored])
    if not complete:
        with pytest.raises(ValueError, match="not all pages"):
            parts.steps(LAST, stored)
        return
    steps = parts.steps(LAST, stored)
    assert [page for step in steps for page in sorted(numbers(step.pages))] == list(range(1, LAST + 1))
    assert all(numbers(step.pages) <= numbers(step.piece.pages) for step in steps)
    read = set[int]().union(*(numbers(each.pages) for each in stored if not each.exhausted))
    for step in steps:
        # The reason why a page was not read counts only if nobody has read it.
        assert not step.piece.exhausted or not numbers(step.pages) & read


def test_each_step_takes_the_piece_that_reaches_furthest() -> None:
    stored = [piece(PageRange(*each)) for each in ((1, 10), (5, 20), (5, 30), (8, 12), (25, 40), (31, 31))]
    steps = parts.steps(LAST, stored)
    assert [(str(step.piece.pages), str(step.pages)) for step in steps] == [
        ("1-10", "1-10"),
        ("5-30", "11-30"),
        ("25-40", "31-40"),
    ]


@given(page_count=st.integers(1, 500), part_pages=st.integers(1, 80))
def test_parts_hold_every_page_once_in_order(page_count: int, part_pages: int) -> None:
    ranges = parts.ranges(page_count, part_pages)
    assert [page for each in ranges for page in range(each.first, each.last + 1)] == [
        *range(1, page_count + 1)
    ]
    assert all(each.count == part_pages for each in ranges[:-1])


@given(st.lists(page_ranges, max_size=9), st.integers(1, 80))
def test_a_part_is_done_when_all_of_its_pages_are_stored(stored: list[PageRange], part_pages: int) -> None:
    progress = Progress.of(LAST, stored, part_pages)
    whole = parts.ranges(LAST, part_pages)
    assert progress.parts == len(whole)
    assert progress.parts_done == sum(not parts.missing(part, stored) for part in whole)


@given(st.text(), page_ranges, st.booleans())
def test_a_piece_is_known_by_its_key(key: str, pages: PageRange, exhausted: bool) -> None:
    named = Piece.named(key, IDENTITY, pages, exhausted=exhausted)
    assert Piece.parse(key, named.key) == named
    assert parts.source_key(named.key) == key
    assert named.key.startswith(parts.folder(key))
    assert Piece.parse(key + "x", named.key) is None
    forced = Piece.named(key, replace(IDENTITY, replaces="0a1b2c"), pages, exhausted=exhausted)
    assert Piece.parse(key, forced.key) == forced


def test_a_piece_is_an_output_of_our_own_and_its_key_is_that_of_the_contract() -> None:
    named = piece(PageRange(1, 9))
    assert keys.is_own_output(named.key)
    assert named.key == f"{KEY}.ocr/parts/{IDENTITY}/1-9.json.gz"
    assert str(IDENTITY).endswith(f"-{LAST}")


@pytest.mark.parametrize(
    "name",
    [
        "",
        "x",
        "/1-9.json.gz",
        "{}/0-9.json.gz",
        "{}/9-1.json.gz",
        "{}/1-41.json.gz",
        "{}/1-9.json",
        "{}/a/1-9",
        f"{str(IDENTITY).split('-')[0]}-1000001/1-9.json.gz",
    ],
)
def test_other_keys_are_no_pieces(name: str) -> None:
    assert Piece.parse(KEY, parts.folder(KEY) + name.format(IDENTITY)) is None


@pytest.mark.parametrize(
    "other",
    [
        Identity.of("other", None, "sha256:1", LAST),
        Identity.of("etag", "v1", "sha256:1", LAST),
        Identity.of("etag", None, "sha256:2", LAST),
        Identity.of("etag", None, "sha256:1", LAST + 1),
        Identity.of("etag", None, "sha256:1", LAST, "replaced"),
    ],
)
def test_each_fact_makes_another_identity(other: Identity) -> None:
    assert other != IDENTITY
    assert str(other) != str(IDENTITY)


def test_an_identity_tells_of_which_object_it_is_by_any_engine() -> None:
    other = Identity.of("etag", None, "sha256:2", LAST)
    assert other.is_of_object("etag", None)
    assert not other.is_of_object("etag", "v1")
    assert not other.is_of_object("other", None)


@pytest.mark.parametrize("page_count", [65, 20_000])
def test_a_key_leaves_room_for_pieces_if_the_longest_is_short_enough(page_count: int) -> None:
    has_room = [length for length in range(900, 1016) if parts.has_room("x" * length, page_count)]
    longest = Piece.named(
        "x" * has_room[-1],
        Identity.of("", None, "", page_count, "replaced"),
        PageRange(page_count, page_count),
        exhausted=True,
    )
    assert has_room == list(range(900, has_room[-1] + 1))
    assert len(longest.key) == 1024
