"""The layout of a page whose lines were read: its blocks, tables and markdown."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any, Final, Literal

from consumer.child.inference import core_of
from consumer.child.page_layout import detector, structure
from consumer.child.page_layout.blocks import PageBlock, page_blocks
from consumer.child.page_layout.detector import Detector, Region
from consumer.child.page_layout.markdown import markdown
from consumer.child.page_layout.paragraphs import BlockLine, print_height
from consumer.child.page_layout.rules import find_rules
from consumer.child.page_layout.skew import Straightening, skew_of
from consumer.child.page_layout.structure import StructureCell, TableStructure
from consumer.child.page_layout.tables import FoundTable, read_table, table_regions
from consumer.child.pixels import Image
from consumer.domain import geometry
from consumer.domain.geometry import PageTransform, Rect
from consumer.domain.legibility import TextLine
from consumer.domain.result import Block, Table

#: So many tables of a page are read by the network, which bounds the time of a page; others by their rules
#: and words alone.
_MOST_TABLES: Final = 20

#: Finds the regions of an upright page, whose lines are given.
FindRegions = Callable[[Image, Sequence[BlockLine]], list[Region]]

#: White round a table that the network sees, in pixels.
_AROUND_PX: Final = 4


@dataclass(frozen=True, slots=True)
class Layout:
    """What the layout of a page adds to its result."""

    blocks: tuple[Block, ...]
    tables: tuple[Table, ...]
    markdown: str


class PageLayout:
    """Finds the layout of pages; its networks run in so many threads.

    `kind`: "fast" with networks of this package, or "full" with regions by pymupdf-layout.
    """

    def __init__(self, threads: int, kind: Literal["fast", "full"]) -> None:
        core = core_of(threads)
        self._structure = TableStructure(core)
        self._find_regions, name = _region_finder(kind, core, threads)
        #: Names of the networks by role.
        self.models = {"layout": name, "table_structure": structure.WEIGHTS.stem}

    def find(
        self,
        page: Image,
        lines: Sequence[TextLine],
        transform: PageTransform,
        progress: Callable[[], None],
    ) -> Layout:
        """Find the layout of an upright page; `progress` is called after each step.

        `lines`: in reading order, in pixels of the upright page; `transform` maps it to the page.
        """
        height, width = page.shape[:2]
        straightening = Straightening(width, height, skew_of([line.quad for line in lines]))
        straight = straightening.image(page)
        numbered = [
            BlockLine(n, line.text, straightening.box(line.quad), is_upright=_is_upright(line.quad))
            for n, line in enumerate(lines)
        ]
        regions = self._find_regions(straight, [line for line in numbered if line.is_upright])
        progress()
        tables = self._tables(straight, numbered, regions, progress)
        others = [region for region in regions if region.label != "table"]
        height, width = straight.shape[:2]
        blocks = page_blocks((width, height), numbered, others, tables)
        frame = _Frame(straightening, transform)
        return Layout(
            blocks=tuple(map(frame.block, blocks)),
            tables=tuple(map(frame.table, tables)),
            markdown=markdown(blocks),
        )

    def _tables(
        self,
        page: Image,
        lines: Sequence[BlockLine],
        regions: Sequence[Region],
        progress: Callable[[], None],
    ) -> list[FoundTable]:
        upright = [line for line in lines if line.is_upright]
        if not upright:
            return []
        line_px = print_height(upright)
        rules = find_rules(page, line_px)
        progress()
        areas = table_regions(regions, rules, [line.box for line in upright], line_px)
        tables: list[FoundTable] = []
        taken: set[int] = set()
        for n, region in enumerate(areas):
            cells = self._cells(page, region.box, progress) if n < _MOST_TABLES else []
            free = [line for line in lines if line.number not in taken]
            table = read_table(page, region, free, rules, cells)
            progress()
            if table is not None:
                tables.append(table)
                taken |= table.lines
        return sorted(tables, key=lambda table: min(table.lines))

    def _cells(self, page: Image, box: Rect, progress: Callable[[], None]) -> list[StructureCell]:
        """The network's cells of a table, in pixels of the page."""
        height, width = page.shape[:2]
        left, top = max(0, int(box.x1) - _AROUND_PX), max(0, int(box.y1) - _AROUND_PX)
        right, bottom = min(width, int(box.x2) + _AROUND_PX), min(height, int(box.y2) + _AROUND_PX)
        if left >= right or top >= bottom:
            # Boxes of networks may lie outside the page.
            return []
        cells = self._structure.read(page[top:bottom, left:right], progress)
        return [cell.moved(left, top) for cell in cells]


def _region_finder(kind: str, core: Any, threads: int) -> tuple[FindRegions, str]:
    """Finder of the regions of a page, and the name of its networks."""
    if kind == "full":
        # An extra, which may not be installed.
        from consumer.child.page_layout.mupdf import MupdfRegions

        return MupdfRegions(threads).find, f"pymupdf-layout {version('pymupdf-layout')}"
    found = Detector(core)
    return lambda page, _: found.find(page), detector.WEIGHTS.stem


def _is_upright(quad: geometry.Quad) -> bool:
    return round(geometry.angle(quad) / 90) % 4 == 0


@dataclass(frozen=True, slots=True)
class _Frame:
    """Maps the straightened page back to the page as rendered."""

    straightening: Straightening
    transform: PageTransform

    def block(self, block: PageBlock) -> Block:
        return Block(
            label=block.label,
            box=self._box(self.straightening.back(block.box)),
            order=block.order,
            content=block.content,
            confidence=block.confidence,
        )

    def table(self, table: FoundTable) -> Table:
        return Table(
            box=self._box(self.straightening.back(table.box)),
            html=table.html,
            cells=tuple(self._box(self.straightening.back_about(cell.box)) for cell in table.cells),
        )

    def _box(self, rect: Rect) -> tuple[int, int, int, int]:
        x1, y1, x2, y2 = (int(value) for value in self.transform.rect(rect))
        return x1, y1, x2, y2
