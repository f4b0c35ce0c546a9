"""An engine process of a checkout."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from consumer.domain.page import PageImage

_PROGRAM = Path(__file__).with_name("program.py")


@dataclass(frozen=True, slots=True)
class Used:
    """What the reading of a page took, and its lines. Sizes are those of the process after it."""

    processor_s: float
    resident_bytes: int
    peak_bytes: int
    texts: list[str]


class EngineProcess:
    """The engine for processors, of the checkout in `folder`, in a process of its own on one processor.

    `options`: fields of `RapidOcrOptions` other than the checkout's defaults. `ready`: its memory before the
    first page. A context that ends the process.
    """

    def __init__(self, folder: Path, cpu: int, **options: Any) -> None:
        self._process = subprocess.Popen(
            [sys.executable, str(_PROGRAM), json.dumps({"threads": 1, "cpus": [cpu]} | options)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONPATH": str(folder)},
        )
        self.ready = self._answer()

    def read(self, image: PageImage) -> Used:
        """Read a page."""
        assert self._process.stdin is not None
        self._process.stdin.write(image.model_dump_json() + "\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> Used:
        assert self._process.stdout is not None
        said: dict[str, Any] = json.loads(self._process.stdout.readline())
        return Used(**said)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()
