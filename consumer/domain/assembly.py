"""Pages put together: the result document as it is stored, without holding it in memory."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pydantic import BaseModel

from consumer.domain.body import Body, BytesBody, JoinedBody, Spool
from consumer.domain.errors import Code
from consumer.domain.outputs import EncodedOutput, OutputFormat
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


@dataclass(frozen=True, slots=True)
class EncodedResult:
    """A result to be stored: `body` is the whole document, `head` all but its pages and detections.

    `outputs` are stored before the result. The body can be read until its spools are closed.
    """

    head: ResultDocument
    lines: int
    body: Body
    outputs: tuple[EncodedOutput, ...] = ()


class Assembly:
    """Puts the pages of one document together, as they come, in page order.

    A page is written down at once, to disk if there are many. `spool` makes a place for that; who passes it
    closes what it has made.
    """

    def __init__(self, formats: Sequence[OutputFormat] = (), *, spool: Callable[[], Spool]) -> None:
        self._result = JsonWriter(spool(), spool())
        self._outputs = [(output, output.writer()) for output in formats]
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
        self._result.add(page)
        for _, writer in self._outputs:
            writer.add(page)
        self._lines += len(page.detections)
        self._warnings += page.warnings
        if page.failure is not None:
            self._failed_pages += 1
            self._failures += page.warnings
        self._seconds["render_s"] += page.render_s
        self._seconds["engine_s"] += page.engine_s

    def finish(self, source: Source, engine: Engine, timing: Timing) -> EncodedResult:
        """Write the document.

        A document none of whose pages could be read is a failure: with the code of its pages if they agree
        (on more than `PAGE_UNREADABLE`), else with `CORRUPT_DOCUMENT`.
        """
        failed = self._failed_pages
        error = _common_failure(self._failures) if failed == self._page_count else None
        seconds = {name: round(value, 3) for name, value in self._seconds.items()}
        head = ResultDocument(
            status=Status.FAILURE if error else Status.PARTIAL if failed else Status.SUCCESS,
            source=source,
            engine=engine,
            page_count=self._page_count,
            warnings=tuple(self._warnings),
            error=error,
            timing=timing.model_copy(update=seconds),
        )
        outputs = tuple(
            EncodedOutput(output.key(source.key), output.content_type, writer.finish(head))
            for output, writer in self._outputs
        )
        return EncodedResult(head, self._lines, self._result.finish(head), outputs)


class JsonWriter:
    """Writes the result document itself, its pages and its detections into a spool each."""

    def __init__(self, pages: Spool, detections: Spool) -> None:
        self._pages = pages
        self._detections = detections

    def add(self, page: PageResult) -> None:
        """Take the next page."""
        _append(self._pages, (page.page,))
        _append(self._detections, page.detections)

    def finish(self, head: ResultDocument) -> Body:
        """Return the document: the fields before the pages, the pages, the detections, and the rest."""
        last = {"warnings", "error", "timing"}
        first = head.model_dump_json(exclude={"pages", "detections", *last}).encode().removesuffix(b"}")
        rest = head.model_dump_json(include=last).encode().removeprefix(b"{")
        return JoinedBody(
            (
                BytesBody(first + b',"pages":['),
                self._pages,
                BytesBody(b'],"detections":['),
                self._detections,
                BytesBody(b"]," + rest),
            )
        )


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
