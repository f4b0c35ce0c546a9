"""Standard error of commands: problems, counts and progress, none of which may end a command."""

import sys

import typer

from consumer.cli.standard_output import discard_file
from consumer.cli.uris import shown


def complain(problem: str) -> None:
    """Print a problem in one line."""
    say(f"bucket-ocr: {shown(problem)}")


def say(line: str) -> None:
    """Print a line, above a bar if there is one; nothing is printed any more if the reader has left."""
    if sys.stderr is None:
        return
    try:
        # Without the file, typer would write past the bar.
        typer.echo(line, file=sys.stderr)
    except OSError:
        discard_file(sys.stderr.fileno())
