"""The loop of every child process: ready, then a reply per request, until the parent hangs up."""

import contextlib
import ctypes
import errno
import math
import os
import resource
import signal
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from consumer import protocol
from consumer.domain.errors import (
    DISK_FULL_ERRNOS,
    Code,
    DiskFullError,
    DocumentError,
    PageError,
    SettingsError,
)

_PR_SET_PDEATHSIG = 1

#: What it means for the document that a library failed in an unforeseen way.
_BLAMED: dict[type[protocol.Request], Code] = {
    protocol.OpenDocument: Code.CORRUPT_DOCUMENT,
    protocol.RenderPage: Code.PAGE_UNREADABLE,
    protocol.ReadPages: Code.ENGINE_ERROR,
}

#: Errors that no document can cause: no room, no more files, a file of ours that is gone. Not ENOMEM: memory
#: is limited per child, so that a document can very well be what takes it all.
_HOST_ERRNOS = {
    *DISK_FULL_ERRNOS,
    errno.EMFILE,
    errno.ENFILE,
    errno.EROFS,
    errno.EIO,
    errno.EACCES,
    errno.ENOENT,
}


class RequestHandler(Protocol):
    """What a role does."""

    def ready(self) -> protocol.Reply:
        """Warm up; the reply says that requests may come."""
        ...

    def handle(self, request: protocol.Request) -> protocol.Reply:
        """Fulfil one request; raises DocumentError or PageError where the document is at fault."""
        ...


def serve(descriptor: int, build: Callable[[], RequestHandler], *, processor_s: int | None = None) -> None:
    """Serve requests on the socket with this descriptor; returns when the parent has gone.

    A servant that cannot be built, by a SettingsError, says so instead of being ready.
    `processor_s`: processor time for one request; the kernel ends a process that takes more.
    """
    with (
        # A parent that has gone is the end, and no failure.
        contextlib.suppress(ConnectionError),
        socket.socket(fileno=descriptor) as connection,
        connection.makefile("rb") as requests,
    ):
        try:
            servant = build()
            first = servant.ready()
        except SettingsError as error:
            connection.sendall(protocol.frame(protocol.HostFailure(message=str(error))))
            return
        connection.sendall(protocol.frame(first))
        while (request := protocol.read_request(requests)) is not None:
            if processor_s is not None:
                _limit_processor_time(processor_s)
            connection.sendall(protocol.frame(_reply(servant, request)))


def _reply(servant: RequestHandler, request: protocol.Request) -> protocol.Reply:
    try:
        return servant.handle(request)
    except (DocumentError, PageError) as error:
        cause = error.__cause__
        if isinstance(cause, Exception) and _is_host_failure(cause):
            return protocol.HostFailure(message=str(cause))
        return protocol.RequestFailed(code=error.code, message=error.message)
    except DiskFullError as error:
        return protocol.HostFailure(message=str(error), needed_bytes=error.needed_bytes)
    except MemoryError:
        # What is left of a process that has none is not to be trusted with a reply, and gives none back.
        os._exit(protocol.OUT_OF_MEMORY)
    except Exception as error:  # noqa: BLE001 - a library's complaint about a page; never ends the child
        if _is_host_failure(error):
            return protocol.HostFailure(message=f"{type(error).__name__}: {error}")
        return protocol.RequestFailed(
            code=_BLAMED[type(request)], message=f"{type(error).__name__}: {error}"[:500]
        )


def _is_host_failure(error: Exception) -> bool:
    return isinstance(error, OSError) and error.errno in _HOST_ERRNOS


def _limit_processor_time(processor_s: int) -> None:
    """Allow so much from now on: unlike the parent's deadline, this holds even where the parent hangs."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    limit_s = math.ceil(used.ru_utime + used.ru_stime) + processor_s
    resource.setrlimit(resource.RLIMIT_CPU, (limit_s, resource.RLIM_INFINITY))


def silence_libraries() -> None:
    """Drop what C libraries print: a hostile file can make them fill the operator's log. Python is heard."""
    heard = os.dup(2)
    silence = os.open(os.devnull, os.O_WRONLY)
    for descriptor in (1, 2):
        os.dup2(silence, descriptor)
    os.close(silence)
    sys.stdout = sys.stderr = os.fdopen(heard, "w", buffering=1, errors="backslashreplace")


def limit_address_space(size_bytes: int) -> None:
    """Let a decompression bomb end this process, and not the machine."""
    resource.setrlimit(resource.RLIMIT_AS, (size_bytes, size_bytes))


def ignore_stops() -> None:
    """Leave Ctrl-C and a service manager's SIGTERM to the parent, which ends its children."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


def prepare_process() -> None:
    """Leave signals to the parent, and ask Linux to end this process with it, even amid a page.

    And to end this one first where memory runs out on the machine, and to write no image of it, which
    would hold a document, to disk.

    Called before anything heavy is imported. A parent that died before is noticed by the end of the
    request stream.
    """
    ignore_stops()
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        # A wish: where /proc is hidden or read-only, it must do without.
        with contextlib.suppress(OSError):
            Path("/proc/self/oom_score_adj").write_text("1000")
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
