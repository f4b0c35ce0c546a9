"""Toy outputs: texts of all pages in one object, which names the engine, and each page in one of its own."""

from collections.abc import Iterator
from typing import Final

from consumer.clock import Watchdog
from consumer.domain.body import Body, BytesBody
from consumer.domain.errors import Code, PageError
from consumer.domain.outputs import MakeSpool, OutputFormat
from consumer.domain.result import PageResult, ResultDocument, Warning  # noqa: A004 - the contract's word
from consumer.ports import SourceJob, SourceOutput
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


class SourceTexts:
    """Writes the source and the texts of the pages into one; fulfils `ports.SourceOutputWriter`.

    A source that says `unwritable` cannot be written, and one that says `signed` has a warning in its place.
    """

    async def write(self, job: SourceJob, watchdog: Watchdog) -> SourceOutput:
        source = job.source.read_bytes()
        if b"unwritable" in source:
            raise PageError(Code.RENDER_TIMEOUT, "too slow")
        if b"signed" in source:
            warning = Warning(code=Code.RENDER_CRASH, message="pdf: it is signed", page_number=1)
            return SourceOutput((), (), [warning])
        pages = [PageResult.model_validate_json(page) for page in job.pages.read_bytes().splitlines()]
        texts = "+".join(line.text for page in pages for line in page.detections)
        size = job.target.write_bytes(source + b" with " + texts.encode())
        return SourceOutput((".ocr.pdf" if job.output == "pdf" else ".ocr/page-0001.png",), (size,), ())


def are_texts(body: bytes, source: Stored, fingerprint: str) -> bool:
    """Whether an output of `TEXTS` is that of a source, read by the engine with this fingerprint."""
    pages = source.body.removeprefix(b"%PDF-").split(b"\f")
    lines = [b"%d: %s" % (number, text) for number, text in enumerate(pages, start=1)]
    return body.splitlines() == [*lines, b"%d pages by %s" % (len(pages), fingerprint.encode())]
