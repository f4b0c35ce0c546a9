"""Standard output of commands: UTF-8, to a reader that may leave early."""

import io
import os
import sys

import typer


def use_utf8() -> None:
    """Print UTF-8 whatever the locale: it may have no letters for keys, and JSON has no other encoding."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8", errors="backslashreplace")


def discard() -> None:
    """Discard all that is printed from now on, and what is in the buffer: the reader has left."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def print_done(line: str) -> None:
    """Print what has been done; if the reader has left, the rest is done without a word.

    The line stands above a bar, if there is one.
    """
    try:
        # Without the file, typer would write past the bar.
        typer.echo(line, file=sys.stdout)
    except BrokenPipeError:
        discard()
