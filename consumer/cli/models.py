"""`bucket-ocr models`: the model files of PP-StructureV3."""

import json
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from consumer import models, settings
from consumer.cli.exits import ExitStatus

if TYPE_CHECKING:
    from consumer.models.config import Model

app = typer.Typer(help="The model files that PP-StructureV3 needs as configured.", no_args_is_help=True)


@app.command("list")
def list_models(as_json: Annotated[bool, typer.Option("--json", help="As one JSON list.")] = False) -> None:
    """Show every model that is needed: its role, name, size, state and folder.

    States: present, missing, damaged. Files are not read: see `verify`.
    """
    needed = _needed()
    from consumer.models.manifest import describe

    rows = [describe(model) for model in needed]
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
    reverses the order. PADDLE_PDX_HUGGING_FACE_ENDPOINT names a mirror. An interrupted transfer
    resumes.
    """
    needed = _needed("paddlex")
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
    needed = _needed()
    from consumer.models.manifest import State, check, remedy

    status = ExitStatus.DONE
    for model in {model.folder: model for model in needed}.values():
        condition = check(model, hashed=True)
        line = "ok" if condition.is_proved else f"unverified: no manifest in {model.folder}"
        if condition.state is not State.PRESENT:
            line, status = f"{condition}: {model.folder}: {remedy(model)}", ExitStatus.FAILED
        typer.echo(f"{model.name}: {line}")
    sys.exit(status)


def _needed(package: str = "yaml") -> "tuple[Model, ...]":
    options = settings.load(settings.EngineSettings)
    return models.configured(options.pipeline_config, options.engine_runtime, options.device, package)
