"""Toy outputs: texts of all pages in one object, which names the engine, and each page in one of its own."""

from collections.abc import Iterator
from typing import Final

from consumer.domain.body import Body, BytesBody
from consumer.domain.outputs import MakeSpool, OutputFormat
from consumer.domain.result import PageResult, ResultDocument
from tests.fakes.cloud import Stored


class TextsWriter:
    def __init__(self, spool: MakeSpool) -> None:
        self._body = spool()

    def add(self, page: PageResult) -> None:
        for line in page.detections:
            self._body.write(f"{page.page.page_number}: {line.text}\n".encode())

    def finish(self, head: ResultDocument) -> Iterator[tuple[str, Body]]:
        self._body.write(f"{head.page_count} pages by {head.engine.fingerprint}".encode())
        yield ".ocr.md", self._body


class PagesWriter:
    """Also a page without text has an object; a text that begins with `bug` cannot be written."""

    def __init__(self, spool: MakeSpool) -> None:
        self._objects: list[tuple[str, Body]] = []

    def add(self, page: PageResult) -> None:
        texts = " ".join(line.text for line in page.detections)
        if texts.startswith("bug"):
            raise LookupError(texts)
        ending = f".ocr/page-{page.page.page_number:04}-table-1.csv"
        self._objects.append((ending, BytesBody(texts.encode())))

    def finish(self, head: ResultDocument) -> Iterator[tuple[str, Body]]:
        return iter(self._objects)


TEXTS: Final = OutputFormat("markdown", "text/plain", TextsWriter)
PAGES: Final = OutputFormat("csv", "text/csv", PagesWriter)


def are_texts(body: bytes, source: Stored, fingerprint: str) -> bool:
    """Whether an output of `TEXTS` is that of a source, read by the engine with this fingerprint."""
    pages = source.body.removeprefix(b"%PDF-").split(b"\f")
    lines = [b"%d: %s" % (number, text) for number, text in enumerate(pages, start=1)]
    return body.splitlines() == [*lines, b"%d pages by %s" % (len(pages), fingerprint.encode())]
