"""A LocalStack without Docker: for tests, and in the foreground for `make local`.

    with LocalCloud() as cloud:
        stack = cloud.deploy()
        cloud.client("s3").upload_file("tests/samples/letter.pdf", stack.bucket, "letter.pdf")
        cloud.messages(stack.queue_url)

LocalStack runs in `localstack/.venv`, because its pins clash with the project's, and writes to a directory
of its own that goes with it.
"""

import argparse
import contextlib
import http.client
import json
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse
import urllib.request
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Any, Literal, NoReturn, Self, overload

import boto3
import botocore.session
from botocore.config import Config
from deploy import BUCKET, QUEUE, REGION, STACK, DeploymentError, deploy

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client
    from types_boto3_sqs import SQSClient

_HERE = Path(__file__).resolve().parent
_VENV = _HERE / ".venv"
_CATALOG = "service-catalog-*.dill"
_SERVICES = "s3,sqs,sns,cloudformation,cloudwatch,iam,sts,events,kms,logs"
# On a busy machine all takes ten times as long.
_START_DEADLINE_S = 300.0
_STOP_DEADLINE_S = 60.0
_POLL_S = 0.1
_ANSWER_DEADLINE_S = 60.0
# Without the user's proxies: LocalStack is on this machine.
_HTTP = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class LocalCloudError(RuntimeError):
    """LocalStack cannot be started, or died; the message says what to do or what its log says."""


@dataclass(frozen=True)
class StackOutputs:
    """All that the consumer and its tests need of a deployed stack."""

    bucket: str
    queue_url: str
    dead_letter_queue_url: str


@dataclass(frozen=True)
class QueuedMessage:
    """A message as it lies on a queue, seen without receiving it. `visible` is false while it is leased."""

    message_id: str
    body: str
    receive_count: int
    visible: bool


class LocalCloud:
    """A LocalStack process; a context manager that starts it, stops it and removes its files.

    `port`: of 127.0.0.1; None takes a free one. `log_file`: where its output goes; None keeps it with the
    files that are removed at the end. Enter it from the main thread: the kernel kills LocalStack when the
    *thread* that started it ends, which is how a killed test run leaves none behind (Linux only).
    """

    def __init__(self, port: int | None = None, log_file: Path | None = None) -> None:
        self._wanted_port = port
        self._wanted_log_file = log_file
        self._port = 0
        self._name = f"{uuid.uuid4()}.py"
        self._directory: Path | None = None
        self._log_file = Path()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def endpoint_url(self) -> str:
        """The one address of all services."""
        return f"http://127.0.0.1:{self._port}"

    def __enter__(self) -> Self:
        """Start it and wait until it answers.

        Raises:
            LocalCloudError: `make setup` has not run, the port is taken, or it died or kept silent.

        """
        if threading.current_thread() is not threading.main_thread():
            raise LocalCloudError("enter LocalCloud from the main thread: LocalStack ends with its thread")
        if not (_VENV / "bin" / "python").exists():
            raise LocalCloudError("LocalStack is not installed: run `make setup`")
        self._port = _free_port(self._wanted_port)
        try:
            self._start()
            self._wait_until_healthy()
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop it and remove its files."""
        self._stop()

    @overload
    def client(self, service: Literal["s3"]) -> "S3Client": ...
    @overload
    def client(self, service: Literal["sqs"]) -> "SQSClient": ...
    @overload
    def client(self, service: str) -> Any: ...
    def client(self, service: str) -> Any:
        """Make a boto3 client for it that ignores the user's AWS settings; the caller closes it."""
        # Without a profile, even if AWS_PROFILE names one, and without files to find one in.
        bare = botocore.session.Session(session_vars={"profile": (None, None, None, None)})
        for variable in ("config_file", "credentials_file"):
            bare.set_config_variable(variable, os.devnull)
        environment = self.environment()
        make: Any = boto3.Session(botocore_session=bare).client  # its stubs know the services by name only
        return make(
            service,
            endpoint_url=self.endpoint_url,
            region_name=REGION,
            aws_access_key_id=environment["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=environment["AWS_SECRET_ACCESS_KEY"],
            config=Config(proxies={}),
        )

    def environment(self) -> dict[str, str]:
        """Give the variables that point an AWS client at it. boto3 reads only the second of the regions."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint_url,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
        }

    def deploy(self, stack: str = STACK, bucket: str = BUCKET, queue: str = QUEUE) -> StackOutputs:
        """Deploy `infra/storage.yaml`, or find it deployed.

        Raises:
            DeploymentError: the stack did not come up.

        """
        with contextlib.closing(self.client("cloudformation")) as cloudformation:
            outputs = deploy(cloudformation, stack=stack, bucket=bucket, queue=queue)
        return StackOutputs(outputs["BucketName"], outputs["QueueUrl"], outputs["DeadLetterQueueUrl"])

    def messages(self, queue_url: str) -> list[QueuedMessage]:
        """See what is on a queue, leased messages included, without receiving anything."""
        # In the protocol of boto3: LocalStack's plain JSON is XML in disguise, a list of one is no list.
        query = urllib.parse.urlencode({"QueueUrl": queue_url, "ShowInvisible": "true"})
        request = urllib.request.Request(
            f"{self.endpoint_url}/_aws/sqs/messages?{query}",
            data=json.dumps({"QueueUrl": queue_url}).encode(),
            headers={
                "Content-Type": "application/x-amz-json-1.0",
                "X-Amz-Target": "AmazonSQS.ReceiveMessage",
            },
        )
        with _HTTP.open(request, timeout=_ANSWER_DEADLINE_S) as answer:
            found = json.load(answer).get("Messages", [])
        return [_queued_message(message) for message in found]

    def wait(self) -> NoReturn:
        """Stay until LocalStack ends by itself, which it should not.

        Raises:
            LocalCloudError: it ended.

        """
        if self._process is None:
            raise LocalCloudError("LocalStack is not running")
        status = self._process.wait()
        raise LocalCloudError(f"LocalStack ended with status {status}:\n{self._log_tail()}")

    def _start(self) -> None:
        self._directory = Path(tempfile.mkdtemp(prefix="bucket-ocr-localstack-"))
        root = self._directory / "root"
        temporary = self._directory / "tmp"
        catalogs = root / "usr" / "lib" / "localstack"
        # An empty script of a stage that only the container runs: LocalStack lists it, so it can be told
        # from another LocalStack on the same port.
        boot = root / "etc" / "localstack" / "init" / "boot.d"
        for directory in (temporary, catalogs, boot):
            directory.mkdir(parents=True)
        (boot / self._name).touch()
        for catalog in _VENV.glob(_CATALOG):
            shutil.copy(catalog, catalogs)
        objects = str(temporary / "s3")
        self._log_file = self._wanted_log_file or self._directory / "localstack.log"
        with self._log_file.open("wb") as log:
            self._process = subprocess.Popen(
                # -P: a `localstack` in the working directory must not be taken for the package.
                [_VENV / "bin" / "python", "-P", _HERE / "serve.py", str(os.getpid()), objects],
                cwd=self._directory,
                env=self._own_environment(root, temporary),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C is for the starter, which stops LocalStack in order
            )

    def _own_environment(self, root: Path, temporary: Path) -> Mapping[str, str]:
        """Give it nothing of the user's: no AWS settings, no home, no proxy, no Python path."""
        return {
            "PATH": os.environ.get("PATH", os.defpath),
            "HOME": str(self._directory),
            "TMPDIR": str(temporary),
            # It believes to be in its own container wherever it finds Docker's marks, and would then write
            # to /var/lib, /usr/lib and /etc instead of this root.
            "OVERRIDE_IN_DOCKER": "0",
            "FILESYSTEM_ROOT": str(root),
            "GATEWAY_LISTEN": f"127.0.0.1:{self._port}",
            # Queue addresses that need no name server; by default they are in localhost.localstack.cloud.
            "LOCALSTACK_HOST": f"127.0.0.1:{self._port}",
            "SQS_ENDPOINT_STRATEGY": "path",
            "DNS_ADDRESS": "0",
            "DISABLE_EVENTS": "1",
            "SKIP_SSL_CERT_DOWNLOAD": "1",
            "SERVICES": _SERVICES,
        }

    def _wait_until_healthy(self) -> None:
        assert self._process is not None
        deadline_s = time.monotonic() + _START_DEADLINE_S
        while not self._is_healthy():
            status = self._process.poll()
            if status is not None:
                raise LocalCloudError(f"LocalStack died with status {status}:\n{self._log_tail()}")
            if time.monotonic() > deadline_s:
                raise LocalCloudError(f"no LocalStack after {_START_DEADLINE_S:.0f} s:\n{self._log_tail()}")
            time.sleep(_POLL_S)
        # If another program was faster to the port, LocalStack says so in its log only, and lives on.
        with _HTTP.open(f"{self.endpoint_url}/_localstack/init", timeout=_ANSWER_DEADLINE_S) as answer:
            scripts = json.load(answer)["scripts"]
        if self._name not in {script["name"] for script in scripts}:
            raise LocalCloudError(f"port {self._port} of 127.0.0.1 was taken by another LocalStack meanwhile")

    def _is_healthy(self) -> bool:
        try:
            with _HTTP.open(f"{self.endpoint_url}/_localstack/health", timeout=_ANSWER_DEADLINE_S) as answer:
                return bool(answer.status == 200)
        except (OSError, http.client.HTTPException):  # urllib's errors are of the first kind
            return False

    def _log_tail(self) -> str:
        """Give the last lines of the log."""
        return "\n".join(self._log_file.read_text(encoding="utf-8", errors="replace").splitlines()[-20:])

    def _stop(self) -> None:
        process, directory = self._process, self._directory
        self._process = self._directory = None
        in_order = False
        if process is not None:
            process.terminate()
            try:
                in_order = process.wait(_STOP_DEADLINE_S) == 0
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)  # not reaped yet, so the number is still its own
                process.wait()
        if directory is not None:
            if in_order:
                _keep_catalog(directory / "root" / "var" / "lib" / "localstack" / "cache")
            shutil.rmtree(directory, ignore_errors=True)


def _keep_catalog(cache: Path) -> None:
    """Keep LocalStack's index of AWS operations in its environment: building it takes each start 5 s."""
    for catalog in cache.glob(_CATALOG):
        fresh = _VENV / f"{catalog.name}.{os.getpid()}"
        with contextlib.suppress(OSError):
            shutil.copy(catalog, fresh)
            fresh.replace(_VENV / catalog.name)


def _free_port(wanted: int | None) -> int:
    """Give the wanted port, or any, that nobody listens on."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", wanted or 0))
        except OSError as error:
            raise LocalCloudError(
                f"port {wanted} of 127.0.0.1 cannot be used ({error.strerror}): stop what listens there, "
                "perhaps another LocalStack, or choose another port: make local PORT=4577"
            ) from error
        return int(probe.getsockname()[1])


def _queued_message(message: Mapping[str, Any]) -> QueuedMessage:
    attributes = message["Attributes"]
    return QueuedMessage(
        message["MessageId"],
        message["Body"],
        int(attributes.get("ApproximateReceiveCount", 0)),
        attributes["IsVisible"] == "true",
    )


def _stop_in_order(signum: int, frame: FrameType | None) -> NoReturn:
    del signum, frame
    for number in (signal.SIGINT, signal.SIGTERM):  # a second one must not cut the stopping short
        signal.signal(number, signal.SIG_IGN)
    raise SystemExit(0)


def main() -> None:
    """Keep a LocalStack with the stack in the foreground until SIGINT or SIGTERM, then exit with 0.

    Standard output: a line `export NAME=value` for each variable that the consumer and the AWS client need,
    then a line `ready`. All else goes to standard error.
    """
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--port", type=int, default=4566, help="of 127.0.0.1 (default: %(default)s)")
    port: int = parser.parse_args().port
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _stop_in_order)
    try:
        print(f"Starting LocalStack on port {port} ...", file=sys.stderr)
        with LocalCloud(port) as cloud:
            stack = cloud.deploy()
            variables = cloud.environment() | {"BUCKET_OCR_QUEUE_URL": stack.queue_url}
            for name, value in variables.items():
                print(f"export {name}={shlex.quote(value)}")
            print(f"Bucket {stack.bucket}. Stop with Ctrl-C.", file=sys.stderr)
            print("ready", flush=True)
            cloud.wait()
    except (LocalCloudError, DeploymentError) as error:
        sys.exit(f"local cloud: {error}")


if __name__ == "__main__":
    main()
