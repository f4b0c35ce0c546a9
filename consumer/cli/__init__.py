"""The command line: one module per group of commands, thin.

Exit status: 0 done, 1 the document(s) failed, 2 usage or settings, 3 a service (or the engine) cannot
be reached, 124 timed out, 130 interrupted. Commands themselves import slow modules.
"""

import sys

import typer

from consumer import __version__
from consumer.cli import doctor, models, results, run, schema, submit
from consumer.cli.exits import ExitStatus
from consumer.domain.errors import BucketOcrError, SettingsError, TransientError

app = typer.Typer(
    name="bucket-ocr",
    help="OCR for S3 buckets: upload a document, get its text with boxes next to it.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _version(is_wanted: bool) -> None:
    if is_wanted:
        typer.echo(f"bucket-ocr {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: bool = typer.Option(
        False, "--version", callback=_version, is_eager=True, help="Show the version."
    ),
) -> None:
    pass


app.command("run")(run.run)
app.command("submit")(submit.submit)
app.command("get")(results.get)
app.command("status")(results.status)
app.command("doctor")(doctor.doctor)
app.add_typer(models.app, name="models")
app.command("schema")(schema.schema)


def main() -> None:
    """Run a command; an error is one line on standard error, and its kind an exit status."""
    try:
        app()
    except (BucketOcrError, ExceptionGroup) as error:
        cause: Exception = error
        while isinstance(cause, ExceptionGroup):
            cause = cause.exceptions[0]
        if not isinstance(cause, SettingsError | TransientError):
            raise
        typer.echo(f"bucket-ocr: {cause}", err=True)
        sys.exit(ExitStatus.USAGE if isinstance(cause, SettingsError) else ExitStatus.UNREACHABLE)
