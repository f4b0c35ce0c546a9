"""The result document: its pages put together, and values that it refuses."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from consumer.domain import result
from consumer.domain.assembly import Assembly, EncodedResult, failure
from consumer.domain.body import chunks
from consumer.domain.errors import Code
from consumer.domain.result import Detection, Page, PageResult, ResultDocument, Status, failed_page
from consumer.service.spool import FileSpool

NOW = datetime(2026, 11, 23, 10, tzinfo=UTC)
SOURCE = result.Source(
    bucket="inbox",
    key="a b.pdf",
    version_id=None,
    etag="e1",
    size_bytes=9,
    content_type=None,
    last_modified=NOW,
)
ENGINE = result.Engine(name="fake", version="1", models={"read": "m"}, device="cpu", fingerprint="sha256:0")
TIMING = result.Timing(queued_at=None, started_at=NOW, finished_at=NOW)
#: Results as small as these are spooled in memory.
NO_FOLDER = Path("/nowhere")
SQUARE = ((0, 0), (9, 0), (9, 9), (0, 9))


def read_page(number: int, *texts: str, warning: Code | None = None) -> PageResult:
    warnings = () if warning is None else (result.Warning(code=warning, message="", page_number=number),)
    lines = (Detection(text=text, box=SQUARE, confidence=0.5, page_number=number) for text in texts)
    page = Page(page_number=number, status=Status.SUCCESS, width_px=10, height_px=10, scale=2.0, dpi=144.0)
    return PageResult(page=page, detections=tuple(lines), warnings=warnings, render_s=0.25, engine_s=1.5)


def crash(number: int, code: Code = Code.ENGINE_CRASH) -> PageResult:
    return failed_page(number, code, "why")


def stored(result: EncodedResult) -> ResultDocument:
    """Read what is stored; its head says the same of the whole."""
    document = ResultDocument.model_validate_json(b"".join(chunks(result.body)))
    assert result.lines == len(document.detections)
    assert document.model_copy(update={"pages": (), "detections": ()}) == result.head
    return document


def assembled(*pages: PageResult) -> ResultDocument:
    assembly = Assembly(lambda: FileSpool(NO_FOLDER))
    for page in pages:
        assembly.add(page)
    return stored(assembly.encode(assembly.head(SOURCE, ENGINE, TIMING)))


@pytest.mark.parametrize(
    ("pages", "status", "error"),
    [
        ([read_page(1, "x")], Status.SUCCESS, None),
        ([read_page(1)], Status.SUCCESS, None),
        ([read_page(1, warning=Code.PAGE_DOWNSCALED), read_page(2)], Status.SUCCESS, None),
        ([read_page(1), crash(2)], Status.PARTIAL, None),
        ([crash(1), crash(2), read_page(3)], Status.PARTIAL, None),
        ([crash(1)], Status.FAILURE, Code.ENGINE_CRASH),
        ([crash(1), crash(2)], Status.FAILURE, Code.ENGINE_CRASH),
        ([crash(1), crash(2, Code.RENDER_TIMEOUT)], Status.FAILURE, Code.CORRUPT_DOCUMENT),
    ],
)
def test_the_status_of_a_document_is_that_of_its_pages(
    pages: list[PageResult], status: Status, error: Code | None
) -> None:
    document = assembled(*pages)
    assert (document.status, document.error and document.error.code) == (status, error)
    assert document.page_count == len(document.pages) == len(pages)
    assert (document.source, document.engine) == (SOURCE, ENGINE)


def test_every_failed_page_has_a_warning_with_its_number() -> None:
    document = assembled(read_page(1, warning=Code.PAGE_DOWNSCALED), crash(2, Code.PAGE_UNREADABLE), crash(3))
    assert [(warning.page_number, warning.code) for warning in document.warnings] == [
        (1, Code.PAGE_DOWNSCALED),
        (2, Code.PAGE_UNREADABLE),
        (3, Code.ENGINE_CRASH),
    ]


def test_lines_stay_as_they_were_read_page_after_page() -> None:
    document = assembled(*(read_page(number, f"{number} z", f"{number} a") for number in range(1, 8)))
    assert [page.page_number for page in document.pages] == [1, 2, 3, 4, 5, 6, 7]
    assert [line.text for line in document.detections] == [f"{n} {x}" for n in range(1, 8) for x in "za"]


@given(st.lists(st.integers(1, 6), min_size=1, max_size=6))
def test_a_page_that_is_missing_doubled_or_out_of_order_is_refused(numbers: list[int]) -> None:
    pages = [read_page(number) for number in numbers]
    if numbers == list(range(1, len(numbers) + 1)):
        assert assembled(*pages).page_count == len(pages)
    else:
        with pytest.raises(ValueError, match="in the place of page"):
            assembled(*pages)


def test_the_seconds_of_all_pages_are_summed() -> None:
    timing = assembled(read_page(1), read_page(2), crash(3)).timing
    assert (timing.render_s, timing.engine_s) == (0.5, 3.0)
    assert (timing.queued_at, timing.started_at, timing.finished_at) == (None, NOW, NOW)


@pytest.mark.parametrize("code", Code)
def test_a_document_that_cannot_be_opened_fails_with_its_code_and_no_pages(code: Code) -> None:
    document = stored(failure(SOURCE, ENGINE, code, "why", TIMING))
    assert (document.status, document.page_count, document.pages, document.detections) == (
        Status.FAILURE,
        0,
        (),
        (),
    )
    assert document.error == result.Failure(
        code=code, message="why", retryable=code is Code.RETRIES_EXHAUSTED
    )


@given(st.lists(st.text(min_size=1)), st.text(), st.sampled_from(Code))
@settings(deadline=None)
def test_a_document_written_as_json_is_read_back_the_same(texts: list[str], message: str, code: Code) -> None:
    for document in (
        assembled(read_page(1, *texts), failed_page(2, code, message)),
        stored(failure(SOURCE, ENGINE, code, message, TIMING)),
    ):
        assert ResultDocument.model_validate_json(document.model_dump_json()) == document


DETECTION: dict[str, Any] = {"text": "x", "box": SQUARE, "confidence": 0.5, "page_number": 1}
BLOCK: dict[str, Any] = {"label": "text", "box": (0, 0, 1, 1), "order": None, "content": "", "confidence": 1}
PAGE: dict[str, Any] = {
    "page_number": 1,
    "status": "SUCCESS",
    "width_px": 1190,
    "height_px": 1684,
    "scale": 2.0,
}


@pytest.mark.parametrize(
    ("model", "fields", "wrong"),
    [
        (Detection, DETECTION, {"confidence": 1.5}),
        (Detection, DETECTION, {"confidence": -0.1}),
        (Detection, DETECTION, {"confidence": float("nan")}),
        (Detection, DETECTION, {"text": ""}),
        (Detection, DETECTION, {"box": ((-1, 0), (1, 0), (1, 1), (0, 1))}),
        (Detection, DETECTION, {"box": ((0.5, 0), (1, 0), (1, 1), (0, 1))}),
        (Detection, DETECTION, {"box": SQUARE[:3]}),
        (Detection, DETECTION, {"page_number": 0}),
        (result.Block, BLOCK, {"box": (0, 0, -1, 1)}),
        (result.Block, BLOCK, {"box": (2, 0, 1, 1)}),
        (result.Block, BLOCK, {"box": (0, 2, 1, 1)}),
        (Page, PAGE, {"width_px": None}),
        (Page, PAGE, {"scale": None}),
        (ResultDocument, assembled(read_page(1, "x")).model_dump(), {"status": "FAILURE"}),
        (ResultDocument, assembled(crash(1)).model_dump(), {"error": None}),
        (ResultDocument, assembled(crash(1)).model_dump(), {"detections": [DETECTION]}),
        (Page, PAGE, {"status": "PARTIAL"}),
        (Page, PAGE, {"angle": 45}),
        (Page, PAGE, {"width_px": 0}),
        (Page, PAGE, {"scale": 0}),
        (result.Source, SOURCE.model_dump(), {"size_bytes": -1}),
        (result.Timing, TIMING.model_dump(), {"engine_s": -0.1}),
        (result.Failure, {"code": "EMPTY_FILE", "message": "", "retryable": False}, {"code": "OTHER"}),
        (ResultDocument, assembled(read_page(1)).model_dump(), {"schema_version": "2.0"}),
        (ResultDocument, assembled(read_page(1)).model_dump(), {"page_count": -1}),
    ],
)
def test_an_impossible_value_cannot_be_built(
    model: type[BaseModel], fields: dict[str, Any], wrong: dict[str, Any]
) -> None:
    model.model_validate(fields)
    with pytest.raises(ValidationError):
        model.model_validate(fields | wrong)


@pytest.mark.parametrize(
    ("model", "fields"),
    [
        (Page, PAGE | {"scale": float("inf")}),
        (result.Timing, TIMING.model_dump() | {"engine_s": float("inf")}),
    ],
)
def test_what_json_cannot_hold_cannot_be_built(model: type[BaseModel], fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        model.model_validate(fields)


@pytest.mark.parametrize("value", [SOURCE, ENGINE, TIMING, read_page(1), assembled(read_page(1))])
def test_a_value_cannot_be_changed(value: BaseModel) -> None:
    name = next(iter(type(value).model_fields))
    with pytest.raises(ValidationError, match="frozen"):
        setattr(value, name, getattr(value, name))
