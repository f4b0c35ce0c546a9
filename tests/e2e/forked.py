"""Commands of `bucket-ocr` as processes of their own, forked from one that has their modules loaded.

That is a second less for each. Their standard streams are those that a shell would give them.
"""

import contextlib
import multiprocessing
import os
import pty
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Final

from tests.e2e import terminal
from tests.e2e.stack import COMMAND_S

_CONTEXT: Final = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(
    [
        "consumer.cli",
        "consumer.operations",
        "consumer.viewer.document",
        "consumer.doctor.examine",
        "rich.live",
    ]
)
#: Of the table of processes.
_TABLE: Final = threading.Lock()


def bucket_ocr(
    environment: Mapping[str, str], folder: Path, *arguments: object, is_terminal: bool
) -> subprocess.CompletedProcess[str]:
    """Run a command; standard output is a pipe, standard error and input are a terminal or not.

    Of a terminal it returns what stays on it. May be called by several threads.
    """
    words = ["bucket-ocr", *map(str, arguments)]
    output, its_output = os.pipe()
    errors, its_errors = pty.openpty() if is_terminal else os.pipe()
    its_input = os.dup(its_errors) if is_terminal else os.open(os.devnull, os.O_RDWR)
    # A connection is what can be passed on to a process; these are never used as such.
    streams = [Connection(fd) for fd in (its_input, its_output, its_errors)]
    process = _CONTEXT.Process(target=_run, args=(words, dict(environment), folder, streams))
    with _TABLE:
        process.start()
    for stream in streams:
        stream.close()
    with ThreadPoolExecutor() as pool:
        streams_read = pool.map(_read, (output, errors))
        hangs = not wait([process.sentinel], COMMAND_S)
        if hangs:
            # Else its streams would never end.
            process.kill()
        printed, shown = streams_read
    # A start asks for the status of all processes too, which can be read once.
    with _TABLE:
        process.join()
    assert not hangs, f"{words} did not end within {COMMAND_S:g} s: {shown!r}"
    assert process.exitcode is not None
    text = shown.decode()
    return subprocess.CompletedProcess(
        words, process.exitcode, printed.decode(), terminal.left(text) if is_terminal else text
    )


def _read(fd: int) -> bytes:
    """Read to the end, which on Linux is an error for a terminal, and close."""
    chunks = []
    with contextlib.suppress(OSError):
        while chunk := os.read(fd, 65536):
            chunks.append(chunk)
    os.close(fd)
    return b"".join(chunks)


def _run(
    words: Sequence[str], environment: Mapping[str, str], folder: Path, streams: Sequence[Connection]
) -> None:
    for fd, stream in enumerate(streams):
        os.dup2(stream.fileno(), fd)
        stream.close()
    sys.stdin, sys.stdout, sys.stderr = open(0), open(1, "w"), open(2, "w")  # noqa: SIM115
    os.environ.clear()
    os.environ.update(environment, TERM="xterm")
    os.chdir(folder)
    sys.argv = list(words)
    from consumer.__main__ import main  # noqa: PLC0415 - after all that

    main()
