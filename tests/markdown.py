"""Whether the text of a page is in its markdown, or in a block that markdown leaves out."""

import re
from collections.abc import Iterable
from html import unescape

from consumer.domain.result import PageResult

#: Blocks whose text markdown leaves out.
LEFT_OUT = {"header", "footer", "number"}


def letters(text: str) -> str:
    """Letters and digits of a text: hyphens at the ends of lines go, and spaces are a guess."""
    return "".join(filter(str.isalnum, unescape(re.sub(r"</?[a-z][^>]*>", "", text)))).casefold()


def lost(page: PageResult) -> list[str]:
    """Lines that are neither in the markdown of a page nor in its running heads, each once for itself."""
    running = " ".join(block.content for block in page.page.blocks if block.label in LEFT_OUT)
    rest = f"{letters(page.page.markdown)} {letters(running)}"
    gone = []
    for line in sorted((letters(line.text) for line in page.detections), key=len, reverse=True):
        if line not in rest:
            gone.append(line)
        rest = rest.replace(line, " ", 1) if line else rest
    return gone


def untold(lines: Iterable[str], told: str) -> list[str]:
    """Lines with a word that is not in a text of markdown.

    A line may be in several cells of a table, and a word divided at its end is part of a longer one there.
    """
    told = unescape(told.replace("\\", ""))
    return [line for line in lines if not all(word in told for word in re.findall(r"[^\W_]+", line))]
