"""A backlog of one-page documents: how well the engines are used, and what the parent process holds.

    make bench

Uploads copies of a one-page letter, starts the consumer, waits for all results and prints one line of
JSON. `busy` is engine seconds over wall seconds times engine processes: 1.0 would mean that no engine
ever waited. It exits with 1 where a result is missing, a message or a file is left over.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
from local_cloud import LocalCloud, StackOutputs

_LETTER = Path(__file__).resolve().parent.parent / "tests/samples/letter.pdf"


def main() -> int:
    """Measure once; returns the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--documents", type=int, default=300)
    parser.add_argument("--deadline", type=float, default=1800, help="seconds")
    arguments = parser.parse_args()
    with LocalCloud() as cloud, tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        work_dir = folder / "work"
        work_dir.mkdir()
        stack = cloud.deploy()
        s3 = cloud.client("s3")
        for number in range(arguments.documents):
            s3.put_object(Bucket=stack.bucket, Key=f"letters/{number:05}.pdf", Body=_LETTER.read_bytes())
        with _consumer(cloud, stack, work_dir, folder / "log") as process:
            ready = _wait_for_line(folder / "log", "ready", arguments.deadline)
            started = time.monotonic()
            resident = [process.memory_info().rss]
            while _left(cloud, stack) and time.monotonic() - started < arguments.deadline:
                time.sleep(1)
                resident.append(process.memory_info().rss)
            wall_s = time.monotonic() - started
            files_left = [path.name for path in work_dir.rglob("*") if path.is_file() and path.name != "lock"]
        done = [line for line in _lines(folder / "log") if line.get("status") == "SUCCESS"]
        left = len(cloud.messages(stack.queue_url)), len(cloud.messages(stack.dead_letter_queue_url))
        results = _count(cloud, stack)
    engine_s = sum(line["engine_s"] for line in done)
    report = {
        "documents": arguments.documents,
        "results": results,
        "messages_left": left[0],
        "dead_letters": left[1],
        "files_left": files_left,
        "wall_s": round(wall_s, 1),
        "pages_per_s": round(len(done) / wall_s, 2),
        "busy": round(engine_s / wall_s / ready["engine_workers"], 3),
        "parent_rss_mib": {
            "at_start": resident[0] >> 20,
            "highest": max(resident) >> 20,
            "at_end": resident[-1] >> 20,
        },
    }
    print(json.dumps(report))
    return 0 if results == len(done) == arguments.documents and not any(left) and not files_left else 1


@contextmanager
def _consumer(
    cloud: LocalCloud, stack: StackOutputs, work_dir: Path, log_file: Path
) -> Iterator[psutil.Process]:
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "BUCKET_OCR_"))},
        **cloud.environment(),
        "BUCKET_OCR_QUEUE_URL": stack.queue_url,
        "BUCKET_OCR_WORK_DIR": str(work_dir),
        "BUCKET_OCR_LOG_FORMAT": "json",
    }
    with log_file.open("wb") as log:
        consumer = subprocess.Popen([sys.executable, "-m", "consumer", "run"], env=environment, stdout=log)
    try:
        yield psutil.Process(consumer.pid)
    finally:
        consumer.send_signal(signal.SIGTERM)
        consumer.wait()


def _lines(log_file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in log_file.read_text().splitlines() if line.startswith("{")]


def _wait_for_line(log_file: Path, event: str, deadline_s: float) -> dict[str, Any]:
    started = time.monotonic()
    while time.monotonic() - started < deadline_s:
        for line in _lines(log_file):
            if line["event"] == event:
                return line
        time.sleep(0.2)
    sys.exit(f"the consumer did not say {event!r}: {log_file.read_text()[-2000:]}")


def _left(cloud: LocalCloud, stack: StackOutputs) -> bool:
    attributes = cloud.client("sqs").get_queue_attributes(
        QueueUrl=stack.queue_url,
        AttributeNames=["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"],
    )["Attributes"]
    return any(int(value) for value in attributes.values())


def _count(cloud: LocalCloud, stack: StackOutputs) -> int:
    pages = cloud.client("s3").get_paginator("list_objects_v2").paginate(Bucket=stack.bucket)
    return sum(item["Key"].endswith(".ocr.json") for page in pages for item in page.get("Contents", []))


if __name__ == "__main__":
    sys.exit(main())
