"""`bucket-ocr models`: the model files of the engine."""

import json
import sys
from typing import Annotated

import typer

from consumer import engines, settings
from consumer.cli.exits import ExitStatus
from consumer.models import manifest
from consumer.models.manifest import State
from consumer.models.model import Model

app = typer.Typer(help="The model files that the engine needs as configured.", no_args_is_help=True)


@app.command("list")
def list_models(as_json: Annotated[bool, typer.Option("--json", help="As one JSON list.")] = False) -> None:
    """Show every model that is needed: its role, name, size, state and folder.

    States: present, missing, damaged. Files are not read: see `verify`.
    """
    rows = [manifest.describe(model) for model in _needed(quiet=as_json)]
    if as_json:
        typer.echo(json.dumps(rows, indent=2, ensure_ascii=False))
        return
    for row in rows:
        state = ": ".join(filter(None, [row["state"], ", ".join(row["problems"])]))
        size = f"{row['size_bytes'] / 1e6:.1f} MB" if row["size_bytes"] else "-"
        typer.echo(f"{row['role']:<16} {row['name']:<33} {size:>9}  {state:<7}  {row['folder']}")


@app.command("pull")
def pull() -> None:
    """Fetch missing and damaged models into PADDLE_PDX_CACHE_HOME (~/.paddlex by default).

    From Hugging Face, or from ModelScope if that cannot be reached; PADDLE_PDX_MODEL_SOURCE=modelscope
    reverses the order. Those of rapidocr from ModelScope only. PADDLE_PDX_HUGGING_FACE_ENDPOINT and
    MODELSCOPE_ENDPOINT name mirrors. An interrupted transfer resumes.
    """
    if not (needed := _needed()):
        return
    # Its library comes with the engines.
    from consumer.models.pull import UnreachableError, pull

    errors = pull(needed)
    if errors:
        is_offline = all(isinstance(error, UnreachableError) for error in errors)
        sys.exit(ExitStatus.UNREACHABLE if is_offline else ExitStatus.FAILED)


@app.command("verify")
def verify() -> None:
    """Read every file, and say which one differs from its manifest. Needs no network.

    A folder without a manifest is reported as unverified; that is not a failure. Exit status 1 if a model is
    missing or damaged.
    """
    status = ExitStatus.DONE
    for model in {model.folder: model for model in _needed()}.values():
        condition = manifest.check(model, hashed=True)
        line = "ok" if condition.is_proved else f"unverified: no manifest in {model.folder}"
        if condition.state is not State.PRESENT:
            line, status = f"{condition}: {model.folder}: {manifest.remedy(model)}", ExitStatus.FAILED
        typer.echo(f"{model.name}: {line}")
    sys.exit(status)


def _needed(*, quiet: bool = False) -> tuple[Model, ...]:
    """Return the models that must be fetched; says so if there are none, unless `quiet`."""
    options = settings.load(settings.EngineSettings)
    engine = engines.choose(options)
    needed = engine.models(options)
    if not needed and not quiet:
        typer.echo(f"{engine.name}: its models come with it; nothing needs to be fetched")
    return needed
