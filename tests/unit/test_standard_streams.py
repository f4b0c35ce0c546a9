"""Standard output and error of commands, whose readers may leave or pause, and whose disks may be full."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

DEADLINE_S = 300

COMPLAINS = """
from consumer.cli.standard_error import complain
for number in range(3):
    complain("a problem")
print("done")
"""

#: Prints more than a pipe holds, then does its work, here a file.
ACTS = """
import pathlib, sys, typer
from consumer import cli
from consumer.cli import standard_output

@cli.app.command("act")
def act(outlives: bool) -> None:
    if outlives:
        standard_output.outlive_reader()
    for _ in range(20000):
        standard_output.print_done("x" * 80)
    pathlib.Path("acted").touch()

cli.main()
"""

WRITES = """
import asyncio
from consumer.cli import standard_output

async def main():
    writer = standard_output.ByteWriter()
    while True:
        await writer.write(bytes(65536))

standard_output.prepare()
asyncio.run(main())
"""


def shell(line: str, folder: Path, code: str = "") -> subprocess.CompletedProcess[str]:
    """Run a line of bash, in which $0 is Python and $1 the code."""
    return subprocess.run(
        ["bash", "-c", line, sys.executable, code],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )


def test_problems_that_nobody_reads_do_not_end_a_command(tmp_path: Path) -> None:
    ours, theirs = os.pipe()
    os.close(ours)
    done = subprocess.run(
        [sys.executable, "-c", COMPLAINS],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=theirs,
        timeout=DEADLINE_S,
        check=False,
    )
    os.close(theirs)
    assert (done.returncode, done.stdout) == (0, b"done\n")


@pytest.mark.parametrize(("arguments", "acts"), [("act True", True), ("act False", False)])
def test_a_command_that_acts_goes_on_after_its_reader_has_left(
    tmp_path: Path, arguments: str, acts: bool
) -> None:
    done = shell(f'"$0" -c "$1" {arguments} | head -1; echo ${{PIPESTATUS[0]}}', tmp_path, ACTS)
    assert (done.stdout, done.stderr) == ("x" * 80 + "\n0\n", "")
    assert (tmp_path / "acted").exists() is acts


def test_a_full_disk_is_one_line(tmp_path: Path) -> None:
    done = shell('"$0" -m consumer schema > /dev/full', tmp_path)
    assert (done.returncode, done.stderr) == (
        1,
        "bucket-ocr: standard output cannot be written: No space left on device\n",
    )


def test_ctrl_c_ends_a_command_whose_reader_pauses(tmp_path: Path) -> None:
    ours, theirs = os.pipe()
    with subprocess.Popen(
        [sys.executable, "-c", WRITES], cwd=tmp_path, stdout=theirs, stderr=subprocess.PIPE
    ) as process:
        os.close(theirs)
        # It writes by now, and nobody reads on.
        assert os.read(ours, 1)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=DEADLINE_S)
    os.close(ours)
    assert b"KeyboardInterrupt" in errors
    assert b"could not acquire lock" not in errors
