"""The loop of every child process: ready, then a reply per request, until the parent hangs up."""

import contextlib
import errno
import os
import resource
import signal
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from consumer import framing, protocol
from consumer.child import files
from consumer.child.sandbox import kernel
from consumer.child.sandbox.walls import Walls
from consumer.domain.errors import (
    DISK_FULL_ERRNOS,
    Code,
    DiskFullError,
    DocumentError,
    PageError,
    SettingsError,
)

#: Codes of unexpected errors of libraries.
_UNEXPECTED: dict[type[protocol.Request], Code] = {
    protocol.OpenDocument: Code.CORRUPT_DOCUMENT,
    protocol.RenderPage: Code.PAGE_UNREADABLE,
    protocol.ReadPages: Code.ENGINE_ERROR,
    protocol.WriteOutput: Code.RENDER_CRASH,
}

#: Errors that no document can cause: a full disk, too many open files, a missing file of ours. Not ENOMEM:
#: memory is limited per process, so a document can take all of it.
_OUR_ERRNOS = {errno.EMFILE, errno.ENFILE, errno.EROFS, errno.EIO, errno.EACCES, errno.ENOENT}
_HOST_ERRNOS = DISK_FULL_ERRNOS | _OUR_ERRNOS


_PROGRESS = protocol.encode(protocol.Progress())


class RequestHandler(Protocol):
    """The work of one kind of process."""

    def ready(self) -> protocol.Reply:
        """Warm up; the reply says that requests may come."""
        ...

    def handle(self, request: protocol.Request, progress: Callable[[], None]) -> protocol.Reply:
        """Fulfil one request; raises DocumentError or PageError if the document is at fault.

        `progress` may be called after each step of the work, from this thread: an engine that does not
        call it for a while is taken for hanging. Renderers have one deadline for the whole request.
        """
        ...


def serve(descriptor: int, build: Callable[[], RequestHandler], walls: Walls) -> None:
    """Serve requests on the socket with this descriptor, behind `walls`; returns when the parent has gone.

    A SettingsError of `build`, of `ready` or of a wall is sent to the parent, as the first and last message.
    """
    with (
        # A parent that has gone is no failure.
        contextlib.suppress(ConnectionError),
        socket.socket(fileno=descriptor) as connection,
    ):
        try:
            walls.raise_outer()
            handler = build()
            first = handler.ready()
            walls.raise_inner()
        except SettingsError as error:
            connection.sendall(protocol.encode(protocol.HostFailure(message=str(error))))
            return
        connection.sendall(protocol.encode(first.model_copy(update={"walls": walls.problems})))

        def progress() -> None:
            connection.sendall(_PROGRESS)

        for request in files.requests(connection):
            for part in framing.parts(_reply(handler, request, progress)):
                connection.sendall(protocol.encode(part))


def _reply(
    handler: RequestHandler, request: protocol.Request, progress: Callable[[], None]
) -> protocol.Reply:
    try:
        return handler.handle(request, progress)
    except (DocumentError, PageError) as error:
        cause = error.__cause__
        if isinstance(cause, Exception) and _is_host_failure(cause):
            return protocol.HostFailure(message=str(cause))
        return protocol.RequestFailed(code=error.code, message=error.message)
    except DiskFullError as error:
        return protocol.HostFailure(message=str(error), needed_bytes=error.needed_bytes)
    except MemoryError:
        # A process without memory cannot be trusted with a reply, and gives no memory back.
        os._exit(protocol.OUT_OF_MEMORY)
    except Exception as error:  # noqa: BLE001 - an error of a library about a page must not end the process
        if _is_host_failure(error):
            return protocol.HostFailure(message=f"{type(error).__name__}: {error}")
        return protocol.RequestFailed(
            code=_UNEXPECTED[type(request)], message=f"{type(error).__name__}: {error}"[:500]
        )


def _is_host_failure(error: Exception) -> bool:
    return isinstance(error, OSError) and error.errno in _HOST_ERRNOS


def ignore_stops() -> None:
    """Leave Ctrl-C and a service manager's SIGTERM to the parent, which ends its children."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


def prepare_process() -> None:
    """Leave signals to the parent, and ask Linux to end this process with it, even during a request.

    If the host runs out of memory, the kernel ends this process first; it writes no core file, which
    would hold a document. To be called before anything heavy is imported. If the parent died before that,
    the request stream ends.
    """
    ignore_stops()
    if sys.platform == "linux":
        with contextlib.suppress(OSError):
            kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)
        # Not essential: /proc may be hidden or read-only.
        with contextlib.suppress(OSError):
            Path("/proc/self/oom_score_adj").write_text("1000")
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
