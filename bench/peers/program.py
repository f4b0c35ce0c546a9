"""A program that answers for rounds of documents; see `programs/rounds.py`."""

import contextlib
import json
import os
import subprocess
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import psutil

from bench.installed import ROOT, NotRunError
from bench.peers.documents import Document
from tests.e2e.stack import MORTAL

_STOP_S = 30.0
#: Longest time for one document, and to get ready.
_ANSWER_S = 600.0


@dataclass(frozen=True, slots=True)
class Answer:
    """What was read of a document, and when its result was there, in seconds since the epoch."""

    at_s: float
    text: str


@contextlib.contextmanager
def started(
    command: Sequence[object], log: Path, environment: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[str]]:
    """Run a process until the block is left, with its children; its standard error goes to `log`."""
    with log.open("wb") as errors:
        process = subprocess.Popen(
            [*MORTAL, *(str(part) for part in command)],
            cwd=ROOT,
            env={**os.environ, **(environment or {}), "PYTHONPATH": str(ROOT)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
    with process:
        try:
            yield process
        finally:
            _stop(process)


def _stop(process: subprocess.Popen[str]) -> None:
    """End a process and its children: first as they want it, then without asking."""
    family: list[psutil.Process] = []
    with contextlib.suppress(psutil.NoSuchProcess):
        root = psutil.Process(process.pid)
        family = [root, *root.children(recursive=True)]
        root.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(_STOP_S)
    for member in family:
        with contextlib.suppress(psutil.NoSuchProcess):
            member.kill()


class Program:
    """Reads rounds by a process whose log is `log`; to make it waits until it is ready.

    `pids`: the processes that count as this program.
    """

    def __init__(self, process: subprocess.Popen[str], log: Path, *others: int) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self.pids = (process.pid, *others)
        self._process, self._log = process, log
        self._rounds: IO[str] = process.stdin
        self._answers: IO[str] = process.stdout
        self._line()

    def read(self, documents: Sequence[Document]) -> dict[str, Answer]:
        """Have documents read; returns the answers by name. Raises NotRunError if the process ends."""
        line = json.dumps([str(document.path) for document in documents]) + "\n"
        # Without a buffer, which could not be emptied any more if the process has ended. Its log says why.
        with contextlib.suppress(BrokenPipeError):
            os.write(self._rounds.fileno(), line.encode())
        return self.answers(len(documents))

    def answers(self, count: int) -> dict[str, Answer]:
        """Wait for so many answers."""
        lines = (self._line() for _ in range(count))
        return {line["name"]: Answer(line["at"], line["text"]) for line in lines}

    def _line(self) -> dict[str, Any]:
        # A process that hangs is ended, and then there is no line.
        alarm = threading.Timer(_ANSWER_S, self._process.kill)
        alarm.start()
        try:
            line = self._answers.readline()
        finally:
            alarm.cancel()
        if not line:
            raise NotRunError(f"it ended: {_last_line(self._log)}")
        answer: dict[str, Any] = json.loads(line)
        return answer


def _last_line(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return lines[-1] if lines else "nothing in its log"
