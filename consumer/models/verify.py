"""Checks models: every file against the manifest, and every model by loading it in a process of its own.

That a model loads proves little without a manifest: Paddle takes weights that end halfway without a word.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from threading import Timer
from typing import IO, Final

from consumer.domain.errors import SettingsError
from consumer.models import load
from consumer.models.config import Model
from consumer.models.manifest import State, file_problems, has_manifest, partial_folder, remedy, state

#: For a model to load, on a busy machine; the import of the libraries included.
_LOAD_DEADLINE_S: Final = 120.0


#: Starts a program that loads models, with a file for its standard error; see `load`.
_Start = Callable[[Sequence[Model], IO[bytes]], "subprocess.Popen[str]"]


def verify(models: Sequence[Model]) -> bool:
    """Check each folder, print a line for each, and tell whether all is well."""
    folders = {model.folder: model for model in models}
    whole: list[Model] = []
    for model in folders.values():
        problem = _problem(model)
        if problem:
            _say(model, f"{problem}: {remedy(model)}")
        else:
            whole.append(model)
    is_well = len(whole) == len(folders)
    for model, error in loaded(whole):
        is_well &= error is None
        if error is None:
            _say(model, "ok" if has_manifest(model) else "loads, no manifest")
        elif has_manifest(model):
            _say(model, f"does not load, though its files are as they were fetched: {error}")
        else:
            first = "" if model.is_custom else f"remove {model.folder}, then "
            _say(model, f"damaged: does not load: {error}: {first}{remedy(model)}")
    return is_well


def _problem(model: Model) -> str | None:
    match state(model):
        case State.MISSING if partial_folder(model).is_dir():
            return "missing: fetched in part only"
        case State.MISSING:
            return f"missing: no folder {model.folder}"
        case _:
            found = file_problems(model, hashed=True)
            return f"damaged: {', '.join(map(str, found))}" if found else None


def loaded(models: Sequence[Model], start: "_Start | None" = None) -> Iterator[tuple[Model, str | None]]:
    """Yield each with what went wrong when it was loaded, in order; `start`: starts what loads them.

    One that ends the process is the culprit; the rest is loaded by another.
    """
    left = deque(models)
    while left:
        with tempfile.TemporaryFile() as problems, (start or _loader)(left, problems) as process:
            timer = Timer(_LOAD_DEADLINE_S * len(left), process.kill)
            timer.start()
            try:
                lines = iter(process.stdout or ())
                if json.loads(next(lines, "null")) != load.READY:
                    # No model is to blame.
                    raise SettingsError(  # noqa: TRY301 - the process is ended first
                        f"PaddleX cannot be loaded: {_last_line(problems)}"
                    )
                for line in lines:
                    yield left.popleft(), json.loads(line)
            except BaseException:
                # It ignores Ctrl-C, like every child, and would be waited for.
                process.kill()
                raise
            finally:
                timer.cancel()
        if left:
            yield left.popleft(), f"loading it ended the process ({_end(process.returncode)})"


def _last_line(problems: IO[bytes]) -> str:
    problems.seek(0)
    lines = problems.read().decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else "it ended without a word"


def _loader(models: Sequence[Model], problems: IO[bytes]) -> "subprocess.Popen[str]":
    facts = [[model.name, str(model.folder), model.is_onnx] for model in models]
    return subprocess.Popen(  # noqa: S603 - our own module, with names and paths of the configuration
        [sys.executable, "-P", "-m", "consumer.models.load", json.dumps(facts)],
        stdout=subprocess.PIPE,
        # What libraries print there is no fault, unless they cannot be loaded; what they raise comes in the
        # reply.
        stderr=problems,
        env=os.environ | {"HF_HUB_OFFLINE": "1"},
        text=True,
    )


def _end(status: int) -> str:
    return signal.Signals(-status).name if status < 0 else f"status {status}"


def _say(model: Model, text: str) -> None:
    print(f"{model.name}: {text}", flush=True)
