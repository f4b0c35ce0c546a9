"""Results as they come: each form is that of the whole document, however it is cut into chunks."""

import contextlib
import json
import tracemalloc
from collections.abc import AsyncGenerator
from datetime import UTC, datetime

import pytest

from consumer.cli.page_choice import PageChoice
from consumer.cli.result_stream import NoResultError, ResultStream, open_stream
from consumer.domain import result
from consumer.domain.errors import Code
from consumer.domain.result import Detection, Page, ResultDocument, Status

NOW = datetime(2026, 11, 23, 10, tzinfo=UTC)
SQUARE = ((0, 0), (9, 0), (9, 9), (0, 9))
SOURCE = result.Source(
    bucket="inbox",
    key="ü" * 500 + ".pdf",
    version_id=None,
    etag="e1",
    size_bytes=9,
    content_type=None,
    last_modified=NOW,
)
ENGINE = result.Engine(
    name="fake",
    version="1",
    models={f"role {n}": "m" * 50 for n in range(30)},
    device="cpu",
    fingerprint="sha256:0",
)
CHUNKS = (1, 7, 1000, 1_000_000)


def document(*pages: str, status: Status = Status.SUCCESS) -> ResultDocument:
    """Make a result of pages with a line and a table for each word, whose markdown is the text."""
    failed = status is Status.FAILURE
    error = result.Failure(code=Code.CORRUPT_DOCUMENT, message="bröken", retryable=False) if failed else None
    return ResultDocument(
        status=status,
        source=SOURCE,
        engine=ENGINE,
        page_count=len(pages),
        pages=tuple(
            Page(
                page_number=number,
                status=Status.SUCCESS,
                width_px=10,
                height_px=10,
                scale=2.0,
                dpi=144.0,
                markdown=text,
                tables=tuple(table(word) for word in text.split()),
            )
            for number, text in enumerate(pages, 1)
        ),
        detections=tuple(
            Detection(text=word, box=SQUARE, confidence=0.5, page_number=number)
            for number, text in enumerate(pages, 1)
            for word in text.split()
        ),
        error=error,
        timing=result.Timing(queued_at=None, started_at=NOW, finished_at=NOW),
    )


def table(text: str) -> result.Table:
    return result.Table(box=(0, 0, 1, 1), html=f"<table><tr><td>{text}<td>1,5</tr></table>", cells=())


async def chunks(body: bytes, size_bytes: int) -> AsyncGenerator[bytes]:
    for start in range(0, len(body), size_bytes):
        yield body[start : start + size_bytes]


async def opened(body: bytes, size_bytes: int = 1000) -> ResultStream:
    return await open_stream(chunks(body, size_bytes))


@pytest.mark.parametrize("size_bytes", CHUNKS)
@pytest.mark.parametrize(
    "pages",
    [
        (),
        ("",),
        ("one two",),
        ("", ""),
        ("", "", "ünder three"),
        ("one", "", "", "four five", ""),
        ("one", "two", ""),
        tuple(f"page{number} 文字 x" for number in range(300)),
    ],
)
async def test_each_form_is_that_of_the_whole_document(pages: tuple[str, ...], size_bytes: int) -> None:
    body = document(*pages).model_dump_json().encode()
    texts = ["\n".join(text.split()) + "\n" for text in pages]
    expected = {
        "json": body.decode() + "\n",
        "markdown": "\n\n".join(pages) + "\n",
        "text": "\f".join(texts).rstrip("\n") + "\n",
        "csv": "\r\n".join(f'{word},"1,5"\r\n' for text in pages for word in text.split()),
    }
    printed = {}
    for form in expected:
        stream = await opened(body, size_bytes)
        assert stream.error is None
        forms = {"json": stream.json, "markdown": stream.markdown, "text": stream.text, "csv": stream.csv}
        printed[form] = b"".join([chunk async for chunk in forms[form]()]).decode()
    assert printed == expected


@pytest.mark.parametrize("size_bytes", CHUNKS)
async def test_why_a_document_failed_is_known(size_bytes: int) -> None:
    failed = document(status=Status.FAILURE)
    body = failed.model_dump_json().encode()
    stream = await opened(body, size_bytes)
    assert stream.error == failed.error
    assert b"".join([chunk async for chunk in stream.json()]) == body + b"\n"


@pytest.mark.parametrize(
    "body", [b"", b"mine", b"{}", b"[]", b'{"schema_version": "1.0"}', b"%PDF-1.7", b'"' + b"x" * 100_000]
)
async def test_something_else_is_no_result(body: bytes) -> None:
    with pytest.raises(NoResultError):
        await opened(body)


@pytest.mark.parametrize("form", ["text", "markdown"])
async def test_a_document_that_ends_early_is_no_result(form: str) -> None:
    body = document(*["one two"] * 300).model_dump_json().encode()
    stream = await opened(body[: len(body) - 500])
    forms = {"markdown": stream.markdown, "text": stream.text}
    with pytest.raises(NoResultError):
        assert [chunk async for chunk in forms[form]()]


async def test_a_document_with_a_table_larger_than_any_page_is_no_result() -> None:
    body = document("<tr>" * 200_000 + "<td>").model_dump_json().encode()
    stream = await opened(body)
    with pytest.raises(NoResultError):
        [chunk async for chunk in stream.csv()]


@pytest.mark.parametrize("size_bytes", CHUNKS)
@pytest.mark.parametrize("chosen", ["1", "2-3", "4", "1,3,5-", "6"])
async def test_chosen_pages_are_those_of_a_document_that_has_only_them(chosen: str, size_bytes: int) -> None:
    texts = ["one", "two ünder", "", "four", "five", "six"]
    choice = PageChoice.parse(chosen)
    kept = [text for number, text in enumerate(texts, 1) if number in choice]
    warnings = [
        result.Warning(code=Code.PAGE_DOWNSCALED, message="m", page_number=number) for number in (None, 1, 4)
    ]
    whole = document(*texts).model_copy(update={"warnings": tuple(warnings)})
    expected = {
        "markdown": "\n\n".join(kept) + "\n",
        "text": "\f".join("\n".join(text.split()) + "\n" for text in kept),
        "csv": "\r\n".join(f'{word},"1,5"\r\n' for text in kept for word in text.split()),
    }
    body = whole.model_dump_json().encode()
    for form, text in expected.items():
        stream = await open_stream(chunks(body, size_bytes), choice)
        forms = {"markdown": stream.markdown, "text": stream.text, "csv": stream.csv}
        assert b"".join([chunk async for chunk in forms[form]()]).decode() == text
    stream = await open_stream(chunks(body, size_bytes), choice)
    printed = b"".join([chunk async for chunk in stream.json()])
    update = {
        "pages": tuple(page for page in whole.pages if page.page_number in choice),
        "detections": tuple(line for line in whole.detections if line.page_number in choice),
        "warnings": tuple(
            each for each in warnings if each.page_number is None or each.page_number in choice
        ),
    }
    assert ResultDocument.model_validate_json(printed) == whole.model_copy(update=update)


async def test_fields_of_later_versions_are_kept_when_pages_are_chosen() -> None:
    body = (
        b'{"schema_version": "1.7", "status": "SUCCESS", "page_count": 2, "new": {"a": [1, 2.5, null]}, '
        b'"list": [], "words": ["x", [1], {"page_number": 1}, {"page_number": 2}], "last": "\xc3\xbc"}'
    )
    stream = await open_stream(chunks(body, 9), PageChoice.parse("2"))
    assert b"".join([chunk async for chunk in stream.json()]).decode() == (
        '{"schema_version":"1.7","status":"SUCCESS","page_count":2,"new":{"a":[1,2.5,null]},'
        '"list":[],"words":["x",[1],{"page_number":2}],"last":"ü"}\n'
    )


@pytest.mark.parametrize("form", ["text", "markdown", "csv"])
async def test_what_follows_the_last_chosen_page_is_not_asked_for(form: str) -> None:
    body = document(*["one two"] * 3000).model_dump_json().encode()
    taken = 0

    async def counted() -> AsyncGenerator[bytes]:
        nonlocal taken
        async for chunk in chunks(body, 1000):
            taken += len(chunk)
            yield chunk

    stream = await open_stream(counted(), PageChoice.parse("2"))
    forms = {"markdown": stream.markdown, "text": stream.text, "csv": stream.csv}
    assert [chunk async for chunk in forms[form]()]
    assert taken < len(body) * 0.9


def forged(**fields: str) -> bytes:
    """A result, with JSON of a client's in the place of some of its fields."""
    body = json.loads(document("one two", "three").model_dump_json())
    marked = json.dumps(body | dict.fromkeys(fields, "@"))
    for name, value in fields.items():
        marked = marked.replace(f'"{name}": "@"', f'"{name}": {value}')
    return marked.encode()


@pytest.mark.parametrize(
    "fields",
    [
        {"warnings": "[" * 100_000 + "]" * 100_000},
        {"warnings": '{"a":' * 50_000 + "1" + "}" * 50_000},
        {"pages": "[" * 100_000 + "]" * 100_000},
        {"detections": "[" + '{"text":' * 50_000 + "1" + "}" * 50_000 + "]"},
        {"page_count": "1000000000000"},
        {"page_count": "-1"},
        {"detections": '[{"text": "x", "page_number": 1000000}]'},
        {"pages": '[{"page_number": "x"}]'},
        {"pages": '[{"page_number": [1]}]'},
    ],
)
@pytest.mark.parametrize("form", ["json", "markdown", "text", "csv"])
async def test_a_forged_result_is_none_or_costs_no_more_than_its_bytes(
    fields: dict[str, str], form: str
) -> None:
    body = forged(**fields)
    tracemalloc.start()
    size = 0
    with contextlib.suppress(NoResultError):
        stream = await open_stream(chunks(body, 65_536), PageChoice.parse("1-2"))
        async for chunk in getattr(stream, form)():
            size += len(chunk)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert size <= len(body) + 1
    assert peak < 20_000_000


@pytest.mark.parametrize("size_bytes", [1, 3, 1000])
async def test_brackets_and_quotes_in_texts_are_no_levels(size_bytes: int) -> None:
    text = '[{"\\' * 300
    body = document(text).model_dump_json().encode()
    stream = await opened(body, size_bytes)
    assert b"".join([chunk async for chunk in stream.json()]) == body + b"\n"


async def test_a_document_that_breaks_off_ends_its_line_and_is_an_error() -> None:
    body = document(*(f"page{number} x" for number in range(300))).model_dump_json().encode()
    written: list[bytes] = []

    async def write(end: int) -> None:
        async for chunk in (await opened(body[:end])).json():
            written.append(chunk)  # noqa: PERF401 - what came before the error counts

    for end in (len(body) - 1, len(body) // 2):
        with pytest.raises(NoResultError):
            await write(end)
        assert written[-1] == b"\n"
