"""Log lines: JSON for machines, columns for people; to standard output, one event a line."""

import contextlib
import io
import logging
import os
import socket
import sys
from typing import Literal

import structlog
from structlog import dev, processors
from structlog.typing import EventDict, Processor, WrappedLogger


def configure(log_format: Literal["auto", "json", "console"], level: str) -> None:
    """Set structlog up for the process. `auto`: console on a terminal, JSON otherwise."""
    is_terminal = sys.stdout is not None and sys.stdout.isatty()
    console = log_format == "console" or (log_format == "auto" and is_terminal)
    as_json: list[Processor] = [processors.format_exc_info, processors.JSONRenderer()]
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            _name_consumer,
            processors.add_log_level,
            processors.TimeStamper(fmt="iso", utc=True),
            *([dev.ConsoleRenderer()] if console else as_json),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=_StandardOutput,
        cache_logger_on_first_use=True,
    )


#: Of a pod its name, of a container its id; with the process, of which a machine may have several.
_CONSUMER = f"{socket.gethostname()}/{os.getpid()}"


def _name_consumer(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Tell the lines of many consumers in one log apart."""
    event["consumer"] = _CONSUMER
    return event


class _StandardOutput:
    """Logger of structlog that never raises.

    A full disk, a reader that is gone, or an odd character in a key must not end the consumer.
    """

    def __init__(self, *_: object) -> None:
        if isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(errors="backslashreplace")

    def msg(self, line: str) -> None:
        with contextlib.suppress(OSError, ValueError):
            # One write, so that lines of threads do not mix; none if standard output was closed at the start.
            print(f"{line}\n", end="", flush=True)  # noqa: T201

    debug = info = warning = error = msg
