"""Those that are compared: how each is started, and how it gets the documents of a round."""

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from local_cloud import LocalCloud

from bench.common import DEADLINE_S, when
from bench.installed import ROOT, NotRunError, command, python_of, versions_of
from bench.peers.documents import Document
from bench.peers.program import Answer, Program, started
from tests.e2e.stack import Consumer, Stack, free_port

#: The name of the one to which all others are compared.
OURS = "bucket-ocr"


class Running(Protocol):
    """A contender at work."""

    @property
    def pids(self) -> Sequence[int]:
        """Its processes, without their children."""
        ...

    def read(self, documents: Sequence[Document]) -> dict[str, Answer]:
        """Have documents read; returns the answers by the documents' names."""
        ...


@dataclass(frozen=True)
class Contender:
    """One of those that are compared. `start` gets the local cloud and an empty folder.

    `versions` asks for the versions of what runs; it and `start` raise NotRunError.
    """

    name: str
    is_what: str
    start: Callable[[LocalCloud, Path], AbstractContextManager[Running]]
    versions: Callable[[], dict[str, str]]


def _python(name: str) -> Path:
    return python_of(Path(__file__).with_name("environments") / f"{name}.txt")


def _program(python: Path, module: str) -> list[object]:
    return [python, "-m", f"bench.peers.programs.{module}"]


@contextlib.contextmanager
def _rapidocr(_cloud: LocalCloud, folder: Path) -> Iterator[Running]:
    log = folder / "log"
    with started(_program(_python("rapidocr"), "rapid_loop"), log) as process:
        yield Program(process, log)


@contextlib.contextmanager
def _rapidocrlite(_cloud: LocalCloud, folder: Path) -> Iterator[Running]:
    characters, log = folder / "characters.txt", folder / "log"
    prepare = [*_program(_python("rapidocr"), "characters"), characters]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    weights = subprocess.run(
        [str(part) for part in prepare], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    ).stdout.strip()
    options = ["--weights", weights, "--characters", characters]
    with started([*_program(_python("rapidocrlite"), "rapid_loop"), *options], log) as process:
        yield Program(process, log)


@contextlib.contextmanager
def _celery(cloud: LocalCloud, folder: Path) -> Iterator[Running]:
    redis, python, port = command("redis-server", "redis-server"), _python("rapidocr"), free_port()
    environment = cloud.environment() | {"REDIS_URL": f"redis://127.0.0.1:{port}/0"}
    with contextlib.closing(cloud.client("s3")) as s3:
        s3.create_bucket(Bucket="celery")
    server = [redis, "--port", port, "--bind", "127.0.0.1", "--save", "", "--dir", folder]
    celery = [*_celery_worker(python), "--concurrency", len(os.sched_getaffinity(0))]
    api, log = [*_program(python, "celery_api"), "celery"], folder / "api"
    with (
        started(server, folder / "redis") as broker,
        started(celery, folder / "worker", environment) as worker,
        started(api, log, environment) as process,
    ):
        yield Program(process, log, worker.pid, broker.pid)


def _celery_worker(python: Path) -> list[object]:
    return [python, "-m", "celery", "-A", "bench.peers.programs.celery_worker", "worker"]


class _Uploads:
    """A contender that is fed by uploads to a bucket with events."""

    def __init__(self, stack: Stack, *pids: int) -> None:
        self.pids = pids
        self._stack = stack

    def upload(self, documents: Sequence[Document]) -> None:
        for document in documents:
            self._stack.s3.upload_file(str(document.path), self._stack.bucket, document.name)


class _BotoLoop(_Uploads):
    def __init__(self, stack: Stack, program: Program) -> None:
        super().__init__(stack, *program.pids)
        self._program = program

    def read(self, documents: Sequence[Document]) -> dict[str, Answer]:
        self.upload(documents)
        return self._program.answers(len(documents))


@contextlib.contextmanager
def _boto3(cloud: LocalCloud, folder: Path) -> Iterator[Running]:
    log = folder / "log"
    with Stack.deployed(cloud, "loop") as stack:
        arguments = [stack.queue_url, stack.silent_bucket]
        program = [*_program(_python("rapidocr"), "boto_loop"), *arguments]
        with started(program, log, cloud.environment()) as process:
            yield _BotoLoop(stack, Program(process, log))


@contextlib.contextmanager
def _ocrmypdf(_cloud: LocalCloud, folder: Path) -> Iterator[Running]:
    command("tesseract", "tesseract-ocr")
    log = folder / "log"
    with started(_program(_python("ocrmypdf"), "ocrmypdf_loop"), log) as process:
        yield Program(process, log)


class _Ours(_Uploads):
    def __init__(self, stack: Stack, consumer: Consumer) -> None:
        super().__init__(stack, consumer.process.pid)
        self._consumer = consumer

    def read(self, documents: Sequence[Document]) -> dict[str, Answer]:
        self.upload(documents)
        return {document.name: self._answer(document.name) for document in documents}

    def _answer(self, key: str) -> Answer:
        line = self._consumer.line(DEADLINE_S, event="message", key=key)
        with self._stack.s3.get_object(Bucket=self._stack.bucket, Key=f"{key}.ocr.json")["Body"] as body:
            result = json.loads(body.read())
        text = "\n".join(detection["text"] for detection in result["detections"])
        return Answer(when(line), text)


@contextlib.contextmanager
def _ours(cloud: LocalCloud, folder: Path) -> Iterator[Running]:
    # Lines alone, as the others.
    with Stack.deployed(cloud, "ours") as stack, Consumer(stack, folder, LAYOUT="none") as consumer:
        try:
            consumer.wait_ready()
        except AssertionError as error:
            raise NotRunError(str(error).strip().splitlines()[-1]) from error
        yield _Ours(stack, consumer)
        consumer.stop()


def _tesseract() -> dict[str, str]:
    printed = subprocess.run(
        [command("tesseract", "tesseract-ocr"), "--version"], capture_output=True, text=True, check=True
    )
    return versions_of(_python("ocrmypdf"), "ocrmypdf") | {"tesseract": printed.stdout.split()[1]}


#: In the order of a round.
CONTENDERS: Sequence[Contender] = (
    Contender(
        "RapidOCR",
        "`RapidOCR()(image)` in a loop over files, as its README shows it; ONNX Runtime, all threads",
        _rapidocr,
        lambda: versions_of(_python("rapidocr"), "rapidocr", "onnxruntime"),
    ),
    Contender(
        "rapidocrlite",
        "the same loop with the native engine, and RapidOCR's networks by path",
        _rapidocrlite,
        lambda: versions_of(_python("rapidocrlite"), "rapidocrlite"),
    ),
    Contender(
        "Celery service",
        "upload to S3, a task by Redis, workers that download whole documents; RapidOCR on OpenVINO (the"
        " networks and the runtime that we use), one process per processor with one thread",
        _celery,
        lambda: versions_of(_python("rapidocr"), "celery", "rapidocr", "openvino"),
    ),
    Contender(
        "boto3 loop",
        "receive from SQS, download, `RapidOCR()(image)`, store, delete",
        _boto3,
        lambda: versions_of(_python("rapidocr"), "boto3", "rapidocr", "onnxruntime"),
    ),
    Contender(
        "OCRmyPDF",
        "`ocrmypdf --force-ocr --sidecar` with Tesseract, one document per processor side by side",
        _ocrmypdf,
        _tesseract,
    ),
    Contender(
        OURS,
        "upload to S3, the event, the consumer with `LAYOUT=none` (lines alone, as the others);"
        " until the result is stored",
        _ours,
        lambda: versions_of(Path(sys.executable), "bucket-ocr", "openvino"),
    ),
)
