"""A stored result is read back page by page; clients can put any object in its place."""

import json
from typing import Any

import pytest

from consumer.domain.body import BytesBody
from consumer.domain.result import PageResult
from consumer.domain.stored_result import ResultLostError, StoredResult
from tests.outputs.documents import head, plain_page, rich_page


def stored(pages: list[PageResult], page_count: int | None = None) -> bytes:
    document = head(len(pages) if page_count is None else page_count).model_dump(mode="json")
    document["pages"] = [page.page.model_dump(mode="json") for page in pages]
    document["detections"] = [line.model_dump(mode="json") for page in pages for line in page.detections]
    return as_json(document)


def as_json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def read(data: bytes) -> list[PageResult]:
    return list(StoredResult(BytesBody(data)).pages())


def test_all_pages_come_back_however_long_they_are() -> None:
    """Letters of one to four bytes, wherever a chunk of it ends, and a page of many chunks."""
    letters = "aé東𠮷"
    pages = [plain_page(number, *(letters * n for n in range(1, number % 13))) for number in range(1, 1500)]
    pages += [plain_page(1500, letters * 300_000), rich_page(1501), plain_page(1502)]
    assert read(stored(pages)) == pages


@pytest.mark.parametrize(
    ("numbers", "page_count"),
    [((1, 1), 2), ((2, 1), 2), ((1, 3), 2), ((1,), 2), ((1, 2, 3), 2), ((), 1)],
    ids=str,
)
def test_pages_in_another_order_or_number_are_no_result(numbers: tuple[int, ...], page_count: int) -> None:
    """Objects of pages are named by their numbers: two of one name could not be stored."""
    with pytest.raises(ResultLostError):
        read(stored([plain_page(number, "a") for number in numbers], page_count))


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b'"blocks":[]', b'"blocks":' + b"[" * 300_000 + b"]" * 300_000),
        (b'"markdown":""', rb'"markdown":"\ud800"'),
        (b'"markdown":""', b'"markdown":"\xff"'),
        (b'"confidence":0.9', b'"confidence":NaN'),
        (b'"width_px":500', b'"width_px":' + b"5" * 10_000),
        (b'}],"detections"', b'} ],"detections"'),
        (b'}],"detections"', b'},],"detections"'),
        (b'}],"detections"', b'}{}],"detections"'),
        (b'"detections":[', b'"detections":[null,'),
    ],
    ids=[
        "a list in a list in a list",
        *(
            "half of a letter",
            "no UTF-8",
            "no number",
            "a long number",
            "spaces",
            "a comma",
            "no comma",
            "null",
        ),
    ],
)
def test_what_no_consumer_has_written_is_no_result(before: bytes, after: bytes) -> None:
    data = stored([plain_page(1, "a")])
    assert before in data
    with pytest.raises(ResultLostError):
        read(data.replace(before, after))
