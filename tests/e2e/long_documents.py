"""Long documents whose pages tell their numbers by their sizes; what was read of them, and how often."""

import json
import random
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from tests.e2e import documents
from tests.e2e.stack import QUICK, RESULT_S, Consumer, Document, Stack, null_engine, until

LINES = 3
PART_PAGES = 16
#: Half of its slots is for parts.
SETTINGS = {"PART_PAGES": PART_PAGES, "LEASE_S": 6, "MAX_IN_FLIGHT": 4}

_SAMPLE_PAGES = 50


@dataclass(frozen=True)
class Journal:
    """The pages whose reading was begun by any engine of these."""

    path: Path

    def engine(self, page: float | Path) -> tuple[str, ...]:
        """Give a program of a consumer whose engine keeps this journal; `page` as in `null_engine.py`."""
        return (*QUICK, *null_engine(page, lines=LINES, journal=self.path))

    @property
    def pages(self) -> Counter[int]:
        """How often each page was begun; pages of other documents with the same numbers count as well."""
        lines = self.path.read_text(encoding="utf-8").splitlines() if self.path.exists() else []
        return Counter(int(line.split()[0]) for line in lines)

    def wait(self, count: int) -> None:
        """Wait until so many pages were begun in all."""
        until(lambda: self.pages.total() >= count, RESULT_S, f"{count} pages begun")


def ask_for(stack: Stack, key: str, pages: int, shift: int = 0) -> None:
    """Put a document into the silent bucket, and ask for it."""
    stack.put(key, documents.numbered_pdf(pages, shift), silent=True)
    stack.request(key)


def ask_for_part(stack: Stack, key: str, first: int, last: int, page_count: int) -> None:
    """Ask for these pages of an object of the silent bucket."""
    source = stack.object(key, silent=True)
    assert source is not None
    etag, pages = source["ETag"].strip('"'), [first, last]
    stack.send(
        {"bucket-ocr": 1, "bucket": stack.silent_bucket, "key": key, "etag": etag}
        | {"pages": pages, "page_count": page_count}
    )


def limit_receives(stack: Stack, count: int) -> None:
    """Let the queue give up a message after so many receives."""
    answer = stack.sqs.get_queue_attributes(QueueUrl=stack.dead_letter_queue_url, AttributeNames=["QueueArn"])
    policy = {"deadLetterTargetArn": answer["Attributes"]["QueueArn"], "maxReceiveCount": count}
    stack.sqs.set_queue_attributes(QueueUrl=stack.queue_url, Attributes={"RedrivePolicy": json.dumps(policy)})


def pieces(stack: Stack, key: str) -> set[str]:
    """Keys of the stored pages."""
    return {name for name in stack.keys(silent=True) if name.startswith(f"{key}.ocr/parts/")}


def kill(consumer: Consumer) -> None:
    """Kill it, and wait until it is gone."""
    consumer.process.kill()
    consumer.process.wait()


def assert_read(result: Document, pages: int, shift: int = 0) -> None:
    """Check that all pages are there, once and in order, and every word of a sample of them."""
    assert (result["status"], result["page_count"], result["warnings"]) == ("SUCCESS", pages, [])
    numbers = [*range(1, pages + 1)]
    assert [page["page_number"] for page in result["pages"]] == numbers
    assert [(page["width_px"], page["height_px"]) for page in result["pages"]] == [
        documents.numbered_size(number + shift) for number in numbers
    ]
    lines = [line["page_number"] for line in result["detections"]]
    assert lines == [number for number in numbers for _ in range(LINES)]
    for number in random.Random(0).sample(numbers, min(_SAMPLE_PAGES, pages)):
        assert texts(result, number) == [_text(number, shift, line) for line in range(LINES)]


def texts(result: Document, page_number: int) -> list[str]:
    """The lines of a page."""
    return [line["text"] for line in result["detections"] if line["page_number"] == page_number]


def _text(number: int, shift: int, line: int) -> str:
    width_px, height_px = documents.numbered_size(number + shift)
    return f"Page {number}, {width_px} x {height_px}, line {line}: not read ".ljust(60, ".")


def assert_only_result(stack: Stack, key: str) -> None:
    """Wait until all messages are settled; then there must be the source, its result, and nothing else."""
    stack.wait_until_settled()
    assert stack.keys(silent=True) == {key, f"{key}.ocr.json"}
    assert stack.dead_letters() == set()
