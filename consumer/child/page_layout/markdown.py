"""Blocks of a page as markdown."""

import re
from collections.abc import Iterable, Sequence
from typing import Final

from consumer.child.page_layout.blocks import UNORDERED, PageBlock
from consumer.child.page_layout.paragraphs import BULLET, is_item, item_marker
from consumer.domain.markup import as_text

_HEADINGS: Final = {"doc_title": "# ", "paragraph_title": "## "}

#: What would begin code or end the text of a link, anywhere; and characters that make a paragraph something
#: else if it begins with them.
_INLINE: Final = re.compile(r"`|~(?=~)|(?<=\])[(:]")
_STRUCTURE: Final = re.compile(r"^(?=[#>|]|[-+*=~_]+\s|[-=]+$|[*_~]{3,}$)")


def markdown(blocks: Iterable[PageBlock]) -> str:
    """Return blocks, in reading order, as markdown with headings, lists and HTML tables."""
    text, was_item = "", False
    for block in blocks:
        if block.label in UNORDERED:
            continue
        for paragraph in _paragraphs(block):
            item = block.label not in _HEADINGS and block.html is None and is_item(paragraph)
            if text:
                text += "\n" if was_item and item else "\n\n"
            text += _HEADINGS.get(block.label, "") + (_item(paragraph) if item else paragraph)
            was_item = item
    return text


def as_line(text: str) -> str:
    """Return a line of text as markdown, which is only that."""
    return _STRUCTURE.sub(r"\\", _inline(text))


def _inline(text: str) -> str:
    return _INLINE.sub(r"\\\g<0>", as_text(text))


def _paragraphs(block: PageBlock) -> Sequence[str]:
    if block.html is not None:
        return [block.html]
    texts = list(map(_inline, block.paragraphs))
    if block.label in _HEADINGS:
        return [" ".join(texts)]
    return [text if is_item(text) else _STRUCTURE.sub(r"\\", text) for text in texts]


def _item(text: str) -> str:
    marker = item_marker(text)
    return ("- " if BULLET.match(text) else marker) + _STRUCTURE.sub(r"\\", text[len(marker) :])
