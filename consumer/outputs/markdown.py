"""The markdown of all pages, an empty line between them."""

from collections.abc import Iterator
from typing import Final

from consumer.domain.body import Body
from consumer.domain.outputs import MakeSpool, OutputFormat
from consumer.domain.result import PageResult, ResultDocument


class MarkdownWriter:
    """Writes the pages that have text one after another."""

    def __init__(self, spool: MakeSpool) -> None:
        self._body = spool()

    def add(self, page: PageResult) -> None:
        """Take the next page."""
        if text := page.page.markdown.strip():
            between = "\n" if self._body.size_bytes else ""
            self._body.write(f"{between}{text}\n".encode())

    def finish(self, head: ResultDocument) -> Iterator[tuple[str, Body]]:  # noqa: ARG002 - it says nothing of itself
        """Return the object."""
        yield ".ocr.md", self._body


FORMAT: Final = OutputFormat("markdown", "text/markdown; charset=utf-8", MarkdownWriter)
