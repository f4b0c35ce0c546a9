"""`bucket-ocr models`: the model files of PP-StructureV3."""

import os
import sys
from typing import Annotated, NoReturn

import typer

from consumer import settings

app = typer.Typer(
    help="Model files of PP-StructureV3, as the configuration wants them.", no_args_is_help=True
)


@app.command("list")
def list_models(as_json: Annotated[bool, typer.Option("--json", help="As one JSON list.")] = False) -> None:
    """Show every model that is needed: its role, name, size, state and folder.

    States: present, missing, damaged. Files are not read: see `verify`.
    """
    _become("list", *["--json"] * as_json)


@app.command("pull")
def pull() -> None:
    """Fetch what is missing or damaged into PADDLE_PDX_CACHE_HOME (~/.paddlex by default).

    From Hugging Face, and where that cannot be reached from ModelScope; PADDLE_PDX_MODEL_SOURCE=modelscope
    turns it round. PADDLE_PDX_HUGGING_FACE_ENDPOINT names a mirror. What was cut goes on where it ended.
    """
    _become("pull")


@app.command("verify")
def verify() -> None:
    """Read every file, and load every model; says which file is wrong. Needs no network."""
    _become("verify")


def _become(*arguments: str) -> NoReturn:
    """Go on as the child that may import what is heavy: terminal, signals and exit status are its own."""
    wanted = settings.load_engine()
    # Where nothing says otherwise, the files are the same for a GPU.
    given = {
        "--device": "cpu" if wanted.device == "auto" else wanted.device,
        "--engine-runtime": None if wanted.engine_runtime == "auto" else wanted.engine_runtime,
        "--pipeline-config": wanted.pipeline_config,
    }
    options = [f"{name}={value}" for name, value in given.items() if value is not None]
    program = [sys.executable, "-P", "-m", "consumer.models", *arguments, *options]
    os.execv(sys.executable, program)  # noqa: S606 - no shell is the point
