"""Checks models: every file against the manifest, and every model by loading it in a process of its own.

That a model loads proves little without a manifest: Paddle takes weights that end halfway without a word.
"""

import json
import os
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Iterator, Sequence
from threading import Timer
from typing import Final

from consumer.child.models import State, cure, faults, has_manifest, partial_folder, state
from consumer.child.pipeline_config import Model

#: For a model to load, on a busy machine; the import of the libraries included.
_LOAD_DEADLINE_S: Final = 120.0


def verify(models: Sequence[Model]) -> bool:
    """Check each folder, print a line for each, and tell whether all is well."""
    folders = {model.folder: model for model in models}
    whole: list[Model] = []
    for model in folders.values():
        complaint = _complaint(model)
        if complaint:
            _say(model, f"{complaint}: {cure(model)}")
        else:
            whole.append(model)
    is_well = len(whole) == len(folders)
    for model, error in _loaded(whole):
        is_well &= error is None
        if error is None:
            _say(model, "ok" if has_manifest(model) else "loads, no manifest")
        elif has_manifest(model):
            _say(model, f"does not load, though its files are as they were fetched: {error}")
        else:
            first = "" if model.is_own else f"remove {model.folder}, then "
            _say(model, f"damaged: does not load: {error}: {first}{cure(model)}")
    return is_well


def _complaint(model: Model) -> str | None:
    match state(model):
        case State.MISSING if partial_folder(model).is_dir():
            return "missing: fetched in part only"
        case State.MISSING:
            return f"missing: no folder {model.folder}"
        case _:
            found = faults(model, hashed=True)
            return f"damaged: {', '.join(map(str, found))}" if found else None


def _loaded(models: Sequence[Model]) -> Iterator[tuple[Model, str | None]]:
    """Yield each with what went wrong when it was loaded, in order.

    One that ends the process is the culprit; the rest is loaded by another.
    """
    left = deque(models)
    while left:
        with _loader(left) as process:
            timer = Timer(_LOAD_DEADLINE_S * len(left), process.kill)
            timer.start()
            try:
                for line in process.stdout or ():
                    yield left.popleft(), json.loads(line)
            except BaseException:
                # It ignores Ctrl-C, like every child, and would be waited for.
                process.kill()
                raise
            finally:
                timer.cancel()
        if left:
            yield left.popleft(), f"loading it ended the process ({_end(process.returncode)})"


def _loader(models: Sequence[Model]) -> "subprocess.Popen[str]":
    facts = [[model.name, str(model.folder), model.is_onnx] for model in models]
    return subprocess.Popen(  # noqa: S603 - our own module, with names and paths of the configuration
        [sys.executable, "-P", "-m", "consumer.child.models.load", json.dumps(facts)],
        stdout=subprocess.PIPE,
        # What libraries print there is no fault; what they raise comes in the reply.
        stderr=subprocess.DEVNULL,
        env=os.environ | {"HF_HUB_OFFLINE": "1"},
        text=True,
    )


def _end(status: int) -> str:
    return signal.Signals(-status).name if status < 0 else f"status {status}"


def _say(model: Model, text: str) -> None:
    print(f"{model.name}: {text}", flush=True)
