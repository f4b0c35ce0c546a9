"""A deployed stack as its clients see it, and the real consumer as a process."""

import contextlib
import copy
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

import psutil
from local_cloud import LocalCloud, StackOutputs

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client
    from types_boto3_sqs import SQSClient

Document = dict[str, Any]
_T = TypeVar("_T")

#: The consumer, and the consumer with another engine, whose program and arguments follow.
RUN = ("-m", "consumer", "run")
SCRIPTED = (str(Path(__file__).with_name("scripted.py")),)
#: The same with short polls and pauses, and with any lease.
QUICK = (*SCRIPTED, "--quick")

_NULL_ENGINE = Path(__file__).with_name("null_engine.py")

# How long an event is waited for. It costs nothing when the event comes, and machines may be busy.
READY_S = 300.0
RESULT_S = 300.0
COMMAND_S = 300.0
STOP_S = 120.0
_ANSWER_S = 60.0
# Looks at LocalStack cost it time, looks into a file hardly any.
_POLL_S = 0.4
_FILE_POLL_S = 0.2
_SETPRIV = shutil.which("setpriv")
#: Before a command: if there is such a tool, a killed test run leaves no process behind.
MORTAL = [_SETPRIV, "--pdeathsig", "KILL"] if _SETPRIV else []


def null_engine(
    page: float | Path, *, leak_bytes: int = 0, lines: int = 0, journal: Path | str = ""
) -> tuple[str, ...]:
    """Give the program of an engine that reads nothing, with its arguments; see `null_engine.py`."""
    return (str(_NULL_ENGINE), str(page), str(leak_bytes), str(lines), str(journal))


def until(look: Callable[[], _T], deadline_s: float, what: str, *, every_s: float = _POLL_S) -> _T:
    """Look again and again until there is something true; fails after the deadline."""
    end_s = time.monotonic() + deadline_s
    while not (found := look()):
        if time.monotonic() > end_s:
            raise AssertionError(f"{what}: not within {deadline_s:g} s")
        time.sleep(every_s)
    return found


def free_port() -> int:
    """A port on which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


class Stack:
    """A bucket with its queues. `silent_bucket` is a second one, whose uploads cause no events."""

    def __init__(self, cloud: LocalCloud, outputs: StackOutputs, s3: "S3Client", sqs: "SQSClient") -> None:
        self.cloud = cloud
        self._endpoint_url = cloud.endpoint_url
        self.bucket = outputs.bucket
        self.silent_bucket = f"{outputs.bucket}-silent"
        self.queue_url = outputs.queue_url
        self.dead_letter_queue_url = outputs.dead_letter_queue_url
        self.s3 = s3
        self.sqs = sqs
        s3.create_bucket(Bucket=self.silent_bucket)

    @classmethod
    @contextlib.contextmanager
    def deployed(cls, cloud: LocalCloud, name: str) -> Iterator[Self]:
        """Deploy the project's template under this name."""
        with contextlib.closing(cloud.client("s3")) as s3, contextlib.closing(cloud.client("sqs")) as sqs:
            yield cls(cloud, cloud.deploy(name, name, name), s3, sqs)

    def seen_at(self, endpoint_url: str) -> Self:
        """Give the same stack to processes that reach it at another address."""
        seen = copy.copy(self)
        seen._endpoint_url = endpoint_url
        return seen

    def environment(self, **settings: object) -> dict[str, str]:
        """Variables for a process that works on this stack; `settings` without their prefix."""
        # There is one port for all that run side by side, and few are asked.
        settings = {"HEALTH_PORT": 0} | settings
        mine = {f"BUCKET_OCR_{name}": str(value) for name, value in settings.items()}
        cloud = self.cloud.environment() | {"AWS_ENDPOINT_URL": self._endpoint_url}
        return dict(os.environ) | cloud | {"BUCKET_OCR_QUEUE_URL": self.queue_url} | mine

    def aws_cp(self, path: Path, key: str) -> None:
        """Upload with the plain AWS client, which knows nothing of this project."""
        command = [str(Path(sys.executable).with_name("aws")), "s3", "cp", "--quiet", str(path)]
        subprocess.run(
            [*command, f"s3://{self.bucket}/{key}"], env=self.environment(), check=True, timeout=COMMAND_S
        )

    def put(self, key: str, body: bytes, *, silent: bool = False) -> str:
        """Upload bytes; returns their ETag."""
        bucket = self.silent_bucket if silent else self.bucket
        return self.s3.put_object(Bucket=bucket, Key=key, Body=body)["ETag"].strip('"')

    def send(self, body: str | Mapping[str, object]) -> str:
        """Put a message on the queue; returns its id."""
        text = body if isinstance(body, str) else json.dumps(body)
        return self.sqs.send_message(QueueUrl=self.queue_url, MessageBody=text)["MessageId"]

    def request(self, key: str, *, force: bool = False) -> str:
        """Ask, in the project's own form, for an object of the silent bucket."""
        return self.send({"bucket-ocr": 1, "bucket": self.silent_bucket, "key": key, "force": force})

    def keys(self, *, silent: bool = False) -> set[str]:
        bucket = self.silent_bucket if silent else self.bucket
        pages = self.s3.get_paginator("list_objects_v2").paginate(Bucket=bucket)
        return {item["Key"] for page in pages for item in page.get("Contents", [])}

    def object(self, key: str, *, silent: bool = False) -> Mapping[str, Any] | None:
        """Answer of a HEAD; None if there is nothing."""
        try:
            return self.s3.head_object(Bucket=self.silent_bucket if silent else self.bucket, Key=key)
        except self.s3.exceptions.ClientError as error:
            if error.response["Error"]["Code"] == "404":
                return None
            raise

    def result(self, key: str, *, silent: bool = False, deadline_s: float = RESULT_S) -> Document:
        """Wait for the result of the source as it is now."""
        source = self.object(key, silent=silent)
        assert source is not None
        etag = source["ETag"].strip('"')

        def stored() -> bool:
            head = self.object(f"{key}.ocr.json", silent=silent)
            return head is not None and head["Metadata"].get("ocr-source-etag") == etag

        until(stored, deadline_s, f"the result of {key}")
        bucket = self.silent_bucket if silent else self.bucket
        with self.s3.get_object(Bucket=bucket, Key=f"{key}.ocr.json")["Body"] as body:
            document: Document = json.loads(body.read())
        return document

    def wait_until_settled(self, deadline_s: float = RESULT_S) -> None:
        """Wait until the queue is empty, leased messages included."""
        until(lambda: not self.cloud.messages(self.queue_url), deadline_s, "an empty queue")

    def dead_letters(self) -> set[str]:
        """Ids of the messages in the dead-letter queue."""
        return {message.message_id for message in self.cloud.messages(self.dead_letter_queue_url)}


class Consumer:
    """`bucket-ocr run` in a process of its own; a context manager that kills it with all its children.

    `program`: what the interpreter is asked to run. It runs in `folder`, so that a `.env` of the developer
    is not read, and works in `work_dir` in it.
    """

    def __init__(self, stack: Stack, folder: Path, program: Sequence[str] = RUN, **settings: object) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.work_dir = folder / "work"
        self.work_dir.mkdir(exist_ok=True)
        self._stdout, self._stderr = folder / "stdout", folder / "stderr"
        # Most are not asked, and there is one port for all that run side by side.
        defaults = {"WORK_DIR": self.work_dir, "LOG_FORMAT": "json", "HEALTH_PORT": 0}
        self._health_port = settings.get("HEALTH_PORT", 0)
        with self._stdout.open("wb") as out, self._stderr.open("wb") as err:
            self.process = subprocess.Popen(
                [*MORTAL, sys.executable, *program],
                cwd=folder,
                env=stack.environment(**defaults | settings),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process.poll() is None:
            family = self.children()
            self.process.kill()
            self.process.wait()
            assert gone(family, STOP_S) == []

    @property
    def lines(self) -> list[Document]:
        """The log so far; nothing but JSON lines may be on standard output."""
        complete, _, _ = self._stdout.read_text(encoding="utf-8").rpartition("\n")
        return [json.loads(line) for line in complete.splitlines()]

    @property
    def stderr(self) -> str:
        return self._stderr.read_text(encoding="utf-8")

    def line(self, deadline_s: float = RESULT_S, **facts: object) -> Document:
        """Wait for a log line with these facts."""

        def find() -> Document | None:
            for line in self.lines:
                if facts.items() <= {name: line.get(name) for name in facts}.items():
                    return line
            status = self.process.poll()
            assert status is None, f"the consumer ended with {status}: {self.stderr[-2000:]}"
            return None

        found = until(find, deadline_s, f"a log line with {facts}", every_s=_FILE_POLL_S)
        assert found is not None
        return found

    def wait_ready(self, deadline_s: float = READY_S) -> Self:
        self.line(deadline_s, event="ready")
        return self

    def wait_at_work(self, deadline_s: float = RESULT_S) -> None:
        """Wait until a page of some document has been rendered and is not read yet."""
        until(
            lambda: list(self.work_dir.rglob("*.bgr")), deadline_s, "a page in flight", every_s=_FILE_POLL_S
        )

    def job_results(self, key: str) -> list[str]:
        """Results of the jobs for this key, in order."""
        return [line["job_result"] for line in self.lines if line.get("key") == key and "job_result" in line]

    def asked(self, path: str) -> tuple[int, str]:
        """Its answer over HTTP: status and text; 0 if nobody listens."""
        connection = http.client.HTTPConnection("127.0.0.1", int(str(self._health_port)), timeout=_ANSWER_S)
        with contextlib.closing(connection):
            try:
                connection.request("GET", path)
                answer = connection.getresponse()
                return answer.status, answer.read().decode()
            except ConnectionRefusedError:
                return 0, ""

    def metrics(self) -> dict[str, float]:
        """Its metrics, by name with labels as they are exposed."""
        lines = self.asked("/metrics")[1].splitlines()
        samples = (line.rpartition(" ") for line in lines if not line.startswith("#"))
        return {name: float(value) for name, _, value in samples}

    def most_bytes(self) -> int:
        """The most memory that it has held so far, without its children."""
        status = Path(f"/proc/{self.process.pid}/status").read_text(encoding="utf-8")
        (kib,) = (line.split()[1] for line in status.splitlines() if line.startswith("VmHWM:"))
        return int(kib) * 1024

    def children(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)

    def stop(self, deadline_s: float = STOP_S) -> int:
        """Send SIGTERM; returns the exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(deadline_s)


def gone(family: list[psutil.Process], deadline_s: float) -> list[psutil.Process]:
    """Wait for processes to end; kills and returns those that do not."""
    _, alive = psutil.wait_procs(family, timeout=deadline_s)
    # One that init has not collected yet is dead all the same.
    running = [process for process in alive if process.status() != psutil.STATUS_ZOMBIE]
    for process in running:
        process.kill()
    return running


def bucket_ocr(
    environment: Mapping[str, str], folder: Path, *arguments: object
) -> subprocess.CompletedProcess[str]:
    """Run a command of `bucket-ocr` to its end, in a folder without a `.env`."""
    return subprocess.run(
        [sys.executable, "-m", "consumer", *map(str, arguments)],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=COMMAND_S,
        check=False,
    )
