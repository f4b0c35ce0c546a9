"""Pages put together: the result document as it is stored, without holding it in memory."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from pydantic import BaseModel

from consumer.domain.body import Body, BytesBody, JoinedBody, Spool, lines
from consumer.domain.errors import Code
from consumer.domain.outputs import EncodedOutput, OutputRecord
from consumer.domain.result import (
    Engine,
    Failure,
    PageResult,
    ResultDocument,
    Source,
    Status,
    Timing,
    Warning,  # noqa: A004 - the contract's word
)

#: Top-level fields after the pages and detections.
LAST_FIELDS: Final = frozenset({"warnings", "error", "timing", "outputs"})

#: What stands before pages, detections, and the last fields. In a string its quotation marks are escaped, and
#: nothing among pages and detections has these names.
PAGES_MARK: Final = b',"pages":['
DETECTIONS_MARK: Final = b'],"detections":['
LAST_MARK: Final = b'],"warnings":'


@dataclass(frozen=True, slots=True)
class EncodedResult:
    """A result to be stored: `body` is the whole document, `head` all but its pages and detections.

    `outputs` are stored before the result. `record`: the other ones, that are there already or could not be
    written. The bodies can be read until their spools are closed.
    """

    head: ResultDocument
    lines: int
    body: Body
    outputs: tuple[EncodedOutput, ...] = ()
    record: OutputRecord = field(default_factory=OutputRecord)


class Assembly:
    """Puts the pages of one document together, as they come, in page order.

    A page is written down at once, to disk if there are many. `spool` makes a place for that; who passes it
    closes what it has made. With `keeps_pages` every page can be read again.
    """

    def __init__(self, spool: Callable[[], Spool], *, keeps_pages: bool = False) -> None:
        self._pages, self._detections = spool(), spool()
        self._kept = spool() if keeps_pages else None
        self._page_count = 0
        self._lines = 0
        self._warnings: list[Warning] = []
        self._failed_pages = 0
        self._failures: list[Warning] = []
        self._seconds = {"render_s": 0.0, "engine_s": 0.0}

    def add(self, page: PageResult) -> None:
        """Add the next page; raises ValueError if it is another one, HostError if the disk fails."""
        self._page_count += 1
        if page.page.page_number != self._page_count:
            raise ValueError(f"page {page.page.page_number} came in the place of page {self._page_count}")
        _append(self._pages, (page.page,))
        _append(self._detections, page.detections)
        if self._kept is not None:
            self._kept.write(_json(page) + b"\n")
        self._lines += len(page.detections)
        self._warnings += page.warnings
        if page.failure is not None:
            self._failed_pages += 1
            self._failures += page.warnings
        self._seconds["render_s"] += page.render_s
        self._seconds["engine_s"] += page.engine_s

    def kept_pages(self) -> Iterator[PageResult]:
        """Yield the pages again; none unless they are kept."""
        if self._kept is not None:
            yield from map(PageResult.model_validate_json, lines(self._kept))

    def head(self, source: Source, engine: Engine, timing: Timing) -> ResultDocument:
        """Return the document without its pages and detections.

        A document none of whose pages could be read is a failure: with the code of its pages if they agree
        (on more than `PAGE_UNREADABLE`), else with `CORRUPT_DOCUMENT`.
        """
        failed = self._failed_pages
        error = _common_failure(self._failures) if failed == self._page_count else None
        seconds = {name: round(value, 3) for name, value in self._seconds.items()}
        return ResultDocument(
            status=Status.FAILURE if error else Status.PARTIAL if failed else Status.SUCCESS,
            source=source,
            engine=engine,
            page_count=self._page_count,
            warnings=tuple(self._warnings),
            error=error,
            timing=timing.model_copy(update=seconds),
        )

    def encode(self, head: ResultDocument) -> EncodedResult:
        """Write the document with this head."""
        return EncodedResult(head, self._lines, join(head, self._pages, self._detections))


def join(head: ResultDocument, pages: Body, detections: Body) -> Body:
    """Return the whole document: the fields before the pages, the pages, the detections, and the rest."""
    first = head.model_dump_json(exclude={"pages", "detections", *LAST_FIELDS}).encode().removesuffix(b"}")
    rest = head.model_dump_json(include=set(LAST_FIELDS)).encode().removeprefix(b'{"warnings":')
    marks = (BytesBody(mark) for mark in (first + PAGES_MARK, DETECTIONS_MARK, LAST_MARK + rest))
    return JoinedBody((next(marks), pages, next(marks), detections, next(marks)))


def failure(source: Source, engine: Engine, code: Code, message: str, timing: Timing) -> EncodedResult:
    """Build the result of a document of which no page was read."""
    document = ResultDocument(
        status=Status.FAILURE,
        source=source,
        engine=engine,
        page_count=0,
        error=Failure(code=code, message=message, retryable=code.retryable),
        timing=timing,
    )
    return EncodedResult(document, 0, BytesBody(_json(document)))


def _append(spool: Spool, values: Sequence[BaseModel]) -> None:
    """Write values as more items of a list."""
    if values:
        comma = b"," if spool.size_bytes else b""
        spool.write(comma + b",".join(map(_json, values)))


def _json(value: BaseModel) -> bytes:
    return value.model_dump_json().encode()


def _common_failure(warnings: Sequence[Warning]) -> Failure:
    codes = {warning.code for warning in warnings}
    # One unreadable page is a page's fault; that all of them are is the document's.
    code = codes.pop() if len(codes) == 1 and Code.PAGE_UNREADABLE not in codes else Code.CORRUPT_DOCUMENT
    message = f"no page could be read; the first: {warnings[0].message}"
    return Failure(code=code, message=message, retryable=code.retryable)
