"""Lines are sorted into the blocks of a page, and no line is lost."""

from consumer.domain.result import PageResult
from consumer.outputs.regions import regions
from tests.outputs.documents import block, box, line, plain_page


def page(lines: dict[str, tuple[int, int, int, int]], *blocks: tuple[int, int, int, int]) -> PageResult:
    """A page with lines by their texts, and blocks that are labelled by their numbers."""
    plain = plain_page(1)
    labels = [block(str(number), box, number) for number, box in enumerate(blocks, 1)]
    return plain.model_copy(
        update={
            "page": plain.page.model_copy(update={"blocks": tuple(labels)}),
            "detections": tuple(line(1, text, box(*corners)) for text, corners in lines.items()),
        }
    )


def found(page: PageResult) -> list[tuple[str, list[str]]]:
    return [(each.label, [line.text for _, line in each.lines]) for each in regions(page)]


def test_a_line_is_in_the_block_that_has_most_of_it_and_more_than_half() -> None:
    lines = {"in": (0, 0, 100, 10), "half": (0, 45, 100, 55), "most": (0, 78, 100, 90)}
    assert found(page(lines, (0, 0, 100, 50), (0, 80, 100, 90))) == [
        ("1", ["in"]),
        ("text", ["half"]),
        ("2", ["most"]),
    ]


def test_of_blocks_that_overlap_a_line_is_in_the_one_that_has_more_of_it() -> None:
    lines = {"a": (0, 40, 100, 50), "b": (0, 60, 100, 70)}
    assert found(page(lines, (0, 0, 100, 67), (0, 44, 100, 100))) == [("1", ["a"]), ("2", ["b"])]


def test_a_block_whose_lines_are_parted_by_others_is_two_regions() -> None:
    lines = {"a": (0, 0, 100, 10), "b": (200, 0, 300, 10), "c": (0, 20, 100, 30)}
    assert found(page(lines, (0, 0, 100, 50))) == [("1", ["a"]), ("text", ["b"]), ("1", ["c"])]


def test_a_block_without_a_line_stands_behind_the_block_before_it() -> None:
    lines = {"a": (0, 0, 100, 10), "c": (0, 200, 100, 210)}
    blocks = (0, 0, 100, 10), (0, 50, 100, 150), (0, 200, 100, 210), (0, 300, 100, 350)
    assert found(page(lines, *blocks)) == [("1", ["a"]), ("2", []), ("3", ["c"]), ("4", [])]
    assert found(page({"c": (0, 200, 100, 210)}, *blocks[1:3])) == [("1", []), ("2", ["c"])]


def test_a_block_without_area_and_lines_is_left_out() -> None:
    assert found(page({"a": (0, 0, 100, 10)}, (0, 50, 0, 60), (0, 0, 100, 10))) == [("2", ["a"])]


def test_lines_are_numbered_as_on_their_page_and_the_box_of_loose_ones_is_round_them() -> None:
    (first, loose) = regions(
        page({"a": (0, 0, 100, 10), "b": (20, 40, 50, 50), "c": (10, 60, 40, 70)}, (0, 0, 100, 10))
    )
    assert [number for number, _ in loose.lines] == [1, 2]
    assert tuple(loose.box) == (10, 40, 50, 70)
    assert tuple(first.box) == (0, 0, 100, 10)
