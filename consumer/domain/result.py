"""The result document, which programs read next to its source. Schema 1.0.

`json_schema()` is the published schema. Within 1.x fields may be added; none is
renamed or removed. All boxes are in the frame of `geometry`.
"""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, Final, Literal, Self, TypeVar

from pydantic import AfterValidator, BaseModel, Field, model_validator

from consumer.domain.errors import Code

SCHEMA_VERSION: Final = "1.0"

_Item = TypeVar("_Item")

#: Any number of values, of which the first wrong one is told, and no other: the errors of a message full of
#: wrong ones would take hundreds of times its memory.
Many = Annotated[tuple[_Item, ...], Field(fail_fast=True)]

Pixel = Annotated[int, Field(ge=0, description="pixels of the page image, origin top-left")]
Corner = tuple[Pixel, Pixel]


def _in_order(box: tuple[int, int, int, int]) -> tuple[int, int, int, int]:
    x1, y1, x2, y2 = box
    if x1 > x2 or y1 > y2:
        raise ValueError("x1 must not be over x2, nor y1 over y2")
    return box


Box = Annotated[
    tuple[Pixel, Pixel, Pixel, Pixel], AfterValidator(_in_order), Field(description="[x1, y1, x2, y2]")
]
Confidence = Annotated[float, Field(ge=0, le=1)]
PageNumber = Annotated[int, Field(ge=1, description="the first page is 1")]
Seconds = Annotated[float, Field(ge=0)]


class Status(StrEnum):
    """How a document ended: all pages read, some, or none."""

    SUCCESS = "SUCCESS"
    PARTIAL = "PARTIAL"
    FAILURE = "FAILURE"


class _Value(BaseModel, frozen=True, allow_inf_nan=False, json_schema_serialization_defaults_required=True):
    """Base of the parts. Every field is written, so the published schema promises every one."""


class Source(_Value):
    """The very object that was read."""

    bucket: str
    key: str
    version_id: str | None = Field(description="null if the bucket is not versioned")
    etag: str = Field(description="without quotation marks")
    size_bytes: int = Field(ge=0)
    content_type: str | None = Field(description="as the uploader stated it; the bytes decide")
    last_modified: datetime

    def by_etag(self) -> "Source":
        """Name the object by its ETag alone: to name a version takes a permission of its own."""
        return self.model_copy(update={"version_id": None})


class Engine(_Value):
    """What read the pages."""

    name: str
    version: str
    models: dict[str, str] = Field(description="name of the model by its role")
    device: str
    fingerprint: str = Field(description="same fingerprint and same source: same result")


Corners = tuple[Corner, Corner, Corner, Corner]


class Word(_Value):
    """A word of a line; of a script without spaces, a character."""

    text: str = Field(min_length=1)
    box: Corners = Field(description="corners, as those of the line")
    confidence: Confidence


class Detection(_Value):
    """One line of text."""

    text: str = Field(min_length=1)
    box: Corners = Field(
        description="corners, first the one at which the text starts, in reading order round the line"
    )
    confidence: Confidence
    page_number: PageNumber
    words: Many[Word] | None = Field(
        default=None,
        exclude_if=lambda words: words is None,
        description="in the order of the text; only if words are asked for",
    )


class Block(_Value):
    """A region of the layout: paragraph, title, figure, …"""

    label: str
    box: Box
    order: int | None = Field(description="place in the reading order; null if it has none")
    content: str
    confidence: Confidence | None = Field(description="null if the engine does not say how certain it is")


class Table(_Value):
    """A table, its structure as HTML."""

    box: Box
    html: str
    cells: Many[Box]


class Formula(_Value):
    """A formula as LaTeX."""

    box: Box
    latex: str


class Page(_Value):
    """One page. Of a failed page that could not be rendered, size and scale are null."""

    page_number: PageNumber
    status: Literal[Status.SUCCESS, Status.FAILURE]
    width_px: int | None = Field(default=None, ge=1)
    height_px: int | None = Field(default=None, ge=1)
    scale: float | None = Field(
        default=None, gt=0, description="pixels per point; of an image: per own pixel"
    )
    dpi: float | None = Field(default=None, gt=0, description="72 x scale; null for an image")
    angle: Literal[0, 90, 180, 270] = Field(
        default=0, description="degrees clockwise by which the engine turned the page before reading it"
    )
    confidence: Confidence | None = Field(
        default=None,
        description="mean of the page's lines, each counted by its characters; null without lines",
    )
    blocks: Many[Block] = ()
    tables: Many[Table] = ()
    formulas: Many[Formula] = ()
    markdown: str = ""
    flattened_image: str | None = Field(
        default=None,
        description="only if the engine flattens pages, which cannot be undone: the flattened "
        "page (width_px x height_px) as a data URI; all boxes of the page fit it, and not the source",
    )

    @model_validator(mode="after")
    def _read_pages_have_a_size(self) -> Self:
        if self.status is Status.SUCCESS and None in (self.width_px, self.height_px, self.scale):
            raise ValueError("a page that was read has a size and a scale")
        return self


class Warning(_Value):  # noqa: A001 - the contract's word, always used as result.Warning
    """Something a reader of the result should know about the document or one page of it."""

    code: Code
    message: str
    page_number: PageNumber | None = None


class Failure(_Value):
    """Why there is no text."""

    code: Code
    message: str
    retryable: bool


class Timing(_Value):
    """When the document was queued and read, and how long its pages were worked on, in seconds."""

    queued_at: datetime | None
    started_at: datetime
    finished_at: datetime
    render_s: Seconds = 0.0
    engine_s: Seconds = 0.0


class ResultDocument(_Value):
    """The text of one source, or why there is none."""

    schema_version: str = Field(default=SCHEMA_VERSION, pattern=r"^1\.\d+$")
    status: Status
    source: Source
    engine: Engine
    page_count: int = Field(ge=0, description="pages of the document; 0 if it could not be opened")
    pages: Many[Page] = ()
    detections: Many[Detection] = ()
    warnings: Many[Warning] = ()
    error: Failure | None = None
    timing: Timing
    outputs: Many[str] = Field(
        default=(), description="names of the other outputs that were written with this result"
    )

    @model_validator(mode="after")
    def _failures_have_an_error_and_no_text(self) -> Self:
        failed = self.status is Status.FAILURE
        if failed != (self.error is not None) or (failed and self.detections):
            raise ValueError("a failure, and nothing else, has an error; it has no detections")
        return self


def json_schema() -> dict[str, Any]:
    """JSON Schema of a stored result document."""
    return ResultDocument.model_json_schema(mode="serialization")


class PageResult(_Value):
    """All that one page adds to the result document."""

    page: Page
    detections: Many[Detection] = ()
    warnings: Many[Warning] = ()
    render_s: Seconds = 0.0
    engine_s: Seconds = 0.0

    @property
    def failure(self) -> Code | None:
        """Why the page could not be read; None if it was read."""
        return self.warnings[0].code if self.page.status is Status.FAILURE else None


def failed_page(page_number: int, code: Code, message: str) -> PageResult:
    """Build the record of a page that could not be rendered or read."""
    return PageResult(
        page=Page(page_number=page_number, status=Status.FAILURE),
        warnings=(Warning(code=code, message=message, page_number=page_number),),
    )
