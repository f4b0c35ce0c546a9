"""The command line: one module per group of commands, thin.

Exit status: 0 done, 1 the document(s) failed, 2 usage or settings, 3 a service (or the engine) cannot
be reached, 124 timed out, 130 interrupted. Commands themselves import slow modules.
"""

import sys
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from consumer import __version__, settings
from consumer.cli import (
    backfill,
    dlq,
    doctor,
    get,
    models,
    run,
    schema,
    standard_output,
    status,
    submit,
    view,
)
from consumer.cli.exits import ExitStatus
from consumer.cli.standard_error import complain, say
from consumer.cli.standard_output import OutputError, ReaderLeftError
from consumer.domain.errors import (
    BucketOcrError,
    CredentialsError,
    ForbiddenError,
    ServiceError,
    SettingsError,
    TransientError,
    UnavailableError,
)


class _Commands(TyperGroup):
    """Commands whose output may go to a reader that leaves early, such as `head`, or to a full disk.

    A usage error is one line.
    """

    def main(self, args: Any = None, prog_name: str | None = None, *_: Any, **__: Any) -> Any:
        try:
            status = super().main(args, prog_name, standalone_mode=False)
        except typer.TyperException as error:
            say(_usage(error))
            status = error.exit_code
        sys.exit(status if isinstance(status, int) else ExitStatus.DONE)

    def invoke(self, ctx: Any) -> Any:
        try:
            done = super().invoke(ctx)
            if sys.stdout is not None:
                sys.stdout.flush()
        except (OSError, ExceptionGroup) as error:
            cause = _cause(error)
            if not isinstance(cause, ReaderLeftError | OutputError):
                raise
            standard_output.discard()
            if isinstance(cause, ReaderLeftError):
                raise typer.Exit(ExitStatus.DONE) from None
            complain(str(cause))
            raise typer.Exit(ExitStatus.FAILED) from None
        return done


def _usage(error: typer.TyperException) -> str:
    """Say what is wrong with the arguments, and where to read on; the help itself, if there were none."""
    message = error.format_message()
    if "\n" in message:
        return message
    context: typer.Context | None = getattr(error, "ctx", None)
    command = context.command_path if context else "bucket-ocr"
    return f"bucket-ocr: {message.removeprefix('Invalid value: ').rstrip('.')} (see `{command} --help`)"


def _cause(error: Exception) -> Exception:
    while isinstance(error, ExceptionGroup):
        error = error.exceptions[0]
    return error


app = typer.Typer(
    name="bucket-ocr",
    cls=_Commands,
    help="OCR for S3 buckets: upload a document, get its text with boxes next to it.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


@app.callback(invoke_without_command=True)
def _options(
    ctx: typer.Context, version: Annotated[bool, typer.Option("--version", help="Show the version.")] = False
) -> None:
    if version:
        typer.echo(f"bucket-ocr {__version__}")
        raise typer.Exit
    if ctx.invoked_subcommand is None:
        ctx.fail("Missing command.")


app.command("run")(run.run)
app.command("submit")(submit.submit)
app.command("get")(get.get)
app.command("status")(status.status)
app.command("backfill")(backfill.backfill)
app.add_typer(dlq.app, name="dlq")
app.command("view")(view.view)
app.command("doctor")(doctor.doctor)
app.add_typer(models.app, name="models")
app.command("schema")(schema.schema)


def main() -> None:
    """Run a command; an error is one line on standard error, and its kind an exit status."""
    standard_output.prepare()
    try:
        settings.export_aws()
        app(prog_name="bucket-ocr")
    except (BucketOcrError, ExceptionGroup) as error:
        cause = _cause(error)
        if not isinstance(cause, SettingsError | TransientError):
            raise
        complain(" ".join(f"{cause}{_remedy(cause)}".split()))
        sys.exit(ExitStatus.USAGE if isinstance(cause, SettingsError) else ExitStatus.UNREACHABLE)


def _remedy(error: Exception) -> str:
    """What to do about an error of a service."""
    if isinstance(error, CredentialsError):
        return ": set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, AWS_PROFILE, or a role"
    if isinstance(error, UnavailableError):
        return ": check the network, the region and AWS_ENDPOINT_URL, or try later"
    if isinstance(error, ForbiddenError):
        return ": check the credentials, what they allow, and the name"
    return ": check the name" if isinstance(error, ServiceError) else ""
