"""Documents longer than a part: read by two consumers at once, next to letters, and joined once."""

import io
import random
import time
from pathlib import Path

import pytest
from PIL import Image

from tests.e2e import documents
from tests.e2e.conftest import Start
from tests.e2e.long_documents import (
    SETTINGS,
    Journal,
    ask_for,
    assert_only_result,
    assert_read,
    pieces,
    texts,
)
from tests.e2e.stack import QUICK, RESULT_S, RUN, Consumer, Stack, null_engine, until

SHORT_PAGES = 10
#: More memory than for a short document.
ALLOWED_BYTES = 50 * 1024**2
SOAK = (pytest.mark.soak, pytest.mark.timeout(3600))


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path / "journal")


def read_parts(consumer: Consumer, key: str) -> int:
    return consumer.job_results(key).count("part stored")


@pytest.mark.parametrize(
    ("pages", "part_pages"), [(150, 8), pytest.param(2000, 64, marks=SOAK)], ids=["small", "full"]
)
def test_two_consumers_read_a_long_document_in_the_memory_of_a_short_one(
    lone_stack: Stack,
    start: Start,
    journal: Journal,
    pages: int,
    part_pages: int,
    capsys: pytest.CaptureFixture[str],
) -> None:
    stack, settings = lone_stack, SETTINGS | {"PART_PAGES": part_pages}
    first = start(stack, "first", journal.engine(0.02), **settings).wait_ready()
    ask_for(stack, "short.pdf", SHORT_PAGES)
    assert_read(stack.result("short.pdf", silent=True), SHORT_PAGES)
    stack.wait_until_settled()
    short_bytes = first.most_bytes()
    for key in ("short.pdf", "short.pdf.ocr.json"):
        stack.s3.delete_object(Bucket=stack.silent_bucket, Key=key)
    second = start(stack, "second", journal.engine(0.02), **settings).wait_ready()
    began_s = time.monotonic()

    ask_for(stack, "long.pdf", pages)

    assert_read(stack.result("long.pdf", silent=True), pages)
    seconds = time.monotonic() - began_s
    assert_only_result(stack, "long.pdf")
    assert journal.pages.total() == SHORT_PAGES + pages
    assert all(read_parts(consumer, "long.pdf") for consumer in (first, second))
    more_bytes = [consumer.most_bytes() - short_bytes for consumer in (first, second)]
    with capsys.disabled():
        print(f"\n{pages} pages in {seconds:.1f} s; {short_bytes=:,}, {more_bytes=}")  # noqa: T201
    assert max(more_bytes) <= ALLOWED_BYTES


@pytest.mark.parametrize("pages", [pytest.param(20, id="small"), pytest.param(200, id="full", marks=SOAK)])
def test_two_consumers_read_the_words_of_a_long_document_with_the_real_engine(
    lone_stack: Stack, start: Start, pages: int
) -> None:
    stack, key = lone_stack, "words.pdf"
    numbers = [*range(1, pages + 1)]
    words = [f"Sheet {number} of box {7 * number} and shelf {pages - number}" for number in numbers]
    settings = SETTINGS | {"PART_PAGES": 8, "LEASE_S": 60}
    first, second = (start(stack, name, RUN, **settings).wait_ready() for name in ("first", "second"))
    stack.put(key, documents.pdf(*words), silent=True)
    stack.request(key)
    result = stack.result(key, silent=True, deadline_s=1800)
    assert (result["status"], result["page_count"]) == ("SUCCESS", pages)
    assert [page["page_number"] for page in result["pages"]] == numbers
    for number in random.Random(0).sample(numbers, min(50, pages)):
        assert " ".join(texts(result, number)).split() == words[number - 1].split()
    assert_only_result(stack, key)
    assert all(read_parts(consumer, key) for consumer in (first, second))


def test_a_letter_does_not_wait_for_the_parts_of_a_long_document(
    lone_stack: Stack, start: Start, journal: Journal
) -> None:
    stack, pages = lone_stack, 800
    consumer = start(stack, "consumer", journal.engine(0.05), **SETTINGS).wait_ready()
    ask_for(stack, "long.pdf", pages)
    consumer.line(event="document.handed_out", key="long.pdf")
    until(lambda: pieces(stack, "long.pdf"), RESULT_S, "a stored piece")
    ask_for(stack, "letter.pdf", 1)
    assert_read(stack.result("letter.pdf", silent=True), 1)
    # Half of the parts wait, at least.
    assert read_parts(consumer, "long.pdf") < pages / SETTINGS["PART_PAGES"] / 2


def test_the_frames_of_a_long_tiff_are_pages_like_any(lone_stack: Stack, start: Start) -> None:
    stack, key, frames = lone_stack, "long.tiff", 20
    data = io.BytesIO()
    first, *rest = (Image.new("L", (100 + number, 50), 255) for number in range(frames))
    first.save(data, "TIFF", save_all=True, append_images=rest)
    consumer = start(stack, "consumer", (*QUICK, *null_engine(0.01, lines=1)), **SETTINGS).wait_ready()
    stack.put(key, data.getvalue(), silent=True)
    stack.request(key)

    result = stack.result(key, silent=True)

    widths = [page["width_px"] for page in result["pages"]]
    assert widths == [100 + number for number in range(frames)]
    assert_only_result(stack, key)
    consumer.line(event="document.handed_out", pages=frames, parts=2)
