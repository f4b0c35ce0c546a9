"""Sets the walls of this process, and tells which of them stand."""

import os
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import consumer
from consumer.child.sandbox import kernel, landlock, limits, seccomp
from consumer.domain.errors import SettingsError
from consumer.protocol import Sandbox

#: What libraries read beside their own files: other libraries, how many processors there are, randomness.
_SYSTEM: Final = (
    *("/bin", "/lib", "/lib64", "/sbin", "/usr", "/etc/ld.so.cache", "/etc/localtime"),
    *("/dev/random", "/dev/urandom", "/sys/devices/system", "/proc/cpuinfo", "/proc/meminfo"),
)
_NULL: Final = "/dev/null"

#: What the driver of NVIDIA reads, and where it takes memory that processes share.
_GPU_READABLE: Final = ("/proc", "/sys")
_GPU_SHARED: Final = "/dev/shm"  # noqa: S108


def _landlock(sandbox: Sandbox) -> None:
    readable = [*_SYSTEM, *_program(), *sandbox.readable]
    writable = [_NULL]
    if sandbox.uses_gpu:
        readable += _GPU_READABLE
        writable += map(str, Path("/dev").glob("nvidia*"))
    scratch = [*sandbox.scratch, *([_GPU_SHARED] if sandbox.uses_gpu else ())]
    landlock.confine(readable, writable, scratch)


def _program() -> Iterator[str]:
    """Folders of the interpreter, of installed packages, and of this one.

    Not the whole search path: a checkout is on it, with all that lies beside the package.
    """
    yield from (sys.prefix, sys.base_prefix)
    yield str(Path(consumer.__file__).parent)
    yield from filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))


def _seccomp(sandbox: Sandbox) -> None:
    seccomp.confine(for_gpu=sandbox.uses_gpu)


Wall = Callable[[Sandbox], None]


@dataclass(eq=False)
class Walls:
    """Those of one process. `outer` are set before libraries are imported, `inner` before the first request.

    `problems`: of each wall that was set, why it does not stand; empty if it does.
    """

    sandbox: Sandbox
    outer: Mapping[str, Wall] = field(default_factory=lambda: {"landlock": _landlock})
    inner: Mapping[str, Wall] = field(
        default_factory=lambda: {"rlimits": limits.confine, "seccomp": _seccomp}
    )
    problems: dict[str, str] = field(default_factory=dict, init=False)

    def raise_outer(self) -> None:
        """Set what threads inherit; raises SettingsError if a wall is required and cannot be set."""
        if self.sandbox.mode != "off":
            kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)
            self._raise(self.outer)

    def raise_inner(self) -> None:
        """Set what imports and the warm-up need not stand; raises SettingsError, as above."""
        if self.sandbox.mode != "off":
            # No other process of this user may look into it.
            kernel.prctl(kernel.PR_SET_DUMPABLE, 0)
            self._raise(self.inner)

    def _raise(self, walls: Mapping[str, Wall]) -> None:
        for name, confine in walls.items():
            problem = ""
            try:
                confine(self.sandbox)
            except OSError as error:
                problem = str(error.strerror or error)
                if self.sandbox.mode == "require":
                    raise SettingsError(
                        f"BUCKET_OCR_SANDBOX=require: {name} is not available here: {problem}"
                    ) from error
            self.problems[name] = problem
