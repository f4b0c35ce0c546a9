"""CSV of each table (RFC 4180): the rows and columns of its HTML.

A cell that spans several says the same in each of them. A text that a spreadsheet would take for a formula
has an apostrophe before it, as spreadsheets themselves mark text: a document may come from anybody, and a
formula can run programs. So has one behind a semicolon, because Excel takes that for the end of a cell in
countries with decimal commas. Numbers, dates and the like begin with these signs too and are left alone.
"""

import csv
import io
import re
import unicodedata
from collections.abc import Iterator
from itertools import dropwhile
from typing import Final

from consumer.domain.body import Body, SlicedBody
from consumer.domain.outputs import MakeSpool, OutputFormat
from consumer.domain.result import PageResult, ResultDocument
from consumer.outputs.tables import grid

#: Signs with which a formula begins; Japanese editions of Excel take the wide ones too.
_SIGNS: Final = ("=", "@", "+", "-", "＝", "＠", "＋", "－")  # noqa: RUF001

#: A text that begins like a formula and is a number, a date, a dash.
_NUMBER: Final = re.compile(r"[+\-＋－][\d\s.,:/()%€$£¥+\-＋－]*\Z")  # noqa: RUF001


def as_csv(html: str) -> str:
    """Write a table; empty if it has no cells."""
    text = io.StringIO()
    csv.writer(text).writerows([_harmless(cell) for cell in row] for row in grid(html).texts())
    return text.getvalue()


def _harmless(text: str) -> str:
    return ";".join(map(_marked, text.split(";")))


def _marked(text: str) -> str:
    # Spreadsheets drop some characters that nobody sees, such as the mark of UTF-8.
    seen = "".join(dropwhile(lambda each: unicodedata.category(each)[0] in "CZ", text))
    return f"'{text}" if seen.startswith(_SIGNS) and not _NUMBER.match(seen) else text


class TablesWriter:
    """Writes the tables one after another, and cuts them apart at the end."""

    def __init__(self, spool: MakeSpool) -> None:
        self._body = spool()
        self._places: list[tuple[str, int, int]] = []

    def add(self, result: PageResult) -> None:
        """Take the next page."""
        for number, table in enumerate(result.page.tables, start=1):
            data, start = as_csv(table.html).encode(), self._body.size_bytes
            self._body.write(data)
            ending = f".ocr/page-{result.page.page_number:04}-table-{number}.csv"
            self._places.append((ending, start, len(data)))

    def finish(self, head: ResultDocument) -> Iterator[tuple[str, Body]]:  # noqa: ARG002 - it says nothing of it
        """Return an object for each table."""
        for ending, start, size_bytes in self._places:
            yield ending, SlicedBody(self._body, start, size_bytes)


FORMAT: Final = OutputFormat("csv", "text/csv; charset=utf-8", TablesWriter)
