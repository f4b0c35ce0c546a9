"""Shared by the measurements: a stack of their own, documents made of the sample letter, their reports."""

import argparse
import contextlib
import json
import os
import tempfile
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import psutil
import pymupdf
from local_cloud import LocalCloud

from tests.e2e.stack import Consumer, Document, Stack

LETTER = (Path(__file__).resolve().parents[1] / "tests" / "samples" / "letter.pdf").read_bytes()

#: Longest time that a measurement waits for results, in seconds.
DEADLINE_S = 1800.0


def asked_for(purpose: str | None, what: str, usual: int) -> int:
    """Read the command line: how many of `what` (documents, pages) are measured."""
    parser = argparse.ArgumentParser(description=purpose, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument(f"--{what}", type=int, default=usual, dest="count", help="default: %(default)s")
    count: int = parser.parse_args().count
    return count


def report(figures: Document, *, kept: bool) -> int:
    """Print what was measured as one line of JSON; returns the exit status. `kept`: the promise held."""
    print(json.dumps({"kept": kept} | figures))
    return 0 if kept else 1


@contextlib.contextmanager
def deployed() -> Iterator[tuple[Stack, Path]]:
    """Start LocalStack with the stack in it; gives it and an empty folder. Settings of ours are forgotten."""
    for name in list(os.environ):
        if name.startswith(("AWS_", "BUCKET_OCR_")):
            del os.environ[name]
    with (
        LocalCloud() as cloud,
        Stack.deployed(cloud, "bench") as stack,
        tempfile.TemporaryDirectory(prefix="bucket-ocr-bench-") as folder,
    ):
        yield stack, Path(folder)


def letters(pages: int) -> bytes:
    """Make a PDF whose pages are all the sample letter."""
    with pymupdf.open(stream=LETTER) as document:
        for _ in range(pages - 1):
            document.fullcopy_page(0)
        return bytes(document.tobytes())


def small_pdf(pages: int, page_bytes: int = 0) -> bytes:
    """Make a PDF of small pages, which are soon rendered, with so many bytes a page of something else."""
    with pymupdf.open() as document:
        for _ in range(pages):
            document.new_page(width=100, height=50)
        if page_bytes:
            document.embfile_add("bytes", os.urandom(page_bytes * pages))
        return bytes(document.tobytes())


def put_letters(stack: Stack, count: int) -> list[str]:
    """Upload so many one-page letters; returns their keys."""
    keys = [f"letters/{number:05}.pdf" for number in range(count)]
    for key in keys:
        stack.put(key, LETTER)
    return keys


def stored(consumer: Consumer) -> list[Document]:
    """Log lines of the documents whose results the consumer has stored."""
    return [line for line in consumer.lines if line["event"] == "message" and "status" in line]


def when(line: Document) -> float:
    """Give the time of a log line, in seconds since the epoch."""
    return datetime.fromisoformat(line["timestamp"]).timestamp()


def processor_s(pid: int) -> float:
    """Seconds of processor time that a process has used, without its children."""
    times = psutil.Process(pid).cpu_times()
    return float(times.user + times.system)


def queued(stack: Stack) -> tuple[int, int]:
    """How many messages wait in the queue, and how many are in flight."""
    answer = stack.sqs.get_queue_attributes(
        QueueUrl=stack.queue_url,
        AttributeNames=["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"],
    )["Attributes"]
    waiting, in_flight = (
        answer["ApproximateNumberOfMessages"],
        answer["ApproximateNumberOfMessagesNotVisible"],
    )
    return int(waiting), int(in_flight)
