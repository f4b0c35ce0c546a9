"""Starts the interpreter of a child process, with a socket, and with few of the parent's variables."""

import asyncio
import os
import signal
import socket
import sys
from asyncio.subprocess import Process
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from typing import Final

from consumer.processes.channel import Channel

_STANDARD_ERROR: Final = 2

#: Variables that children get: places, language, and what tunes interpreter and libraries. All others may be
#: secret: credentials, proxies with passwords, tokens of the platform.
_NAMES: Final = frozenset(
    {"HOME", "HF_HUB_OFFLINE", "LANG", "LANGUAGE", "LD_LIBRARY_PATH", "LD_PRELOAD", "PATH", "TMPDIR", "TZ"}
)
_PREFIXES: Final = (
    *("CUDA_", "FLAGS_", "GLIBC_", "GOMP_", "KMP_", "LC_", "MALLOC_", "MKL_", "NVIDIA_", "OMP_", "ONEDNN_"),
    *("OPENBLAS_", "OPENCV_", "ORT_", "OV_", "PADDLE_", "PYTHON", "TBB_"),
)


#: As it is imported, ONNX Runtime 1.32 writes an identifier of the device and records of its use, to be sent.
_SET: Final = {"ORT_DISABLE_TELEMETRY": "1"}


def environment(variables: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return the variables of a child process."""
    kept = {name: value for name, value in variables.items() if name in _NAMES or name.startswith(_PREFIXES)}
    return kept | _SET


async def spawn(entry: str, options: str, sandbox: str) -> tuple[Process, Channel]:
    """Start a child process, leader of its own group; see `consumer.child.__main__` for its arguments."""
    ours, theirs = socket.socketpair()
    with ExitStack() as undo:
        undo.callback(ours.close)
        with theirs:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-P",  # import nothing from the current folder
                *("-m", "consumer.child", entry, str(theirs.fileno()), options, sandbox),
                stdin=asyncio.subprocess.DEVNULL,
                # Libraries print; our standard output is for log lines only.
                stdout=_STANDARD_ERROR,
                pass_fds=(theirs.fileno(),),
                env=environment(),
                start_new_session=True,
            )
        ours.setblocking(False)
        undo.pop_all()
        return process, Channel(ours)


def kill_group(pid: int) -> None:
    """End a child process with all that it has started."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)
