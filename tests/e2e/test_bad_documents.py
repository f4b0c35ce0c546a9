"""A document that cannot be read gets a result that says why, and nothing else waits for it."""

import random

import pymupdf
import pytest

from tests.e2e import documents
from tests.e2e.stack import Consumer, Stack

NO_PAGES = (
    b"%PDF-1.4\n1 0 obj\n<< /Type /Catalog /Pages 2 0 R >>\nendobj\n"
    b"2 0 obj\n<< /Type /Pages /Count 0 /Kids [] >>\nendobj\n"
    b"trailer\n<< /Root 1 0 R /Size 3 >>\n%%EOF\n"
)
CODES = {
    "bad/empty.pdf": "EMPTY_FILE",
    "bad/noise.pdf": "UNSUPPORTED_TYPE",
    "bad/locked.pdf": "ENCRYPTED",
    "bad/no-pages.pdf": "CORRUPT_DOCUMENT",
    "bad/cut.png": "CORRUPT_DOCUMENT",
}
GOOD = {
    "bad/owner-password.pdf": "OPEN TO READERS",
    "bad/no-extension": "WITHOUT NAME",
    "bad/wrong-extension.jpg": "STILL A PDF",
}


@pytest.fixture(scope="module")
def uploaded(stack: Stack, consumer: Consumer) -> Stack:
    """All of them at once, the good ones last: they must not suffer from the bad."""
    aes = pymupdf.PDF_ENCRYPT_AES_256
    bodies = {
        "bad/empty.pdf": b"",
        "bad/noise.pdf": random.Random(7).randbytes(5000),
        "bad/locked.pdf": documents.pdf("SECRET", encryption=aes, user_pw="user", owner_pw="owner"),
        "bad/no-pages.pdf": NO_PAGES,
        "bad/cut.png": b"\x89PNG\r\n\x1a\n",
        "bad/notes.txt": b"Nothing to see.",
        "bad/folder/": b"",
        "bad/owner-password.pdf": documents.pdf(
            GOOD["bad/owner-password.pdf"], encryption=aes, owner_pw="owner"
        ),
        "bad/no-extension": documents.pdf(GOOD["bad/no-extension"]),
        "bad/wrong-extension.jpg": documents.pdf(GOOD["bad/wrong-extension.jpg"]),
    }
    for key, body in bodies.items():
        stack.put(key, body)
    for key in CODES | GOOD:
        stack.result(key)
    # The result of a source without an extension is known as ours by its metadata only.
    consumer.line(key="bad/no-extension.ocr.json", job_result="own output")
    stack.wait_until_settled()
    return stack


@pytest.mark.parametrize("key", CODES)
def test_it_gets_a_failure_with_its_code(uploaded: Stack, key: str) -> None:
    result = uploaded.result(key)
    assert (result["status"], result["error"]["code"]) == ("FAILURE", CODES[key])
    assert result["error"]["message"]
    assert not result["error"]["retryable"]
    assert (result["detections"], result["pages"], result["page_count"]) == ([], [], 0)
    head = uploaded.object(f"{key}.ocr.json")
    assert head is not None
    assert head["Metadata"]["ocr-status"] == "FAILURE"


@pytest.mark.parametrize("key", GOOD)
def test_a_readable_one_among_them_is_read(uploaded: Stack, key: str) -> None:
    result = uploaded.result(key)
    assert (result["status"], documents.text(result)) == ("SUCCESS", GOOD[key])


def test_other_objects_and_results_are_acknowledged_without_a_result(uploaded: Stack) -> None:
    expected = {f"{key}.ocr.json" for key in CODES | GOOD}
    there = {key for key in uploaded.keys() if key.startswith("bad/")}  # noqa: SIM118
    assert {key for key in there if key.endswith(".ocr.json")} == expected
    assert uploaded.dead_letters() == set()


def test_its_line_in_the_log_says_why_and_nothing_of_its_text(uploaded: Stack, consumer: Consumer) -> None:
    line = consumer.line(key="bad/locked.pdf")
    assert (line["outcome"], line["settled"], line["code"]) == ("done", "Delete", "ENCRYPTED")
    log = "\n".join(map(str, consumer.lines))
    assert not any(text in log for text in GOOD.values())
