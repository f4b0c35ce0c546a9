"""How the programs talk with the measurement: rounds of files in, a line for each document out.

A line of standard input is a JSON list of paths. The first line of standard output is `{}`, when the program
is ready; each of the others is the JSON of a document: `name`, `text`, and `at`, the time at which its result
was there, in seconds since the epoch.
"""

import json
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path


class Answers:
    """The lines of standard output; to make it says that the program is ready."""

    def __init__(self) -> None:
        self._lines = os.fdopen(os.dup(sys.stdout.fileno()), "w", buffering=1)
        # What libraries print is no answer.
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
        self._lines.write("{}\n")

    def put(self, name: str, text: str, at_s: float | None = None) -> None:
        """Answer with the text of a document, whose result is there now, or since `at_s`."""
        at_s = time.time() if at_s is None else at_s
        self._lines.write(json.dumps({"name": name, "at": at_s, "text": text}) + "\n")


def rounds() -> Iterator[list[Path]]:
    """Give the files of every round."""
    for line in sys.stdin:
        yield [Path(path) for path in json.loads(line)]
