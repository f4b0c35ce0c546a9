"""Child processes that try what no child may: entries `acts:render`, `acts:output`, `acts:rapidocr`.

They are the real ones, until the first file of a request says `acts:` and, as JSON, at what to try them.
Every act is harmless if it succeeds. The reply fails with the outcomes as its message: by the name of each
act, the name of its errno, or `done`.
"""

import contextlib
import ctypes
import errno
import json
import mmap
import os
import platform
import resource
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

from consumer import protocol
from consumer.child import files
from consumer.child.serve import RequestHandler
from consumer.domain.errors import Code

WORD = b"acts:"
_METADATA = ("169.254.169.254", 80)
_MOST_DESCRIPTORS = 8000
#: Of the calls that Python has no function for, on x86-64 and arm64.
_TGKILL = {"x86_64": 234, "aarch64": 131}[platform.machine()]
_PTRACE_SEIZE = 0x4206

Act = Callable[[], object]

_library = ctypes.CDLL(None, use_errno=True)


class Actor:
    """A handler that performs acts if it is asked to."""

    def __init__(self, handler: RequestHandler) -> None:
        self._handler = handler

    def ready(self) -> protocol.Reply:
        return self._handler.ready()

    def handle(self, request: protocol.Request, progress: Callable[[], None]) -> protocol.Reply:
        first, *others = protocol.files(request)
        with files.readable(first.path) as file:
            said = file.read(10_000)
        if not said.startswith(WORD):
            return self._handler.handle(request, progress)
        at = json.loads(said.removeprefix(WORD))
        output = next((files.writable(each.path) for each in others if each.is_output), None)
        outcomes = {name: _outcome(act) for name, act in _acts(at, output)}
        return protocol.RequestFailed(code=Code.ENGINE_ERROR, message=json.dumps(outcomes))


def _outcome(act: Act) -> str:
    try:
        act()
    except OSError as error:
        return errno.errorcode.get(error.errno or 0, str(error))
    except RuntimeError:
        # Python's word for a thread that cannot be started.
        return "EAGAIN"
    return "done"


def _acts(at: dict[str, Any], output: Any) -> Iterator[tuple[str, Act]]:
    for name in ("parent", "sibling"):
        pid = at[name]
        yield from _looks(name, pid)
        yield f"signal {name}", partial(os.kill, pid, 0)
        yield f"signal a thread of {name}", partial(_call, _library.syscall, _TGKILL, pid, pid, 0)
        yield f"limits of {name}", partial(resource.prlimit, pid, resource.RLIMIT_NOFILE)
    yield from _sockets(at)
    for name in ("passwords", "home", "source", "page"):
        yield f"open {name}", Path(at[name]).read_bytes
    yield "overwrite page", partial(_open, Path(at["page"]), "r+b")
    yield "list the work folder", partial(os.listdir, Path(at["page"]).parent)
    yield "remove source", Path(at["expendable"]).unlink
    for name in ("work folder", "folder around it"):
        yield f"make a file in the {name}", partial(_make, Path(at[name]) / "made")
    yield "run a program", partial(os.execv, "/no/such/program", ["program"])
    yield "start a program", partial(_wait_for, os.posix_spawn, "/bin/true", ["true"], {})
    yield "fork", partial(_wait_for, _forked)
    yield "start a thread", partial(_run, threading.Thread(target=int))
    yield "signal itself", partial(os.kill, os.getpid(), 0)
    yield "take descriptors", _take_descriptors
    if at["memory_bytes"]:
        yield "take memory", partial(mmap.mmap, -1, at["memory_bytes"])
    if output is not None:
        yield "write a large file", partial(os.pwrite, output.fileno(), b"x", at["file_bytes"])
    for name in at["traced"]:
        yield f"trace {name}", partial(_call, _library.ptrace, _PTRACE_SEIZE, at[name], 0, 0)


def _looks(name: str, pid: int) -> Iterator[tuple[str, Act]]:
    folder = Path(f"/proc/{pid}")
    for file, mode in (("environ", "rb"), ("maps", "rb"), ("mem", "r+b")):
        yield f"{file} of {name}", partial(_open, folder / file, mode)
    yield f"fd of {name}", partial(_read_links, folder / "fd")


def _sockets(at: dict[str, Any]) -> Iterator[tuple[str, Act]]:
    for family in range(1, 47):
        for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_RAW, socket.SOCK_SEQPACKET):
            yield f"socket {family} {int(kind)}", partial(socket.socket, family, kind)
    yield "socket pair", socket.socketpair
    yield "connect to loopback", partial(socket.create_connection, ("127.0.0.1", at["port"]))
    yield "connect to metadata", _connect_to_metadata
    yield "connect its socket", partial(_call, _library.connect, int(sys.argv[2]), b"\1\0/none\0\0", 10)


def _call(function: Callable[..., int], *arguments: Any) -> None:
    if function(*arguments) < 0:
        raise OSError(number := ctypes.get_errno(), os.strerror(number))


def _open(path: Path, mode: str) -> None:
    path.open(mode, buffering=0).close()


def _read_links(folder: Path) -> None:
    for each in folder.iterdir():
        each.readlink()


def _connect_to_metadata() -> None:
    with socket.socket() as connection:
        connection.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            connection.connect(_METADATA)


def _make(path: Path) -> None:
    path.open("xb").close()
    path.unlink()


def _forked() -> int:
    if (pid := os.fork()) == 0:
        os._exit(0)
    return pid


def _wait_for(start: Callable[..., int], *arguments: Any) -> None:
    os.waitpid(start(*arguments), 0)


def _run(thread: threading.Thread) -> None:
    thread.start()
    thread.join()


def _take_descriptors() -> None:
    taken: list[int] = []
    try:
        while len(taken) < _MOST_DESCRIPTORS:
            taken.append(os.dup(0))
    finally:
        for each in taken:
            os.close(each)


def render(options_json: str) -> Actor:
    # Each kind needs its own libraries alone.
    return _of("consumer.child.rendering.renderer", options_json)


def output(options_json: str) -> Actor:
    return _of("consumer.child.source_outputs", options_json)


def rapidocr(options_json: str) -> Actor:
    return _of("consumer.child.rapidocr.engine", options_json)


def ppstructure(options_json: str) -> Actor:
    return _of("consumer.child.ppstructure.environment", options_json)


def _of(module: str, options_json: str) -> Actor:
    return Actor(import_module(module).build(options_json))
