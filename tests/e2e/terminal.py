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

#: A line that is shown and then taken away again, as progress is; and what else moves or colours.
_TAKEN_AWAY = re.compile(r"[^\n]*\n(?:\x1b\[\?\d+[a-z]|\r)*\x1b\[1A\x1b\[2K")
_CONTROL = re.compile(r"[^\n]*\x1b\[2K|\x1b\[[?\d;]*[A-Za-z]|\r")


def bucket_ocr(
    environment: Mapping[str, str], folder: Path, *arguments: object
) -> subprocess.CompletedProcess[str]:
    """Run a command whose standard error is a terminal, and whose standard output is a pipe.

    Returns of standard error what stays on the terminal.
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
            stdout=subprocess.PIPE,
            stderr=theirs,
            text=True,
        ) as process:
            os.close(theirs)
            reader.start()
            output, _ = process.communicate(timeout=COMMAND_S)
            reader.join(COMMAND_S)
    finally:
        os.close(ours)
    errors = _CONTROL.sub("", _TAKEN_AWAY.sub("", b"".join(shown).decode().replace("\r\n", "\n")))
    return subprocess.CompletedProcess(command, process.returncode, output, errors)
