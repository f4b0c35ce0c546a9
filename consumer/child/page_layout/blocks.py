"""Puts the lines of a page into blocks: those of the layout's regions, of tables, and those in neither."""

import bisect
import re
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import count
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from consumer.child.page_layout.detector import Region
from consumer.child.page_layout.paragraphs import (
    BlockLine,
    compounds_of,
    joined,
    paragraphs,
)
from consumer.child.page_layout.tables import FoundTable
from consumer.domain.areas import share, union
from consumer.domain.geometry import Rect
from consumer.domain.scripts import is_right_to_left

#: A line belongs to a region if so much of it lies there.
_WITHIN: Final = 0.5

#: Lines in no region make a block if they are as near as this, in heights of a line.
_NEAR: Final = 0.8

#: Running heads and feet lie in these outer parts of a page, and the network is as certain of them. At the
#: very edge it need not be; captions are often taken for heads, but lie further in.
_OUTER: Final = 0.12
_CERTAIN: Final = 0.6
_EDGE: Final = 0.07

#: Titles are so many times as high as the lines of the page, headings of a document as those of others.
_LARGE: Final = 1.35

_PAGE_NUMBER: Final = re.compile(
    r"^[\W_]*(?:page|seite|p\.|pag\.|\u7b2c)?\s*(?:[A-Z]{1,2}-)?(?:\d{1,4}|[ivxlc]{1,7})"
    r"(?:\s*(?:of|/|von|de|sur)\s*\d{1,4})?\s*\u9875?[\W_]*$",
    re.IGNORECASE,
)

#: Blocks without a place in the reading order. They are no text of the document: PP-StructureV3's markdown
#: leaves them out too.
UNORDERED: Final = frozenset({"header", "footer", "number"})


@dataclass(frozen=True, slots=True)
class PageBlock:
    """A block, upright, in pixels. `paragraphs`: its text; `lines`: it has them in reading order.

    `order`: its place in the reading order, from 1; None if it has none. `html`: of a table.
    """

    label: str
    box: Rect
    confidence: float | None
    lines: tuple[BlockLine, ...]
    paragraphs: tuple[str, ...]
    html: str | None = None
    order: int | None = None

    @property
    def content(self) -> str:
        """Its text, or the HTML of a table."""
        return "\n".join(self.paragraphs) if self.html is None else self.html


def page_blocks(
    size: tuple[int, int],
    lines: Sequence[BlockLine],
    regions: Sequence[Region],
    tables: Sequence[FoundTable],
) -> list[PageBlock]:
    """Return the blocks of a page, in reading order; together they hold every line.

    `size`: width and height of the page. `lines`: in reading order; one in another direction than the page's
    is a block of its own. `regions`: those that are no tables.
    """
    taken = {number for table in tables for number in table.lines}
    free = [line for line in lines if line.number not in taken]
    upright = [line for line in lines if line.is_upright]
    columns = _Columns(upright, size[0])
    compounds = compounds_of(line.text for line in lines)
    drafts = [
        *_in_regions([line for line in free if line.is_upright], regions),
        *((None, [line]) for line in free if not line.is_upright),
    ]
    blocks = [_block(region, held, columns, compounds) for region, held in drafts]
    blocks = _with_titles(_with_margins(blocks, size), upright)
    blocks += [_table(table, lines) for table in tables]
    blocks.sort(key=lambda block: block.lines[0].number)
    pictures = [_picture(region) for region in regions if region.label == "image"]
    blocks += [picture for picture in pictures if all(share(b.box, picture.box) < _WITHIN for b in blocks)]
    places = count(1)
    return [
        block if block.label in UNORDERED or not block.lines else replace(block, order=next(places))
        for block in blocks
    ]


def _in_regions(
    lines: Sequence[BlockLine], regions: Sequence[Region]
) -> Iterator[tuple[Region | None, list[BlockLine]]]:
    """Lines of each region that has some, and groups of lines that are in none."""
    held: dict[int, list[BlockLine]] = {}
    loose: list[list[BlockLine]] = []
    for line in lines:
        shares = [_share_of_line(line.box, region.box) for region in regions]
        best = max(range(len(regions)), key=shares.__getitem__, default=None)
        if best is not None and shares[best] > _WITHIN:
            held.setdefault(best, []).append(line)
        elif loose and _goes_on(loose[-1][-1], line):
            loose[-1].append(line)
        else:
            loose.append([line])
    yield from ((regions[n], those) for n, those in held.items())
    yield from ((None, those) for those in loose)


def _share_of_line(line: Rect, region: Rect) -> float:
    """The share of a line that lies in a region; all of its height does if all of the region's does.

    The network draws the region of a single line closer to its letters than the line's own box is.
    """
    width = min(line.x2, region.x2) - max(line.x1, region.x1)
    height = min(line.y2, region.y2) - max(line.y1, region.y1)
    if width <= 0 or height <= 0:
        return 0.0
    return width / (line.x2 - line.x1) * height / min(line.y2 - line.y1, region.y2 - region.y1)


def _goes_on(above: BlockLine, line: BlockLine) -> bool:
    """Whether a line that is read next continues the block of the one above it."""
    height = min(above.height, line.height)
    common = min(above.box.x2, line.box.x2) - max(above.box.x1, line.box.x1)
    narrower = min(above.box.x2 - above.box.x1, line.box.x2 - line.box.x1)
    return (
        -0.5 * height < line.box.y1 - above.box.y2 < _NEAR * height
        and common > narrower / 2
        and max(above.height, line.height) < _LARGE * height
    )


class _Columns:
    """Where lines of the columns of a page of this width begin and end."""

    def __init__(self, lines: Sequence[BlockLine], width: int) -> None:
        self._width = width
        self._sides = sorted((line.box.x1, line.box.x2) for line in lines)
        self._mirrored = sorted((width - right, width - left) for left, right in self._sides)

    def paragraphs(self, lines: Sequence[BlockLine]) -> Iterator[list[BlockLine]]:
        """Divide the lines of a block into paragraphs; those from right to left as in a mirror."""
        sides = self._sides
        if is_right_to_left("".join(line.text for line in lines)):
            sides, lines = self._mirrored, [self._mirror(line) for line in lines]
        return paragraphs(lines, self._right(lines, sides))

    def _mirror(self, line: BlockLine) -> BlockLine:
        x1, y1, x2, y2 = line.box
        return replace(line, box=Rect(self._width - x2, y1, self._width - x1, y2))

    @staticmethod
    def _right(lines: Sequence[BlockLine], sides: Sequence[tuple[float, float]]) -> float:
        """Where most of the lines end that begin about where those of a block do."""
        left = min(line.box.x1 for line in lines)
        near = 1.5 * statistics.median(line.height for line in lines)
        first, last = (bisect.bisect(sides, (x,)) for x in (left - near, left + near))
        ends = sorted(end for _, end in sides[first:last])
        usual = ends[3 * len(ends) // 4] if ends else 0.0
        return max(usual, *(line.box.x2 for line in lines), 0.0)


def _block(
    region: Region | None, lines: Sequence[BlockLine], columns: _Columns, compounds: frozenset[str]
) -> PageBlock:
    box = union(line.box for line in lines)
    label, confidence = ("text", None) if region is None else (region.label, region.confidence)
    # Text in a picture has no paragraphs.
    parts = [[line] for line in lines] if label == "image" else columns.paragraphs(lines)
    texts = tuple(joined([line.text for line in part], compounds) for part in parts)
    return PageBlock(
        label, box if region is None else union([box, region.box]), confidence, tuple(lines), texts
    )


def _table(table: FoundTable, lines: Sequence[BlockLine]) -> PageBlock:
    held = tuple(lines[number] for number in sorted(table.lines))
    return PageBlock("table", table.box, table.confidence, held, (), table.html)


def _picture(region: Region) -> PageBlock:
    return PageBlock("image", region.box, region.confidence, (), ())


def _with_margins(blocks: Sequence[PageBlock], size: tuple[int, int]) -> list[PageBlock]:
    """Label running heads, feet and page numbers, and take these labels from blocks elsewhere."""
    sides = np.array([(block.box.y1, block.box.y2) for block in blocks]).reshape(-1, 2)
    return [replace(block, label=_margin_label(block, blocks, sides, size[1])) for block in blocks]


def _margin_label(block: PageBlock, blocks: Sequence[PageBlock], sides: npt.NDArray[Any], height: int) -> str:
    """The label of a block on a page of this height; `sides`: upper and lower one of each block."""
    is_named = block.label in {"header", "footer"}
    label = "text" if is_named else block.label
    top, bottom = block.box.y1, block.box.y2
    depth = min(bottom, height - top) / height
    if depth > _OUTER:
        return label
    common = np.minimum(sides[:, 1], bottom) - np.maximum(sides[:, 0], top)
    is_beside = common > 0.5 * np.maximum(sides[:, 1] - sides[:, 0], bottom - top)
    is_head = bottom < height / 2
    is_further_in = sides[:, 0] > bottom if is_head else sides[:, 1] < top
    if is_beside.all() or not (is_beside | is_further_in).all():
        return label
    if _is_number(block):
        return "number"
    is_certain = is_named and (depth <= _EDGE or block.confidence is None or block.confidence >= _CERTAIN)
    has_number = any(_is_number(blocks[int(n)]) for n in np.flatnonzero(is_beside))
    if is_certain or (len(block.lines) == 1 and has_number):
        return "header" if is_head else "footer"
    return label


def _is_number(block: PageBlock) -> bool:
    return len(block.lines) == 1 and bool(_PAGE_NUMBER.match(block.lines[0].text))


def _with_titles(blocks: Sequence[PageBlock], lines: Sequence[BlockLine]) -> list[PageBlock]:
    """Label large print of few lines as a heading, and the largest one, if it comes first, as the title."""
    usual = statistics.median(line.height for line in lines) if lines else 0.0
    labelled = [replace(block, label=_title_label(block, usual)) for block in blocks]
    titles = [block for block in labelled if block.label == "paragraph_title"]
    if titles:
        first = min(titles, key=lambda block: block.lines[0].number)
        if _height(first) >= max(*map(_height, titles), _LARGE * usual):
            labelled[labelled.index(first)] = replace(first, label="doc_title")
    return labelled


def _title_label(block: PageBlock, usual: float) -> str:
    is_large = _height(block) > _LARGE * usual
    if block.label == "text" and len(block.lines) <= 2 and is_large:
        return "paragraph_title"
    # The network takes the ends of paragraphs for headings, and small print for formulas.
    is_short = len(block.lines) <= 2 or (block.label == "paragraph_title" and is_large)
    return block.label if block.label not in {"paragraph_title", "formula"} or is_short else "text"


def _height(block: PageBlock) -> float:
    return statistics.median(line.height for line in block.lines)
