"""Standard output of commands: UTF-8, to a reader that may leave early or pause."""

import asyncio
import io
import os
import sys
import threading
from concurrent.futures import Future
from queue import SimpleQueue

import typer


class ReaderLeftError(BrokenPipeError):
    """The reader of standard output has left, as `head` does."""


class OutputError(OSError):
    """Standard output cannot be written, for example to a full disk."""


class _StandardOutput(io.FileIO):
    """Standard output, whose errors can be told from those of other files and connections."""

    is_optional = False
    #: The stream in whose place this is; the file would be closed with it.
    replaced: io.TextIOWrapper | None = None

    def write(self, data: "memoryview | bytes") -> int:  # type: ignore[override]
        try:
            # None, from one that does not block: it is tried again.
            return super().write(data) or 0
        except BrokenPipeError as error:
            if not self.is_optional:
                raise ReaderLeftError(*error.args) from error
            discard()
            return len(data)
        except OSError as error:
            raise OutputError(f"standard output cannot be written: {error.strerror}") from error


def prepare() -> None:
    """Print UTF-8 whatever the locale: it may have no letters for keys, and JSON has no other encoding.

    From now on printing raises ReaderLeftError and OutputError.
    """
    stream = sys.stdout
    if isinstance(stream, io.TextIOWrapper) and isinstance(stream.buffer, io.BufferedWriter | io.FileIO):
        raw = _StandardOutput(stream.fileno(), "wb", closefd=False)
        raw.replaced = stream
        sys.stdout = io.TextIOWrapper(
            io.BufferedWriter(raw),
            encoding="utf-8",
            errors="backslashreplace",
            line_buffering=stream.line_buffering or stream.write_through,
        )


def outlive_reader() -> None:
    """From now on nothing is said if the reader leaves: the command does more than print."""
    if raw := _raw():
        raw.is_optional = True


def discard() -> None:
    """Discard all that is printed from now on, and what is in the buffer."""
    discard_file(sys.stdout.fileno())


def discard_file(fd: int) -> None:
    """Discard all that is written to a file from now on."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, fd)
    os.close(null)


def print_done(line: str) -> None:
    """Print what has been done, above a bar if there is one."""
    # Without the file, typer would write past the bar.
    typer.echo(line, file=sys.stdout)


class ByteWriter:
    """Writes to standard output in a thread: the event loop goes on while the reader pauses.

    Ctrl-C ends such a write too: for a thread of the event loop's own the interpreter would wait.
    """

    def __init__(self) -> None:
        self._waiting: SimpleQueue[tuple[bytes, Future[None]]] = SimpleQueue()
        threading.Thread(target=self._run, daemon=True).start()

    async def write(self, data: bytes) -> None:
        """Return when all is written; raises ReaderLeftError, OutputError."""
        written: Future[None] = Future()
        self._waiting.put((data, written))
        await asyncio.wrap_future(written)

    def _run(self) -> None:
        while True:
            data, written = self._waiting.get()
            if written.set_running_or_notify_cancel():
                try:
                    _write(data)
                except OSError as error:
                    written.set_exception(error)
                else:
                    written.set_result(None)


def _write(data: bytes) -> None:
    raw = _raw()
    if raw is None:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
        return
    # Past the buffer, whose lock the interpreter would wait for at its end.
    left = memoryview(data)
    while left:
        left = left[raw.write(left) :]


def _raw() -> _StandardOutput | None:
    raw = getattr(getattr(sys.stdout, "buffer", None), "raw", None)
    return raw if isinstance(raw, _StandardOutput) else None
