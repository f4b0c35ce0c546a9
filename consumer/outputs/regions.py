"""The lines of a page by the blocks of its layout."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Final

from consumer.domain.areas import area, share, union
from consumer.domain.geometry import Rect, bounds
from consumer.domain.result import Block, Detection, PageResult

#: A line is in a block if so much of it is.
_WITHIN: Final = 0.5


@dataclass(frozen=True, slots=True)
class Region:
    """Lines that belong together, numbered from 0 on their page; `block` is None of those in no block."""

    block: Block | None
    lines: tuple[tuple[int, Detection], ...]

    @property
    def label(self) -> str:
        """The label of its block; `text` if it has none."""
        return self.block.label.lower() if self.block else "text"

    @property
    def box(self) -> Rect:
        """The box of its block, or round its lines."""
        if self.block is not None:
            return Rect(*self.block.box)
        return union(bounds(line.box) for _, line in self.lines)


def regions(page: PageResult) -> list[Region]:
    """Return the regions of a page in reading order, among them blocks without a line.

    Lines are in reading order, and one that is in no block follows the line before it. So a block may be two
    regions, if lines of others come between its own.
    """
    boxes = [Rect(*block.box) for block in page.page.blocks]
    by_block = groupby(enumerate(page.detections), key=lambda each: _place(each[1], boxes))
    found = [(place, tuple(lines)) for place, lines in by_block]
    used = {place for place, _ in found}
    for place, box in enumerate(boxes):
        if place not in used and area(box):
            # Behind the last block that is before it.
            before = (n for n, (each, _) in enumerate(found, start=1) if each is not None and each < place)
            found.insert(max(before, default=0), (place, ()))
    return [Region(None if place is None else page.page.blocks[place], lines) for place, lines in found]


def _place(line: Detection, boxes: Sequence[Rect]) -> int | None:
    """The place of the box among `boxes` that has most of a line; None if none has enough of it."""
    rect = bounds(line.box)
    shares = [share(rect, box) for box in boxes]
    most = max(shares, default=0.0)
    return shares.index(most) if most > _WITHIN else None
