"""Log lines never end the process that writes them."""

import json
import socket
import subprocess
import sys

import pytest

LOG = """
import structlog, sys
from consumer import logs
logs.configure("json", "info")
structlog.get_logger().info("message", key="a\\ud800\\u4e2d", text="x" * 100_000)
print("alive", file=sys.stderr)
"""


def alive(stdout: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Write a line to a standard output set up by the shell; the process must live on."""
    done = subprocess.run(
        ["sh", "-c", f'"$0" -c "$1" {stdout}', sys.executable, LOG],
        env={"PATH": "/usr/bin:/bin", **environment},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert "alive" in done.stderr
    return done


@pytest.mark.parametrize("stdout", [">/dev/full", ">&-", "| head -c 10"])
def test_a_standard_output_that_fails_does_not_end_the_process(stdout: str) -> None:
    alive(stdout)


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1"])
def test_a_line_is_one_json_object_for_any_characters(encoding: str) -> None:
    line = json.loads(alive("", PYTHONIOENCODING=encoding).stdout)
    assert (line["event"], line["level"], line["key"]) == ("message", "info", "a\ud800\u4e2d")


def test_a_line_names_its_consumer() -> None:
    name, _, process = json.loads(alive("").stdout)["consumer"].rpartition("/")
    assert (name, process.isdigit()) == (socket.gethostname(), True)
