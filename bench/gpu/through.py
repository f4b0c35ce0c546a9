"""Pages a second through the whole consumer, from a bucket and a queue on this machine to the results."""

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

import boto3
from botocore.exceptions import BotoCoreError

from bench.gpu import pages

#: Where the storage listens; if it is not set, one is started.
ENDPOINT: Final = "AWS_ENDPOINT_URL"

_ANYBODY: Final = {
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_REGION": "us-east-1",
}
_NAME: Final = "bench-gpu"
_START_S: Final = 60.0
#: The consumer ends by itself after so long without a message.
_IDLE_S: Final = 5


@dataclass(frozen=True, slots=True)
class Road:
    """What was measured. `wall_s`: from the first message to the last result that was stored."""

    documents: int
    pages: int
    wall_s: float
    device: str
    processes: int

    @property
    def pages_per_s(self) -> float:
        """Pages a second."""
        return self.pages / self.wall_s


@contextlib.contextmanager
def storage(folder: Path) -> Iterator[Mapping[str, str]]:
    """Start S3 and SQS, unless there are some; yields the variables that lead to them."""
    if endpoint := os.environ.get(ENDPOINT):
        yield {ENDPOINT: endpoint} | _ANYBODY
        return
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with (folder / "storage.log").open("wb") as log:
        server_process = subprocess.Popen(
            [sys.executable, "-c", "from moto.server import main; main()", "--port", str(port)],
            stdout=log,
            stderr=log,
        )
        try:
            yield {ENDPOINT: f"http://127.0.0.1:{port}"} | _ANYBODY
        finally:
            server_process.kill()
            server_process.wait()


def measure(
    variables: Mapping[str, str],
    settings: Mapping[str, object],
    documents: int,
    pages_each: int,
    most_s: float,
) -> Road:
    """Queue documents, then start a consumer and wait until it has read them all, or for `most_s` seconds."""
    queue_url = _queued(variables, documents, pages_each)
    mine = {"ENGINE": "rapidocr", "HEALTH_PORT": 0, "LOG_FORMAT": "json", "IDLE_EXIT_S": _IDLE_S, **settings}
    environment = os.environ | variables | {f"BUCKET_OCR_{name}": str(each) for name, each in mine.items()}
    environment["BUCKET_OCR_QUEUE_URL"] = queue_url
    with subprocess.Popen(
        [sys.executable, "-m", "consumer", "run"], env=environment, stdout=subprocess.PIPE, text=True
    ) as consumer:
        try:
            assert consumer.stdout is not None
            return _read(consumer.stdout, documents, time.monotonic() + most_s)
        finally:
            consumer.terminate()


def _queued(variables: Mapping[str, str], documents: int, pages_each: int) -> str:
    """Store documents and ask for each; returns the URL of the queue."""
    session = boto3.Session(
        variables["AWS_ACCESS_KEY_ID"],
        variables["AWS_SECRET_ACCESS_KEY"],
        region_name=variables["AWS_REGION"],
    )
    s3 = session.client("s3", endpoint_url=variables[ENDPOINT])
    sqs = session.client("sqs", endpoint_url=variables[ENDPOINT])
    end_s = time.monotonic() + _START_S
    while True:
        try:
            s3.create_bucket(Bucket=_NAME)
            break
        except BotoCoreError:
            if time.monotonic() > end_s:
                raise
            time.sleep(0.2)
    queue_url = str(sqs.create_queue(QueueName=_NAME)["QueueUrl"])
    body = pages.document(pages_each)
    for n in range(documents):
        s3.put_object(Bucket=_NAME, Key=f"{n}.pdf", Body=body)
        request = {"bucket-ocr": 1, "bucket": _NAME, "key": f"{n}.pdf"}
        sqs.send_message(QueueUrl=queue_url, MessageBody=json.dumps(request))
    return queue_url


def _read(log: IO[str], documents: int, end_s: float) -> Road:
    """Follow the log of a consumer until all documents are stored, or it is too late."""
    began_s = last_s = time.monotonic()
    device, processes, done, count = "", 0, 0, 0
    for line in log:
        event = json.loads(line)
        if event.get("event") == "ready":
            began_s, device, processes = time.monotonic(), event["device"], event["engine_workers"]
        elif event.get("job_result") == "stored":
            last_s, done, count = time.monotonic(), done + 1, count + event["pages"]
        if done == documents or time.monotonic() > end_s:
            break
    return Road(done, count, max(last_s - began_s, 1e-9), device, processes)
