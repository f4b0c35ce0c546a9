"""A result document as it comes, chunk by chunk: memory does not grow with it."""

import json
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Iterator
from typing import Any, Final, TypeVar

import ijson
from ijson.common import ObjectBuilder
from pydantic import BaseModel, Field, ValidationError

from consumer.cli.json_shape import ShapeError, whole_and_shallow
from consumer.cli.page_choice import ALL_PAGES, PageChoice
from consumer.domain.parts import MOST_PAGES
from consumer.domain.result import Failure, PageNumber, ResultDocument, Status
from consumer.outputs.table_csv import as_csv

#: The fields before the pages take less.
_HEAD_BYTES: Final = 16 * 1024


_Item = TypeVar("_Item", bound=BaseModel)


class NoResultError(Exception):
    """What is there is no result document, or not all of it."""


class _Head(BaseModel):
    """What comes before the pages, as far as it matters here."""

    schema_version: str = Field(pattern=r"^1\.")
    status: Status
    page_count: int = Field(ge=0, le=MOST_PAGES)


class _Line(BaseModel):
    """A detection, as far as it matters here."""

    text: str
    page_number: PageNumber


class _Table(BaseModel):
    """A table, as far as it matters here."""

    html: str


class _Page(BaseModel):
    """A page, as far as it matters here."""

    page_number: PageNumber
    tables: list[_Table] = []
    markdown: str = ""


class ResultStream:
    """A result document that has begun to come; `open_stream` makes it. It is read once, in one form.

    `error` says why the document failed; None if it did not. `page_count`: of the whole document. What
    follows the last page that is chosen is not read, if the form does not need it.
    """

    def __init__(
        self, chunks: AsyncIterator[bytes], page_count: int, error: Failure | None, pages: PageChoice
    ) -> None:
        self._chunks = chunks
        self._pages = pages
        self.page_count = page_count
        self.error = error

    async def json(self) -> AsyncIterator[bytes]:
        """Yield the document: as it is, or without the pages, lines and warnings of other pages."""
        try:
            async for chunk in self._chunks if self._pages == ALL_PAGES else self._chosen_json():
                yield chunk
        except Exception:
            # The next document begins in a line of its own.
            yield b"\n"
            raise
        yield b"\n"

    async def _chosen_json(self) -> AsyncIterator[bytes]:
        events: Any = ijson.sendable_list()
        parser = ijson.parse_coro(events, use_float=True)
        writer = _ChosenPages(self._pages)
        try:
            async for chunk in self._chunks:
                parser.send(chunk)
                yield "".join(writer.written(events)).encode()
                del events[:]
            parser.close()
        except ijson.JSONError as error:
            raise NoResultError from error

    async def markdown(self) -> AsyncIterator[bytes]:
        """Yield the markdown of the pages, an empty line between them."""
        between = ""
        async for pages in self._chosen_pages():
            yield (between + "\n\n".join(page.markdown for page in pages)).encode()
            between = "\n\n"
        yield b"\n"

    async def csv(self) -> AsyncIterator[bytes]:
        """Yield the tables of the pages, an empty line between them."""
        between = ""
        async for pages in self._chosen_pages():
            for table in [table for page in pages for table in page.tables]:
                try:
                    text = as_csv(table.html)
                except ValueError as error:
                    raise NoResultError from error
                yield (between + text).encode()
                between = "\r\n"

    async def _chosen_pages(self) -> AsyncIterator[list[_Page]]:
        async for batch in _batches(self._chunks, "pages.item", _Page):
            if chosen := [page for page in batch if page.page_number in self._pages]:
                yield chosen
            if batch[-1].page_number >= self._pages.last:
                return

    async def text(self) -> AsyncIterator[bytes]:
        """Yield the lines of the pages, a form feed between them."""
        page_number, is_empty = 1, True
        async for batch in _batches(self._chunks, "detections.item", _Line):
            text = ""
            for line in batch:
                if line.page_number > self.page_count:
                    raise NoResultError
                if line.page_number not in self._pages:
                    continue
                # Counted without those that are left out.
                if skipped := self._pages.count(line.page_number) - page_number:
                    text += _turned(skipped, is_empty=is_empty)
                page_number, is_empty = page_number + skipped, False
                text += f"{line.text}\n"
            yield text.encode()
            # Lines are in the order of pages.
            if batch[-1].page_number > self._pages.last:
                break
        page_count = self._pages.count(self.page_count)
        yield _turned(max(page_count - page_number, 0), is_empty=is_empty).encode()
        if is_empty or page_number < page_count:
            yield b"\n"


class _ChosenPages:
    """Writes a document again without the items of its arrays that are of other pages."""

    def __init__(self, pages: PageChoice) -> None:
        self._pages = pages
        self._name = ""
        self._is_in_array = False
        self._builder: Any = None
        self._depth = 0
        self._separator = ""

    def written(self, events: Iterable[tuple[str, str, Any]]) -> Iterator[str]:
        """Yield the text of these events of the parser."""
        for prefix, event, value in events:
            if self._builder is None and (not prefix or (prefix == self._name and event.endswith("_array"))):
                yield self._at_the_top(event, value)
                continue
            if self._builder is None:
                self._builder = ObjectBuilder()
            self._builder.event(event, value)
            self._depth += event.startswith("start_") - event.startswith("end_")
            if self._depth == 0:
                yield self._complete(self._builder.value)
                self._builder = None

    def _at_the_top(self, event: str, value: Any) -> str:
        if event == "map_key":
            self._name = value
            separator, self._separator = self._separator, ""
            return f"{separator}{_compact(value)}:"
        if event in {"start_map", "start_array"}:
            self._separator, self._is_in_array = "", event == "start_array"
            return "[" if self._is_in_array else "{"
        self._separator, self._is_in_array = ",", False
        return "]" if event == "end_array" else "}"

    def _complete(self, value: Any) -> str:
        page_number = value.get("page_number") if self._is_in_array and isinstance(value, dict) else None
        if page_number is not None and not isinstance(page_number, int):
            raise NoResultError
        if page_number is not None and page_number not in self._pages:
            return ""
        separator, self._separator = self._separator, ","
        return separator + _compact(value)


def _compact(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _turned(pages: int, *, is_empty: bool) -> str:
    """End a page, and all empty ones before the next that has text."""
    return ("\n" * is_empty + "\f" + "\n\f" * (pages - 1)) if pages else ""


async def open_stream(chunks: AsyncGenerator[bytes], pages: PageChoice = ALL_PAGES) -> ResultStream:
    """Read the start of a document; raises NoResultError if it is none, as all forms of it do later."""
    start, chunks = b"", _guarded(chunks)
    async for chunk in chunks:
        start += chunk
        if len(start) >= _HEAD_BYTES:
            break
    try:
        head = _Head.model_validate(_fields(start[:_HEAD_BYTES]))
        if head.status is not Status.FAILURE:
            return ResultStream(_chained(start, chunks), head.page_count, None, pages)
        # Without a line of text it is small, and why it failed is said at its end.
        whole = start + b"".join([chunk async for chunk in chunks])
        document = ResultDocument.model_validate_json(whole)
    except ValidationError as error:
        raise NoResultError from error
    return ResultStream(_chained(whole, chunks), head.page_count, document.error, pages)


def _fields(start: bytes) -> dict[str, Any]:
    """Return the fields at the top of a document of which there is the start."""
    events: Any = ijson.sendable_list()
    try:
        ijson.parse_coro(events, use_float=True).send(start)
    except ijson.JSONError as error:
        raise NoResultError from error
    return {prefix: value for prefix, _, value in events if prefix and "." not in prefix}


async def _batches(
    chunks: AsyncIterator[bytes], prefix: str, kind: type[_Item]
) -> AsyncIterator[list[_Item]]:
    """Yield the values at one place of the document, of every chunk that has some."""
    events: Any = ijson.sendable_list()
    parser = ijson.items_coro(events, prefix, use_float=True)
    try:
        async for chunk in chunks:
            parser.send(chunk)
            if events:
                yield [kind.model_validate(event) for event in events]
                del events[:]
        parser.close()
    except (ijson.JSONError, ValidationError) as error:
        raise NoResultError from error


async def _guarded(chunks: AsyncIterator[bytes]) -> AsyncGenerator[bytes]:
    try:
        async for chunk in whole_and_shallow(chunks):
            yield chunk
    except ShapeError as error:
        raise NoResultError from error


async def _chained(start: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield start
    async for chunk in rest:
        yield chunk
