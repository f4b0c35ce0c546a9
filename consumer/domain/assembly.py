"""Pages put together: the stored result document, without holding it as objects."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Self

from pydantic import BaseModel

from consumer.domain.errors import Code
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
class EncodedPage:
    """A page as it will stand in the stored document: JSON, which takes a sixth of the memory of objects.

    `detections` is a list without its brackets, of `lines` items.
    """

    page_number: int
    status: Status
    page: bytes
    detections: bytes
    lines: int
    warnings: tuple[Warning, ...]
    render_s: float
    engine_s: float

    @property
    def failure(self) -> Code | None:
        """Why it could not be read; None of a page that was."""
        return self.warnings[0].code if self.status is Status.FAILURE else None

    @classmethod
    def of(cls, read: PageResult) -> Self:
        """Write a page down."""
        return cls(
            page_number=read.page.page_number,
            status=read.page.status,
            page=_json(read.page),
            detections=b",".join(map(_json, read.detections)),
            lines=len(read.detections),
            warnings=read.warnings,
            render_s=read.render_s,
            engine_s=read.engine_s,
        )


@dataclass(frozen=True, slots=True)
class EncodedResult:
    """A result document to be stored: `body` is all of it, `head` all but its pages and detections."""

    head: ResultDocument
    lines: int
    body: bytes


def assemble(source: Source, engine: Engine, pages: Sequence[EncodedPage], timing: Timing) -> EncodedResult:
    """Put the pages of a whole document together, in page order.

    A document none of whose pages could be read is a failure: with the code of its pages where they
    agree (on more than `PAGE_UNREADABLE`), else `CORRUPT_DOCUMENT`. Raises ValueError where page numbers
    are not 1 to n, each once.
    """
    pages = sorted(pages, key=lambda page: page.page_number)
    if [page.page_number for page in pages] != list(range(1, len(pages) + 1)):
        raise ValueError("pages are missing or doubled")
    failed = [page for page in pages if page.status is Status.FAILURE]
    error = _common_failure(failed) if len(failed) == len(pages) else None
    seconds = {
        "render_s": _total(page.render_s for page in pages),
        "engine_s": _total(page.engine_s for page in pages),
    }
    head = ResultDocument(
        status=Status.FAILURE if error else Status.PARTIAL if failed else Status.SUCCESS,
        source=source,
        engine=engine,
        page_count=len(pages),
        warnings=tuple(warning for page in pages for warning in page.warnings),
        error=error,
        timing=timing.model_copy(update=seconds),
    )
    return EncodedResult(head, sum(page.lines for page in pages), _body(head, pages))


def _body(head: ResultDocument, pages: Sequence[EncodedPage]) -> bytes:
    last = {"warnings", "error", "timing"}
    first = head.model_dump_json(exclude={"pages", "detections", *last}).encode()
    return b"".join(
        (
            first.removesuffix(b"}"),
            b',"pages":[',
            b",".join(page.page for page in pages),
            b'],"detections":[',
            b",".join(page.detections for page in pages if page.lines),
            b"],",
            head.model_dump_json(include=last).encode().removeprefix(b"{"),
        )
    )


def _json(value: BaseModel) -> bytes:
    return value.model_dump_json().encode()


def _common_failure(failed: Sequence[EncodedPage]) -> Failure:
    warnings = [warning for page in failed for warning in page.warnings]
    codes = {warning.code for warning in warnings}
    # One page that is unreadable is a page's fault; that all of them are is the document's.
    code = codes.pop() if len(codes) == 1 and Code.PAGE_UNREADABLE not in codes else Code.CORRUPT_DOCUMENT
    message = f"no page could be read; the first: {warnings[0].message}"
    return Failure(code=code, message=message, retryable=code.retryable)


def failure(source: Source, engine: Engine, code: Code, message: str, timing: Timing) -> EncodedResult:
    """Build the result of a document that could not be opened."""
    document = ResultDocument(
        status=Status.FAILURE,
        source=source,
        engine=engine,
        page_count=0,
        error=Failure(code=code, message=message, retryable=code.retryable),
        timing=timing,
    )
    return EncodedResult(document, 0, _json(document))


def _total(seconds: Iterable[float]) -> float:
    return round(sum(seconds), 3)
