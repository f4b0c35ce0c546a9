"""Markdown has the words of a page, whatever PaddleX takes its blocks for."""

from html import unescape

import pytest

from tests.markdown import letters, lost
from tests.structure.conftest import NewEngine, NewZoo
from tests.structure.engine import texts, written
from tests.structure.zoo import Box

HEIGHT_PX = 560


def around(label: str, first: int, last: int | None = None) -> Box:
    """A block round lines of `written`, counted from 0."""
    top, bottom = 35 + 80 * first, 100 + 80 * (first if last is None else last)
    return Box(label, 0, top / HEIGHT_PX, 1, bottom / HEIGHT_PX)


@pytest.mark.parametrize(
    "label", ["image", "chart", "seal", "formula", "table", "formula_number", "aside_text"]
)
def test_text_of_a_block_that_is_no_text_is_in_the_markdown(
    label: str, new_zoo: NewZoo, new_engine: NewEngine
) -> None:
    zoo = new_zoo(around("text", 0), around(label, 1, 3), around("text", 4))
    page = written("Before it", "Inside one", "Inside two", "Inside three", "After it", height=HEIGHT_PX)
    read = new_engine(zoo.pipeline()).read_one(page)
    assert lost(read) == []
    said = letters(read.page.markdown)
    assert said == "".join(texts(read))
    assert "<img" not in read.page.markdown


@pytest.mark.parametrize("label", ["text", "image", "paragraph_title", "figure_title", "table"])
def test_text_of_a_page_does_not_become_a_tag(label: str, new_zoo: NewZoo, new_engine: NewEngine) -> None:
    zoo = new_zoo(around("text", 0), around(label, 1, 3), around("text", 4))
    page = written("Before it", "<script>", "Inside two", "Inside <b> three", "After it", height=HEIGHT_PX)
    read = new_engine(zoo.pipeline()).read_one(page)
    assert "<script>" in texts(read)
    assert "<script" not in read.page.markdown
    assert "<b" not in read.page.markdown
    assert "<script>" in unescape(read.page.markdown)


def test_running_heads_and_page_numbers_are_not_in_the_markdown_and_footnotes_are(
    new_zoo: NewZoo, new_engine: NewEngine
) -> None:
    zoo = new_zoo(
        *(around("header", 0), around("text", 1, 2), around("footnote", 3)),
        *(around("number", 4), around("footer", 5)),
    )
    lines = ("Running head", "Body of it", "And more", "Footnote", "1234", "Running foot")
    page = written(*lines, height=HEIGHT_PX)
    read = new_engine(zoo.pipeline()).read_one(page)
    said = letters(read.page.markdown)
    assert said == "bodyofitandmorefootnote"
    assert lost(read) == []


def test_lines_in_no_block_are_in_the_markdown_where_they_stand(
    new_zoo: NewZoo, new_engine: NewEngine
) -> None:
    zoo = new_zoo(around("header", 1), around("text", 3))
    page = written("First", "Running head", "Second", "Body of it", "Last", height=HEIGHT_PX)
    read = new_engine(zoo.pipeline()).read_one(page)
    assert letters(read.page.markdown) == "firstsecondbodyofitlast"
