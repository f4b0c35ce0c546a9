"""Commands of `bucket-ocr` on a terminal."""

import contextlib
import os
import pty
import re
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path

from tests.e2e.stack import COMMAND_S

#: What moves the cursor, clears a line or colours.
_CONTROL = re.compile(r"(\n|\x1b\[[?\d;]*[A-Za-z]|\r)")


def bucket_ocr(
    environment: Mapping[str, str], folder: Path, *arguments: object, is_whole: bool = False
) -> subprocess.CompletedProcess[str]:
    """Run a command whose standard error is a terminal, and whose standard output is a pipe.

    `is_whole`: standard output is that terminal too. Returns as standard error what stays on the terminal.
    """
    ours, theirs = pty.openpty()
    shown: list[bytes] = []

    def read() -> None:
        # Linux ends a terminal that nobody holds any more with an error.
        with contextlib.suppress(OSError):
            while chunk := os.read(ours, 65536):
                shown.append(chunk)

    command = [sys.executable, "-m", "consumer", *map(str, arguments)]
    reader = threading.Thread(target=read)
    try:
        with subprocess.Popen(
            command,
            cwd=folder,
            env={**environment, "TERM": "xterm"},
            stdin=theirs,
            stdout=theirs if is_whole else subprocess.PIPE,
            stderr=theirs,
            text=True,
        ) as process:
            os.close(theirs)
            reader.start()
            output, _ = process.communicate(timeout=COMMAND_S)
            reader.join(COMMAND_S)
    finally:
        os.close(ours)
    errors = left(b"".join(shown).decode())
    return subprocess.CompletedProcess(command, process.returncode, output, errors)


def left(text: str) -> str:
    """Return what is seen of a terminal's text in the end: progress is drawn over, or taken away."""
    rows, row = [""], 0
    for token in _CONTROL.split(text.replace("\r\n", "\n")):
        if token == "\n":
            row += 1
            rows[row:] = rows[row:] or [""]
        elif token == "\x1b[1A":
            row -= 1
        elif token == "\x1b[2K":
            rows[row] = ""
        elif not _CONTROL.fullmatch(token):
            rows[row] += token
    seen = "\n".join(rows).rstrip("\n")
    return seen and f"{seen}\n"
