"""Log lines: JSON for machines, columns for people; to standard output, one event a line."""

import contextlib
import io
import logging
import sys
from typing import Literal, TextIO, cast

import structlog
from structlog.typing import Processor


def configure(log_format: Literal["auto", "json", "console"], level: str) -> None:
    """Set structlog up for the process. `auto`: console on a terminal, JSON otherwise."""
    stream = _Tolerant(sys.stdout)
    console = log_format == "console" or (log_format == "auto" and stream.isatty())
    processors: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    if console:
        processors.append(structlog.dev.ConsoleRenderer())
    else:
        processors += [
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ]
    structlog.configure(
        processors=processors,
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.WriteLoggerFactory(cast(TextIO, stream)),
        cache_logger_on_first_use=True,
    )


class _Tolerant:
    """Standard output that never fails.

    Neither a full disk, nor a reader that has gone, nor a character that a sender made up must end the
    consumer.
    """

    def __init__(self, stream: TextIO | None) -> None:
        # None where the process was started with its standard output closed.
        self._stream = stream
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")

    def isatty(self) -> bool:
        return self._stream is not None and self._stream.isatty()

    def write(self, text: str) -> None:
        with contextlib.suppress(OSError, ValueError):
            if self._stream is not None:
                self._stream.write(text)

    def flush(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            if self._stream is not None:
                self._stream.flush()
