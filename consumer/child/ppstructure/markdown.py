"""Markdown of a page: PaddleX's, and the text of the page that PaddleX leaves out of it.

PaddleX shows nothing of a block that it takes for a picture, of a line in no block, or of a line of a table
that is in no cell.
"""

import copy
import re
from collections.abc import Iterator, Mapping, Sequence
from html import unescape
from typing import Any, Final

from paddlex.inference.pipelines.layout_parsing.layout_objects import LayoutBlock

from consumer.domain.markup import as_text

#: Figures refer to files that are not stored; of a table that was not read a frame is left.
_NOTHING: Final = re.compile(
    r'<div[^>]*>\s*(?:<img [^>]*src="imgs/[^>]*>)?\s*</div>'
    r'|<img [^>]*src="imgs/[^>]*>|!\[[^\]]*\]\(imgs/[^)]*\)'
)

#: Blocks whose content is HTML or LaTeX.
_MARKUP: Final = frozenset({"table", "formula"})

#: What does not tell texts apart: tags, spaces, and signs that PaddleX adds, or drops at the ends of lines.
_INSIGNIFICANT: Final = re.compile(r"</?[a-z][^>]*>|[\s#.-]", re.IGNORECASE)


def page_markdown(result: Any, lines: Mapping[int, Sequence[str]]) -> str:
    """Return the markdown of a page, with all the text that it is to have.

    `result`: PaddleX's. `lines`: by the index of a block, in reading order, the lines that stand in it or
    follow it; those of -1 stand before all blocks.
    """
    page = copy.copy(result)
    blocks = list(_texts(lines.get(-1, ()), (0, 0, 0, 0)))
    for n, block in enumerate(result["parsing_res_list"]):
        blocks += [block, *_left_out(page, block, lines.get(n, ()))]
    return _markdown(page, blocks).strip()


def _left_out(page: Any, block: LayoutBlock, lines: Sequence[str]) -> Iterator[LayoutBlock]:
    """Blocks of text with the lines that the markdown of a block does not show."""
    missing = _missing(lines, _markdown(page, [block]))
    rest = _missing(missing, _with_text(block).content)
    if len(rest) < len(missing):
        # Of the lines of a picture PaddleX has made paragraphs.
        yield from _texts([block.content], block.bbox)
    yield from _texts(rest, block.bbox)


def _texts(lines: Sequence[str], bbox: Sequence[int]) -> Iterator[LayoutBlock]:
    """A block of text, if there are lines."""
    if lines:
        yield LayoutBlock("text", bbox, "\n".join(lines))


def _markdown(page: Any, blocks: Sequence[LayoutBlock]) -> str:
    page["parsing_res_list"] = [_with_text(block) for block in blocks]
    return _NOTHING.sub("", page.markdown["markdown_texts"])


def _with_text(block: LayoutBlock) -> LayoutBlock:
    """The block, with its text as markdown: PaddleX puts it into HTML as it is."""
    if block.label in _MARKUP:
        return block
    block = copy.copy(block)
    block.content = as_text(block.content)
    return block


def _missing(lines: Sequence[str], text: str) -> list[str]:
    """The lines that are not in the text, in which each counts as often as it stands there."""
    rest = _significant(text)
    sought = {n: said for n, line in enumerate(lines) if (said := _significant(as_text(line)))}
    missing = []
    # A short line may be part of a longer one.
    for n in sorted(sought, key=lambda n: -len(sought[n])):
        before, found, after = rest.partition(sought[n])
        if found:
            rest = f"{before}\n{after}"
        else:
            missing.append(n)
    return [lines[n] for n in sorted(missing)]


def _significant(text: str) -> str:
    return unescape(_INSIGNIFICANT.sub("", text))
