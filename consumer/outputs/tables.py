"""Tables of HTML as rows and columns."""

from collections import defaultdict
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Final

#: Far above any table of a page: a cell that claims to span more is cut, …
_MOST_SPANNED: Final = 1000

#: … and a table of more places is none. Clients can put any object in the place of a result.
_MOST_PLACES: Final = 100_000

_TOO_LARGE: Final = f"a table of more than {_MOST_PLACES} places"


@dataclass(slots=True)
class Cell:
    """A cell and its place, from 0; `is_header`: of a header row or column."""

    row: int
    column: int
    row_span: int
    column_span: int
    is_header: bool
    text: str = ""


@dataclass(slots=True)
class Grid:
    """The cells of a table in the order of its HTML, and how many rows and columns they take."""

    cells: list[Cell] = field(default_factory=list)
    rows: int = 0
    columns: int = 0

    def texts(self) -> list[list[str]]:
        """Return the texts by row and column; a cell that spans several says the same in each of them."""
        texts = [[""] * self.columns for _ in range(self.rows)]
        for cell in self.cells:
            for row in range(cell.row, cell.row + cell.row_span):
                texts[row][cell.column : cell.column + cell.column_span] = [cell.text] * cell.column_span
        return texts


def grid(html: str) -> Grid:
    """Read a table, as browsers lay its cells out; what stands outside of cells is left out.

    Raises ValueError if it has more than 100,000 places for cells.
    """
    parser = _Parser()
    parser.feed(html)
    parser.close()
    return parser.finish()


class _Parser(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self._cells: list[Cell] = []
        #: By column, the first row that no cell reaches.
        self._free: defaultdict[int, int] = defaultdict(int)
        self._row, self._column = -1, 0
        self._cell: Cell | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "tr":
            self._row, self._column = self._row + 1, 0
            self._cell = None
        elif tag in {"td", "th"}:
            self._begin(dict(attrs), is_header=tag == "th")
        elif tag == "br" and self._cell is not None:
            self._cell.text += " "

    def _begin(self, values: dict[str, str | None], *, is_header: bool) -> None:
        row = self._row = max(self._row, 0)
        column = self._column
        while self._free[column] > row:
            column += 1
        rows, columns = _span(values.get("rowspan")), _span(values.get("colspan"))
        # A cell does not cover one that stands there already.
        columns = next((n for n in range(1, columns) if self._free[column + n] > row), columns)
        self._column = column + columns
        if self._column > _MOST_PLACES:
            raise ValueError(_TOO_LARGE)
        self._free.update(dict.fromkeys(range(column, self._column), row + rows))
        self._cell = Cell(row, column, rows, columns, is_header)
        self._cells.append(self._cell)

    def handle_endtag(self, tag: str) -> None:
        if tag in {"td", "th", "tr", "table"}:
            self._cell = None

    def handle_data(self, data: str) -> None:
        if self._cell is not None:
            self._cell.text += data

    def finish(self) -> Grid:
        rows = self._row + 1
        for cell in self._cells:
            # A span ends with the table.
            cell.row_span = min(cell.row_span, rows - cell.row)
            cell.text = " ".join(cell.text.split())
        columns = max((cell.column + cell.column_span for cell in self._cells), default=0)
        if rows * columns > _MOST_PLACES:
            raise ValueError(_TOO_LARGE)
        return Grid(self._cells, rows, columns)


def _span(value: str | None) -> int:
    number = int(value) if value is not None and value.isascii() and value.isdigit() else 1
    return min(max(number, 1), _MOST_SPANNED)
