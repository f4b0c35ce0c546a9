"""Exit statuses of all commands."""

from enum import IntEnum


class ExitStatus(IntEnum):
    """Exit status of a command. 130, for Ctrl-C, is typer's own."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    UNREACHABLE = 3
    TIMED_OUT = 124
