"""The blocks of Amazon Textract's AnalyzeDocument, for programs that read those.

PAGE, LINE and WORD; TABLE with CELL and MERGED_CELL; on pages with blocks LAYOUT_* of these, and of the lines
in none. Geometry is normalised to the page, 0 to 1; confidences are 0 to 100. Ids are the same whenever the
same pages are written. See
https://docs.aws.amazon.com/textract/latest/dg/how-it-works-document-layout.html
"""

import json
import uuid
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from consumer.domain.areas import corners
from consumer.domain.geometry import Rect, bounds
from consumer.domain.result import Corners, Detection, PageResult, ResultDocument, Status, Table
from consumer.outputs.regions import regions
from consumer.outputs.single import single
from consumer.outputs.tables import Cell, Grid, grid
from consumer.outputs.words import words

_IDS: Final = uuid.UUID("3f0ad7a5-6f0b-4c63-8f5c-0b0c0b5f3d5e")

#: Confidence where the engine tells none: Textract always has one, and its parsers fail without.
_UNKNOWN: Final = 100.0

#: Types of layout blocks by labels; others are text. A list is, too: LAYOUT_LIST would need a block for each
#: of its items.
_LAYOUT: Final = {
    "doc_title": "TITLE",
    "paragraph_title": "SECTION_HEADER",
    "title": "SECTION_HEADER",
    "header": "HEADER",
    "footer": "FOOTER",
    "number": "PAGE_NUMBER",
    "table": "TABLE",
    "image": "FIGURE",
    "figure": "FIGURE",
    "chart": "FIGURE",
    "seal": "FIGURE",
    "header_image": "FIGURE",
    "footer_image": "FIGURE",
}

_Block = dict[str, Any]


class _PageBlocks:
    """The blocks of one page."""

    def __init__(self, result: PageResult) -> None:
        self._result = result
        self._number = result.page.page_number
        # A page that was not rendered has no size, and nothing on it.
        self._width = result.page.width_px or 1
        self._height = result.page.height_px or 1
        self._counts: defaultdict[str, int] = defaultdict(int)
        self._words: list[tuple[Rect, _Block]] = []

    def blocks(self) -> Iterator[_Block]:
        """Yield the page's block, then its lines with their words, tables, and layout."""
        whole = Rect(0, 0, self._width, self._height)
        page = self._block("PAGE", corners(whole))
        lines = [self._line(line) for line in self._result.detections]
        tables = [self._table(table) for table in self._result.page.tables]
        layout = list(self._layout([line for line, _ in lines]))
        tops = [*(line for line, _ in lines), *(blocks[0] for blocks in tables), *layout]
        _relate(page, "CHILD", tops)
        yield page
        yield from (line for line, _ in lines)
        for _, children in lines:
            yield from children
        for blocks in tables:
            yield from blocks
        yield from layout

    def _block(self, kind: str, box: Corners, **fields: Any) -> _Block:
        self._counts[kind] += 1
        name = str(uuid.uuid5(_IDS, f"{self._number}/{kind}/{self._counts[kind]}"))
        return {
            "BlockType": kind,
            **fields,
            "Geometry": self._geometry(box),
            "Id": name,
            "Page": self._number,
        }

    def _geometry(self, box: Corners) -> dict[str, Any]:
        rect = bounds(box)
        upright = {
            "Width": (rect.x2 - rect.x1) / self._width,
            "Height": (rect.y2 - rect.y1) / self._height,
            "Left": rect.x1 / self._width,
            "Top": rect.y1 / self._height,
        }
        return {
            "BoundingBox": upright,
            "Polygon": [{"X": x / self._width, "Y": y / self._height} for x, y in box],
        }

    def _line(self, line: Detection) -> tuple[_Block, list[_Block]]:
        block = self._block("LINE", line.box, Confidence=100 * line.confidence, Text=line.text)
        children = []
        for word in words(line):
            children.append(self._word(word.text, word.box, 100 * word.confidence))
            self._words.append((bounds(word.box), children[-1]))
        _relate(block, "CHILD", children)
        return block, children

    def _word(self, text: str, box: Corners, confidence: float) -> _Block:
        # The engine does not tell print from handwriting, and Textract's parsers need one of the two.
        return self._block("WORD", box, Confidence=confidence, Text=text, TextType="PRINTED")

    def _table(self, table: Table) -> list[_Block]:
        """Return the block of a table, those of its cells, and words of cells that no line has."""
        whole, found = Rect(*table.box), grid(table.html)
        block = self._block("TABLE", corners(whole), Confidence=_UNKNOWN, EntityTypes=["STRUCTURED_TABLE"])
        waiting: defaultdict[str, list[tuple[Rect, _Block]]] = defaultdict(list)
        for place, word in self._words:
            if _has_middle(whole, place):
                waiting[word["Text"]].append((place, word))
        cells: list[_Block] = []
        merged: list[_Block] = []
        own: list[_Block] = []
        for cell, rect in zip(found.cells, _cell_boxes(table, found), strict=True):
            children = self._cell_words(cell, rect, waiting)
            own += [word for word, is_of_line in children if not is_of_line]
            parts = self._cells(cell, rect, [word for word, _ in children])
            cells += parts
            if len(parts) > 1:
                spans = {"RowSpan": cell.row_span, "ColumnSpan": cell.column_span}
                merged.append(self._cell("MERGED_CELL", cell, rect, cell.row, cell.column, **spans))
                _relate(merged[-1], "CHILD", parts)
        _relate(block, "CHILD", cells)
        _relate(block, "MERGED_CELL", merged)
        return [block, *cells, *merged, *own]

    def _cells(self, cell: Cell, rect: Rect, children: Sequence[_Block]) -> list[_Block]:
        """Return a block for each place that a cell takes; the first has its words."""
        places = [
            (row, column)
            for row in range(cell.row, cell.row + cell.row_span)
            for column in range(cell.column, cell.column + cell.column_span)
        ]
        blocks = []
        for row, column in places:
            part = Rect(
                rect.x1 + (rect.x2 - rect.x1) * (column - cell.column) / cell.column_span,
                rect.y1 + (rect.y2 - rect.y1) * (row - cell.row) / cell.row_span,
                rect.x1 + (rect.x2 - rect.x1) * (column - cell.column + 1) / cell.column_span,
                rect.y1 + (rect.y2 - rect.y1) * (row - cell.row + 1) / cell.row_span,
            )
            blocks.append(self._cell("CELL", cell, part, row, column, RowSpan=1, ColumnSpan=1))
        _relate(blocks[0], "CHILD", children)
        return blocks

    def _cell(self, kind: str, cell: Cell, rect: Rect, row: int, column: int, **spans: int) -> _Block:
        fields: dict[str, Any] = {"RowIndex": row + 1, "ColumnIndex": column + 1, **spans}
        if cell.is_header:
            fields["EntityTypes"] = ["COLUMN_HEADER"]
        return self._block(kind, corners(rect), Confidence=_UNKNOWN, **fields)

    def _cell_words(
        self, cell: Cell, rect: Rect, waiting: Mapping[str, list[tuple[Rect, _Block]]]
    ) -> list[tuple[_Block, bool]]:
        """Return blocks that say what the cell says, and whether each is a word of a line.

        Words of lines are taken from those that are `waiting`, by what they say, the nearest to the cell
        first. The HTML may have read a cell in another way.
        """
        children = []
        for token in cell.text.split():
            same = waiting.get(token, [])
            nearest = min(same, key=lambda pair: _distance(pair[0], rect), default=None)
            if nearest is None:
                children.append((self._word(token, corners(rect), _UNKNOWN), False))
            else:
                same.remove(nearest)
                children.append((nearest[1], True))
        return children

    def _layout(self, lines: Sequence[_Block]) -> Iterator[_Block]:
        if not self._result.page.blocks:
            return
        for region in regions(self._result):
            kind = f"LAYOUT_{_LAYOUT.get(region.label, 'TEXT')}"
            likely = region.block.confidence if region.block else None
            confidence = _UNKNOWN if likely is None else 100 * likely
            block = self._block(kind, corners(region.box), Confidence=confidence)
            _relate(block, "CHILD", [lines[number] for number, _ in region.lines])
            yield block


def _relate(block: _Block, kind: str, children: Sequence[_Block]) -> None:
    if children:
        ids = [child["Id"] for child in children]
        block.setdefault("Relationships", []).append({"Type": kind, "Ids": ids})


def _cell_boxes(table: Table, found: Grid) -> Iterator[Rect]:
    """Yield the box of each cell: the one that was found, or its share of the table if they do not match."""
    if len(table.cells) == len(found.cells):
        yield from (Rect(*box) for box in table.cells)
        return
    x1, y1, x2, y2 = table.box
    width, height = (x2 - x1) / max(found.columns, 1), (y2 - y1) / max(found.rows, 1)
    for cell in found.cells:
        yield Rect(
            x1 + width * cell.column,
            y1 + height * cell.row,
            x1 + width * (cell.column + cell.column_span),
            y1 + height * (cell.row + cell.row_span),
        )


def _has_middle(rect: Rect, other: Rect) -> bool:
    """Whether the middle of the other box is in this one."""
    x, y = (other.x1 + other.x2) / 2, (other.y1 + other.y2) / 2
    return rect.x1 <= x <= rect.x2 and rect.y1 <= y <= rect.y2


def _distance(one: Rect, other: Rect) -> float:
    """Square of the distance of a box's middle from another box."""
    x, y = (one.x1 + one.x2) / 2, (one.y1 + one.y2) / 2
    dx = max(other.x1 - x, x - other.x2, 0.0)
    dy = max(other.y1 - y, y - other.y2, 0.0)
    return dx * dx + dy * dy


def _page(result: PageResult) -> str:
    blocks = (
        json.dumps(block, ensure_ascii=False, separators=(",", ":")) for block in _PageBlocks(result).blocks()
    )
    # The page before it ends without a comma.
    return ("," if result.page.page_number > 1 else "") + ",\n".join(blocks)


def _frame(head: ResultDocument) -> tuple[str, str]:
    status = "PARTIAL_SUCCESS" if head.status is Status.PARTIAL else "SUCCEEDED"
    first = {
        "DocumentMetadata": {"Pages": head.page_count},
        "JobStatus": status,
        "AnalyzeDocumentModelVersion": f"bucket-ocr {head.engine.name} {head.engine.version}",
    }
    return json.dumps(first, separators=(",", ":"))[:-1] + ',"Blocks":[\n', "\n]}\n"


FORMAT: Final = single("textract", "application/json", ".ocr.textract.json", _page, _frame)
