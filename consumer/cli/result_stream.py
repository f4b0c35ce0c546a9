"""A result document as it comes, chunk by chunk: memory does not grow with it."""

from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any, Final

import ijson
from pydantic import BaseModel, Field, ValidationError

from consumer.domain.result import Failure, PageNumber, ResultDocument, Status
from consumer.outputs.table_csv import as_csv

#: The fields before the pages take less.
_HEAD_BYTES: Final = 16 * 1024


class NoResultError(Exception):
    """What is there is no result document, or not all of it."""


class _Head(BaseModel):
    """What comes before the pages, as far as it matters here."""

    schema_version: str = Field(pattern=r"^1\.")
    status: Status
    page_count: int


class _Line(BaseModel):
    """A detection, as far as it matters here."""

    text: str
    page_number: PageNumber


class ResultStream:
    """A result document that has begun to come; `open_stream` makes it. It is read once, in one form.

    `error` says why the document failed; None if it did not.
    """

    def __init__(self, chunks: AsyncIterator[bytes], page_count: int, error: Failure | None) -> None:
        self._chunks = chunks
        self._page_count = page_count
        self.error = error

    async def json(self) -> AsyncIterator[bytes]:
        """Yield the document as it is."""
        async for chunk in self._chunks:
            yield chunk
        yield b"\n"

    async def markdown(self) -> AsyncIterator[bytes]:
        """Yield the markdown of the pages, an empty line between them."""
        between = ""
        async for pages in _batches(self._chunks, "pages.item.markdown"):
            yield (between + "\n\n".join(pages)).encode()
            between = "\n\n"
        yield b"\n"

    async def csv(self) -> AsyncIterator[bytes]:
        """Yield the tables of the pages, an empty line between them."""
        between = ""
        async for tables in _batches(self._chunks, "pages.item.tables.item.html"):
            try:
                text = "\r\n".join(map(as_csv, tables))
            except ValueError as error:
                raise NoResultError from error
            yield (between + text).encode()
            between = "\r\n"

    async def text(self) -> AsyncIterator[bytes]:
        """Yield the lines of the pages, a form feed between them."""
        page_number, is_empty = 1, True
        async for batch in _batches(self._chunks, "detections.item"):
            text = ""
            for line in map(_Line.model_validate, batch):
                if skipped := line.page_number - page_number:
                    text += _turned(skipped, is_empty=is_empty)
                page_number, is_empty = line.page_number, False
                text += f"{line.text}\n"
            yield text.encode()
        yield _turned(max(self._page_count - page_number, 0), is_empty=is_empty).encode()
        if is_empty or page_number < self._page_count:
            yield b"\n"


def _turned(pages: int, *, is_empty: bool) -> str:
    """End a page, and all empty ones before the next that has text."""
    return ("\n" * is_empty + "\f" + "\n\f" * (pages - 1)) if pages else ""


async def open_stream(chunks: AsyncGenerator[bytes]) -> ResultStream:
    """Read the start of a document; raises NoResultError if it is none."""
    start = b""
    async for chunk in chunks:
        start += chunk
        if len(start) >= _HEAD_BYTES:
            break
    try:
        head = _Head.model_validate(_fields(start[:_HEAD_BYTES]))
        if head.status is not Status.FAILURE:
            return ResultStream(_chained(start, chunks), head.page_count, None)
        # Without a line of text it is small, and why it failed is said at its end.
        whole = start + b"".join([chunk async for chunk in chunks])
        document = ResultDocument.model_validate_json(whole)
    except ValidationError as error:
        raise NoResultError from error
    return ResultStream(_chained(whole, chunks), head.page_count, document.error)


def _fields(start: bytes) -> dict[str, Any]:
    """Return the fields at the top of a document of which there is the start."""
    events: Any = ijson.sendable_list()
    try:
        ijson.parse_coro(events, use_float=True).send(start)
    except ijson.JSONError as error:
        raise NoResultError from error
    return {prefix: value for prefix, _, value in events if prefix and "." not in prefix}


async def _batches(chunks: AsyncIterator[bytes], prefix: str) -> AsyncIterator[list[Any]]:
    """Yield the values at one place of the document, of every chunk that has some."""
    events: Any = ijson.sendable_list()
    parser = ijson.items_coro(events, prefix, use_float=True)
    try:
        async for chunk in chunks:
            parser.send(chunk)
            if events:
                yield list(events)
                del events[:]
        parser.close()
    except (ijson.JSONError, ValidationError) as error:
        raise NoResultError from error


async def _chained(start: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield start
    async for chunk in rest:
        yield chunk
