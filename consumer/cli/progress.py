"""Progress on standard error: a bar on a terminal, a plain line now and then elsewhere."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from rich.console import Console
from rich.progress import Progress, SpinnerColumn

from consumer.cli.standard_error import say

_PAUSE_S: Final = 10.0


@contextmanager
def counted(
    what: str, total: float | None = None, *, prints_lines: bool = False
) -> Iterator[Callable[[float], None]]:
    """Show how many things are done, of `total` if that is known; the context's function adds some.

    `what`: the things and what is done with them, such as "objects listed". `prints_lines`: the command
    prints so many lines meanwhile that they are progress enough on a terminal. Lines that are written to
    `sys.stdout` and `sys.stderr` themselves stand above the bar.
    """
    console = Console(stderr=True)
    of_all = f" of {total:.0f}" if total is not None else ""
    if console.is_terminal:
        bar = Progress(
            SpinnerColumn(),
            f"{{task.completed:.0f}}{of_all} {what}",
            console=console,
            disable=prints_lines and sys.stdout.isatty(),
            transient=True,
            redirect_stdout=sys.stdout.isatty(),
        )
        with bar:
            task = bar.add_task("", total=total)
            yield lambda count: bar.advance(task, count)
        return
    done, last_line_at = 0.0, time.monotonic()

    def add(count: float) -> None:
        nonlocal done, last_line_at
        done += count
        if time.monotonic() - last_line_at > _PAUSE_S:
            last_line_at = time.monotonic()
            say(f"{done:.0f}{of_all} {what}")

    yield add
