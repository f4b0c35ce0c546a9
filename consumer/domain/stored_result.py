"""A result document read back, page by page, without holding it in memory."""

from collections import defaultdict
from collections.abc import Iterator
from typing import Any, Final

import ijson
from pydantic import ValidationError

from consumer.domain.assembly import DETECTIONS_MARK, LAST_MARK, PAGES_MARK, join
from consumer.domain.body import CHUNK_BYTES, Body, BytesBody, JoinedBody, SlicedBody, chunks
from consumer.domain.errors import BucketOcrError
from consumer.domain.result import (
    Detection,
    Page,
    PageResult,
    ResultDocument,
    Warning,  # noqa: A004 - the contract's word
)

#: The fields before the pages take less.
_HEAD_BYTES: Final = 64 * 1024

#: A page, a line, and the fields after the pages are read whole, and take less. Clients can put any object in
#: the place of a result.
_LONGEST_BYTES: Final = 64 * 1024 * 1024


class ResultLostError(BucketOcrError):
    """The stored document is none of ours, or not all of it."""


class StoredResult:
    """A stored document, `body`; raises ResultLostError, as its methods do, if `assembly` has not written it.

    `head`: the document without pages and detections.
    """

    def __init__(self, body: Body) -> None:
        self._body = body
        pages = _find(body, PAGES_MARK, 0, _HEAD_BYTES)
        detections = _find(body, DETECTIONS_MARK, pages)
        last = _find(body, LAST_MARK, detections)
        self._pages = _between(body, pages + len(PAGES_MARK), detections)
        self._detections = _between(body, detections + len(DETECTIONS_MARK), last)
        if body.size_bytes - last > _LONGEST_BYTES:
            raise ResultLostError("it has too many warnings")
        rest = _whole(SlicedBody(body, last + 1, body.size_bytes - last - 1))
        try:
            self.head = ResultDocument.model_validate_json(_whole(SlicedBody(body, 0, pages)) + rest)
        except ValidationError as error:
            raise ResultLostError("it is no result document") from error

    def pages(self) -> Iterator[PageResult]:
        """Yield the pages, without the seconds that each has taken."""
        warnings: defaultdict[int | None, list[Warning]] = defaultdict(list)
        for warning in self.head.warnings:
            warnings[warning.page_number].append(warning)
        try:
            lines = map(Detection.model_validate, _items(self._detections))
            line = next(lines, None)
            for page in map(Page.model_validate, _items(self._pages)):
                detections = []
                while line is not None and line.page_number == page.page_number:
                    detections.append(line)
                    line = next(lines, None)
                yield PageResult(
                    page=page, detections=tuple(detections), warnings=tuple(warnings[page.page_number])
                )
        except (ijson.JSONError, ValidationError) as error:
            raise ResultLostError("its pages cannot be read") from error
        if line is not None:
            raise ResultLostError("it has lines of no page")

    def with_head(self, head: ResultDocument) -> Body:
        """Return the document with another head; pages and detections stay as they are, byte for byte."""
        return join(head, self._pages, self._detections)


class _Reader:
    """A body as ijson reads files; `item_bytes`: how much was read since that was set to 0."""

    def __init__(self, body: Body) -> None:
        self._body = body
        self._offset = 0
        self.item_bytes = 0

    def read(self, size_bytes: int) -> bytes:
        if self.item_bytes > _LONGEST_BYTES:
            raise ResultLostError("a page or a line is too long")
        # ijson asks for none at first, to see whether these are bytes.
        chunk = self._body.read(self._offset, size_bytes) if size_bytes else b""
        self._offset += len(chunk)
        self.item_bytes += len(chunk)
        return chunk


def _items(body: Body) -> Iterator[Any]:
    """Yield the items of a list that lacks its brackets."""
    reader = _Reader(JoinedBody((BytesBody(b"["), body, BytesBody(b"]"))))
    for item in ijson.items(reader, "item", use_float=True):
        reader.item_bytes = 0
        yield item


def _between(body: Body, start: int, end: int) -> Body:
    return SlicedBody(body, start, end - start)


def _find(body: Body, mark: bytes, start: int, within: int | None = None) -> int:
    """Return where the mark stands, from `start` on; raises ResultLostError."""
    end = body.size_bytes if within is None else min(body.size_bytes, start + within)
    rest, offset = b"", start
    while offset < end and (chunk := body.read(offset, min(CHUNK_BYTES, end - offset))):
        seen = rest + chunk
        if (found := seen.find(mark)) >= 0:
            return offset - len(rest) + found
        offset += len(chunk)
        rest = seen[-(len(mark) - 1) :]
    raise ResultLostError(f"it has no {mark.decode()}")


def _whole(body: Body) -> bytes:
    return b"".join(chunks(body))
