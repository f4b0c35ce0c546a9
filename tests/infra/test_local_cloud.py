"""`localstack/local_cloud.py` as a process: its output, and that nothing of it stays behind."""

import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import boto3
import psutil
import pytest
from local_cloud import LocalCloud, LocalCloudError

from tests.e2e.stack import free_port

HERE = Path(__file__).parents[2] / "localstack"
SCRIPT = HERE / "local_cloud.py"
# A user may have set these; they must not reach LocalStack or its clients.
HOSTILE = {
    "AWS_PROFILE": "missing",
    "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
    "AWS_DEFAULT_REGION": "eu-central-1",
    "HTTP_PROXY": "http://127.0.0.1:9",
    "PERSISTENCE": "1",
}
STOP_S = 120


@pytest.fixture
def port() -> int:
    return free_port()


@contextmanager
def _started(arguments: list[str], temporary: Path) -> Iterator[subprocess.Popen[str]]:
    """Run Python with `localstack/` in its path; whatever happens, it is gone afterwards."""
    environment = os.environ | HOSTILE | {"TMPDIR": str(temporary), "PYTHONPATH": str(HERE)}
    with subprocess.Popen(
        [sys.executable, *arguments],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


def test_make_local_prints_what_a_client_needs_then_ready_and_leaves_nothing(
    port: int, tmp_path: Path
) -> None:
    with _started([str(SCRIPT), "--port", str(port)], tmp_path) as process:
        assert process.stdout is not None
        lines = list(iter(lambda: process.stdout.readline().rstrip("\n"), "ready"))  # type: ignore[union-attr]
        variables = dict(line.removeprefix("export ").split("=", 1) for line in lines)
        assert all(line.startswith("export ") for line in lines)
        queue_url = variables.pop("BUCKET_OCR_QUEUE_URL")
        assert variables == {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_REGION": "us-east-1",
            "AWS_DEFAULT_REGION": "us-east-1",
        }
        client = boto3.client(
            "sqs",
            endpoint_url=variables["AWS_ENDPOINT_URL"],
            region_name=variables["AWS_REGION"],
            aws_access_key_id=variables["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=variables["AWS_SECRET_ACCESS_KEY"],
        )
        with closing(client) as sqs:
            assert sqs.get_queue_url(QueueName="bucket-ocr")["QueueUrl"] == queue_url
        process.send_signal(signal.SIGTERM)
        rest, _ = process.communicate(timeout=STOP_S)
    assert (process.returncode, rest) == (0, "")
    assert _is_free(port)
    assert list(tmp_path.iterdir()) == []


def test_localstack_dies_with_a_killed_starter(port: int, tmp_path: Path) -> None:
    code = (
        "import signal; from local_cloud import LocalCloud\n"
        f"with LocalCloud({port}): print('up', flush=True); signal.pause()"
    )
    with _started(["-c", code], tmp_path) as starter:
        assert starter.stdout is not None
        assert starter.stdout.readline() == "up\n"
        children = psutil.Process(starter.pid).children(recursive=True)
        assert children
        starter.kill()
        starter.wait()
        _, alive = psutil.wait_procs(children, timeout=STOP_S)
    # One that init has not collected yet is dead all the same.
    running = [child for child in alive if child.status() != psutil.STATUS_ZOMBIE]
    for child in running:
        child.kill()
    assert running == []
    assert _is_free(port)


def test_a_taken_port_is_named_with_what_to_do() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(
            LocalCloudError, match=rf"port {port} .*stop what listens there.* make local PORT="
        ):
            LocalCloud(port).__enter__()


def _copied(destination: Path) -> list[str]:
    for name in ("local_cloud.py", "deploy.py", "serve.py"):
        shutil.copy(HERE / name, destination)
    return [str(destination / "local_cloud.py"), "--port"]


def test_without_its_environment_it_asks_for_make_setup(port: int, tmp_path: Path) -> None:
    with _started([*_copied(tmp_path), str(port)], tmp_path) as process:
        out, error = process.communicate(timeout=STOP_S)
    assert (process.returncode, out) == (1, "")
    assert "run `make setup`" in error


def test_a_localstack_that_dies_is_reported_at_once_with_its_last_words(port: int, tmp_path: Path) -> None:
    interpreter = tmp_path / ".venv" / "bin" / "python"
    interpreter.parent.mkdir(parents=True)
    interpreter.write_text("#!/bin/sh\necho no such module; exit 3\n")
    interpreter.chmod(0o755)
    with _started([*_copied(tmp_path), str(port)], tmp_path) as process:
        out, error = process.communicate(timeout=STOP_S)
    assert (process.returncode, out) == (1, "")
    assert "LocalStack died with status 3:\nno such module" in error


def test_make_local_takes_a_port_which_its_error_names() -> None:
    done = subprocess.run(
        ["make", "-n", "local", "PORT=4577"], cwd=HERE.parent, capture_output=True, text=True, check=True
    )
    assert "local_cloud.py --port 4577" in done.stdout
