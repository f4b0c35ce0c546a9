"""The loop of every child process: ready, then a reply per request, until the parent hangs up."""

import ctypes
import os
import signal
import socket
import sys
from collections.abc import Callable
from typing import Protocol

from consumer import wire
from consumer.domain.errors import Code, DocumentError, PageError

_PR_SET_PDEATHSIG = 1


class Servant(Protocol):
    """What a role does."""

    def ready(self) -> wire.Reply:
        """Warm up; the reply says that requests may come."""
        ...

    def handle(self, request: wire.Request) -> wire.Reply:
        """Fulfil one request; raises DocumentError or PageError where the document is at fault."""
        ...


def serve(descriptor: int, build: Callable[[], Servant]) -> None:
    """Serve requests on the socket with this descriptor; returns when the parent has gone."""
    _die_with_parent()
    # Ctrl-C and a service manager's SIGTERM are the parent's to answer; it ends its children.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    # Libraries print; the parent's standard output is for log lines only.
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    with socket.socket(fileno=descriptor) as connection, connection.makefile("rb") as requests:
        servant = build()
        connection.sendall(wire.frame(servant.ready()))
        while (request := wire.read_request(requests)) is not None:
            connection.sendall(wire.frame(_reply(servant, request)))


def _reply(servant: Servant, request: wire.Request) -> wire.Reply:
    try:
        return servant.handle(request)
    except (DocumentError, PageError) as error:
        return wire.Failed(code=error.code, message=error.message)
    except Exception as error:  # noqa: BLE001 - a library's complaint about a page; never ends the child
        code = Code.ENGINE_ERROR if isinstance(request, wire.ReadPages) else Code.PAGE_UNREADABLE
        return wire.Failed(code=code, message=f"{type(error).__name__}: {error}"[:500])


def _die_with_parent() -> None:
    """Ask Linux to end this process with its parent, even in the middle of a page.

    A parent that died before this call is noticed by the end of the request stream.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
