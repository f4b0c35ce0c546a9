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

#: What libraries read beside their own files when they are imported: other libraries, randomness, what the
#: system is, how many processors it has, and what is known of file types and fonts.
_SYSTEM: Final = (
    *("/bin", "/lib", "/lib64", "/sbin", "/usr"),
    *(f"/etc/{name}" for name in ("fonts", "ld.so.cache", "ld.so.conf", "ld.so.conf.d", "localtime")),
    *(f"/etc/{name}" for name in ("mime.types", "os-release", "ssl/openssl.cnf")),
    *("/dev/random", "/dev/urandom", "/proc/cpuinfo", "/proc/meminfo", "/proc/stat"),
    *("/sys/bus/pci/devices", "/sys/devices"),
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


def _no_new_privs(_: Sandbox) -> None:
    kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)


def _not_dumpable(_: Sandbox) -> None:
    kernel.prctl(kernel.PR_SET_DUMPABLE, 0)


def _seccomp(sandbox: Sandbox) -> None:
    seccomp.confine(for_gpu=sandbox.uses_gpu)


Wall = Callable[[Sandbox], None]

#: Those that threads inherit, set before libraries are imported; the last needs the first.
OUTER: Final[Mapping[str, Wall]] = {"no_new_privs": _no_new_privs, "landlock": _landlock}

#: Those that imports and the warm-up need not stand, set before the first request.
INNER: Final[Mapping[str, Wall]] = {
    "not_dumpable": _not_dumpable,
    "rlimits": limits.confine,
    "seccomp": _seccomp,
}


@dataclass(eq=False)
class Walls:
    """Those of one process. `problems`: of each that was set, why it does not stand; empty if it does."""

    sandbox: Sandbox
    outer: Mapping[str, Wall] = field(default_factory=lambda: OUTER)
    inner: Mapping[str, Wall] = field(default_factory=lambda: INNER)
    problems: dict[str, str] = field(default_factory=dict, init=False)

    def raise_outer(self) -> None:
        """Set the outer walls; raises SettingsError if one is required and cannot be set."""
        self._raise(self.outer)

    def raise_inner(self) -> None:
        """Set the inner walls; raises SettingsError if one is required and cannot be set."""
        self._raise(self.inner)

    def _raise(self, walls: Mapping[str, Wall]) -> None:
        if self.sandbox.mode == "off":
            return
        for name, confine in walls.items():
            problem = ""
            try:
                confine(self.sandbox)
            except OSError as error:
                problem = str(error.strerror or error)
                if self.sandbox.mode == "require":
                    raise SettingsError(
                        f"BUCKET_OCR_SANDBOX=require: {name} is not available here ({problem}): see "
                        "infra/security.md, or set it to auto"
                    ) from error
            self.problems[name] = problem
