"""All kinds of pages with a known reading order."""

import random
from typing import Final

from tests.reading.order import asian, beside, blocks, columns, mixed, others
from tests.reading.order.columns import Kind
from tests.reading.order.sheet import Sheet

KINDS: Final[dict[str, Kind]] = (
    columns.KINDS | beside.KINDS | asian.KINDS | blocks.KINDS | mixed.KINDS | others.KINDS
)

#: Width and height of a page in points: A4, and two pages of a book.
_PAGE: Final = (595.0, 842.0)
_DOUBLE_PAGE: Final = (842.0, 595.0)


def page(kind: str, seed: int) -> Sheet:
    """Draw a page of that kind; each seed gives another."""
    size = _DOUBLE_PAGE if "double page" in kind else _PAGE
    sheet = Sheet(random.Random(f"{kind} {seed}"), *size)
    KINDS[kind](sheet)
    return sheet
