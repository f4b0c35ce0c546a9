"""A result document read back, page by page, without holding it in memory."""

import codecs
import json
from collections import defaultdict
from collections.abc import Iterator
from typing import Final

from pydantic import ValidationError

from consumer.domain.assembly import DETECTIONS_MARK, LAST_MARK, PAGES_MARK, join
from consumer.domain.body import CHUNK_BYTES, Body, SlicedBody, chunks
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
        """Yield all pages, in order, without the seconds that each has taken."""
        warnings: defaultdict[int | None, list[Warning]] = defaultdict(list)
        for warning in self.head.warnings:
            warnings[warning.page_number].append(warning)
        number = 0
        try:
            lines = map(Detection.model_validate_json, _items(self._detections))
            line = next(lines, None)
            for number, page in enumerate(map(Page.model_validate_json, _items(self._pages)), start=1):
                if page.page_number != number:
                    raise ResultLostError(f"page {page.page_number} is in the place of page {number}")
                detections = []
                while line is not None and line.page_number == page.page_number:
                    detections.append(line)
                    line = next(lines, None)
                yield PageResult(
                    page=page, detections=tuple(detections), warnings=tuple(warnings[page.page_number])
                )
        # All of JSON's, of UTF-8's and of Pydantic's are ValueErrors.
        except (ValueError, RecursionError) as error:
            raise ResultLostError("its pages cannot be read") from error
        if line is not None or number != self.head.page_count:
            raise ResultLostError("it has other pages than it says")

    def with_head(self, head: ResultDocument) -> Body:
        """Return the document with another head; pages and detections stay as they are, byte for byte."""
        return join(head, self._pages, self._detections)


def _items(body: Body) -> Iterator[str]:
    """Yield the items of a list that lacks its brackets, each as JSON; raises ValueError if it is none.

    Not by ijson, which keeps a name for every level: a list in a list in a list … would take all memory.
    """
    decode, utf8 = json.JSONDecoder().raw_decode, codecs.getincrementaldecoder("utf-8")()
    text, offset, between = "", 0, ""
    while offset < body.size_bytes:
        # As much again as is there, so that a long item is not begun too often.
        data = _whole(SlicedBody(body, offset, min(max(CHUNK_BYTES, len(text)), body.size_bytes - offset)))
        offset += len(data)
        text += utf8.decode(data, final=offset == body.size_bytes)
        at = 0
        while at < len(text):
            if not text.startswith(between, at):
                raise ValueError("items without a comma")
            start = at + len(between)
            try:
                _, at = decode(text, start)
            except json.JSONDecodeError:
                if offset == body.size_bytes:
                    raise
                break
            yield text[start:at]
            between = ","
        text = text[at:]
        if len(text) > _LONGEST_BYTES:
            raise ValueError("a page or a line is too long")


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
