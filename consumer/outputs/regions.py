"""The lines of a page by the blocks of its layout, and the words of a line: what several formats need."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from consumer.domain import geometry
from consumer.domain.geometry import Point, Rect, bounds, common_area
from consumer.domain.result import Block, Corners, Detection, PageResult

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
        return union([corner_bounds(line.box) for _, line in self.lines])


@dataclass(frozen=True, slots=True)
class LineWord:
    """A word of a line; `confidence`: None if only the line's is known. `is_spaced`: a space follows it."""

    text: str
    box: Corners
    confidence: float | None
    is_spaced: bool


def regions(page: PageResult) -> list[Region]:
    """Return the regions of a page in reading order, among them blocks without a line.

    Lines are in reading order, and one that is in no block follows the line before it. So a block may be two
    regions, if lines of others come between its own.
    """
    blocks = [block for block in page.page.blocks if _area(Rect(*block.box))]
    found: list[Region] = []
    for number, line in enumerate(page.detections):
        block = _block_of(line, blocks)
        if found and found[-1].block is block:
            found[-1] = Region(block, (*found[-1].lines, (number, line)))
        else:
            found.append(Region(block, ((number, line),)))
    used = {id(region.block) for region in found}
    for place, block in enumerate(blocks):
        if id(block) not in used:
            # Behind the last block that is before it.
            before = {id(each) for each in blocks[:place]}
            at = max((n for n, each in enumerate(found, start=1) if id(each.block) in before), default=0)
            found.insert(at, Region(block, ()))
    return found


def _block_of(line: Detection, blocks: Sequence[Block]) -> Block | None:
    rect = corner_bounds(line.box)
    shares = [common_area(rect, Rect(*block.box)) / max(_area(rect), 1.0) for block in blocks]
    best = max(range(len(blocks)), key=shares.__getitem__, default=None)
    return blocks[best] if best is not None and shares[best] > _WITHIN else None


def words(line: Detection) -> Iterator[LineWord]:
    """Yield the words of a line in the order of its text.

    If the engine has not told them, the line's box is cut by the share of characters. Of a line that is
    written from right to left, the first word is the one at the right.
    """
    if line.words is None:
        yield from _shared_words(line)
        return
    end = 0
    for n, word in enumerate(line.words):
        end = max(line.text.find(word.text, end), end) + len(word.text)
        is_last = n == len(line.words) - 1
        yield LineWord(word.text, word.box, word.confidence, not is_last and line.text[end : end + 1] == " ")


def _shared_words(line: Detection) -> Iterator[LineWord]:
    tokens = line.text.split() or [line.text]
    length, at = max(len(line.text), 1), 0
    is_reversed = is_right_to_left(line.text)
    for n, token in enumerate(tokens):
        at = max(line.text.find(token, at), at)
        start, end = at / length, (at + len(token)) / length
        if is_reversed:
            start, end = 1 - end, 1 - start
        yield LineWord(token, part_of(line.box, start, end), None, n < len(tokens) - 1)
        at += len(token)


def is_right_to_left(text: str) -> bool:
    """Whether most letters of a text are Hebrew or Arabic ones."""
    letters = [each for each in text if each.isalpha()]
    return 2 * sum("\u0590" <= each <= "\u08ff" or "\ufb1d" <= each <= "\ufefc" for each in letters) > len(
        letters
    )


def part_of(box: Corners, start: float, end: float) -> Corners:
    """Cut a part, from `start` to `end` (0 to 1 along the text), out of a line's box."""
    a, b, c, d = (Point(*corner) for corner in box)
    first, second, third, fourth = (
        (round(x), round(y)) for x, y in geometry.part_of((a, b, c, d), start, 0.0, end, 1.0)
    )
    return first, second, third, fourth


def corner_bounds(corners: Corners) -> Rect:
    """Return the smallest upright box round four corners."""
    a, b, c, d = (Point(*corner) for corner in corners)
    return bounds((a, b, c, d))


def union(rects: Sequence[Rect]) -> Rect:
    """Return the smallest box round boxes, of which there is one at least."""
    return Rect(
        min(rect.x1 for rect in rects),
        min(rect.y1 for rect in rects),
        max(rect.x2 for rect in rects),
        max(rect.y2 for rect in rects),
    )


def contains(rect: Rect, inner: Rect) -> bool:
    """Whether the middle of a box lies in another."""
    x, y = (inner.x1 + inner.x2) / 2, (inner.y1 + inner.y2) / 2
    return rect.x1 <= x <= rect.x2 and rect.y1 <= y <= rect.y2


def _area(rect: Rect) -> float:
    return (rect.x2 - rect.x1) * (rect.y2 - rect.y1)
