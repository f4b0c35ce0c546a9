"""Tables as cells in a grid, and as HTML of one form: only its structure and its texts are compared."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from html.parser import HTMLParser


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell: its first row and column, counted from 0, how many it spans, and its text."""

    row: int
    column: int
    rows: int = 1
    columns: int = 1
    text: str = ""

    @property
    def places(self) -> list[tuple[int, int]]:
        """The places of the grid that it takes."""
        return [
            (row, column)
            for row in range(self.row, self.row + self.rows)
            for column in range(self.column, self.column + self.columns)
        ]


def written(cells: Iterable[Cell]) -> str:
    """Write cells as HTML: without a head, and with an empty cell in every place that has none."""
    starts = {(cell.row, cell.column): cell for cell in cells}
    taken = {place for cell in starts.values() for place in cell.places}
    height, width = (1 + max((place[n] for place in taken), default=-1) for n in (0, 1))
    rows = (
        "".join(
            _written(starts.get((row, column), Cell(row, column)))
            for column in range(width)
            if (row, column) in starts or (row, column) not in taken
        )
        for row in range(height)
    )
    return f"<table>{''.join(f'<tr>{row}</tr>' for row in rows)}</table>"


def _written(cell: Cell) -> str:
    spans = {"rowspan": cell.rows, "colspan": cell.columns}
    attributes = "".join(f' {name}="{span}"' for name, span in spans.items() if span > 1)
    return f"<td{attributes}>{escape(' '.join(cell.text.split()))}</td>"


def parsed(html: str) -> list[Cell]:
    """The cells of a table in HTML; tags within cells are left out."""
    parser = _Parser()
    parser.feed(html)
    parser.close()
    return parser.cells()


class _Parser(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        #: Of each row the spans and the texts of its cells.
        self._rows: list[list[tuple[int, int, list[str]]]] = []
        self._is_in_cell = False

    def handle_starttag(self, tag: str, attrs: Sequence[tuple[str, str | None]]) -> None:
        if tag == "tr":
            self._rows.append([])
        elif tag in {"td", "th"}:
            spans = dict(attrs)
            if not self._rows:
                self._rows.append([])
            self._rows[-1].append((_span(spans, "rowspan"), _span(spans, "colspan"), []))
        self._is_in_cell = tag in {"td", "th"} or (self._is_in_cell and tag != "tr")

    def handle_endtag(self, tag: str) -> None:
        self._is_in_cell = self._is_in_cell and tag not in {"td", "th", "tr"}

    def handle_data(self, data: str) -> None:
        if self._is_in_cell:
            self._rows[-1][-1][2].append(data)

    def cells(self) -> list[Cell]:
        """Cells in their places: those that reach down from rows above push others to the right."""
        cells: list[Cell] = []
        taken: set[tuple[int, int]] = set()
        for row, members in enumerate(self._rows):
            column = 0
            for rows, columns, texts in members:
                while (row, column) in taken:
                    column += 1
                cell = Cell(row, column, min(rows, len(self._rows) - row), columns, " ".join(texts))
                cells.append(cell)
                taken.update(cell.places)
        return cells


def _span(attributes: dict[str, str | None], name: str) -> int:
    value = attributes.get(name) or ""
    return max(1, int(value)) if value.isdecimal() else 1
