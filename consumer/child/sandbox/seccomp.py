"""seccomp: this process computes and talks to its parent, and the kernel refuses it everything else.

No sockets but its own, no programs, no processes, no signals to others, no look into others, no mounts, and
none of the calls that were added to Linux since. It holds for all threads. The filter is a program of classic
BPF: Documentation/userspace-api/seccomp_filter.rst of Linux.
"""

import ctypes
import errno
import os
import platform
import struct
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from consumer.child.sandbox import kernel, syscalls

_SECCOMP: Final = {"x86_64": 317, "aarch64": 277}
#: What the kernel calls them (linux/audit.h).
ARCHITECTURES: Final = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}

_SET_MODE_FILTER: Final = 1
#: For all threads. Without a mitigation of Spectre that old kernels would switch on with a filter, and that
#: slows everything down: it guards secrets of one process from its own code.
_FLAGS: Final = 1 | 4

ALLOW, REFUSE, END_PROCESS = 0x7FFF0000, 0x00050000, 0x80000000

#: Instructions: load a word of `struct seccomp_data`, compare, return.
_LOAD, _EQUAL, _GREATER, _ANY_BIT, _RETURN = 0x20, 0x15, 0x25, 0x45, 0x06
_NUMBER_AT, _ARCHITECTURE_AT, _ARGUMENTS_AT = 0, 4, 16

_CLONE_THREAD: Final = 0x00010000
#: New namespaces of any kind.
_CLONE_NEW: Final = 0x7E020080

#: To read flags, to duplicate, locks; not to whom signals go.
_FCNTLS: Final = (0, 1, 2, 3, 4, 5, 6, 7, 1030, 1033, 1034)
#: TCGETS (is it a terminal?), FIONREAD, FIONBIO, FIONCLEX, FIOCLEX.
_IOCTLS: Final = (0x5401, 0x541B, 0x5421, 0x5450, 0x5451)
#: Names of threads and of memory; this process's own attributes, to look at.
_PRCTLS: Final = (3, 15, 16, 21, 39, 0x53564D41)


class _Check(NamedTuple):
    """A call that is allowed if one of its arguments has one of these values."""

    argument: int
    values: Sequence[int]


def _checks(pid: int, *, for_gpu: bool) -> Mapping[str, _Check]:
    checks = {
        "fcntl": _Check(1, _FCNTLS),
        "kill": _Check(0, (pid,)),
        "prctl": _Check(0, _PRCTLS),
        "prlimit64": _Check(0, (0,)),
        "tgkill": _Check(0, (pid,)),
    }
    return checks if for_gpu else checks | {"ioctl": _Check(1, _IOCTLS)}


def program(machine: str, pid: int, *, for_gpu: bool = False) -> list[bytes]:
    """Return the filter for a process, as instructions. `machine`: a name of `ARCHITECTURES`."""
    column = list(ARCHITECTURES).index(machine)
    allowed = dict(syscalls.HARMLESS)
    if for_gpu:
        allowed |= syscalls.OF_GPUS | {"ioctl": syscalls.LIMITED["ioctl"]}
    lines = [
        _line(_LOAD, _ARCHITECTURE_AT),
        _line(_EQUAL, ARCHITECTURES[machine], skip_if=1),
        _line(_RETURN, END_PROCESS),
        _line(_LOAD, _NUMBER_AT),
    ]
    for name, check in _checks(pid, for_gpu=for_gpu).items():
        lines += _checked(syscalls.LIMITED[name][column], check)
    lines += _threads_only(syscalls.LIMITED["clone"][column])
    # Not to be looked into, so programs are told that there is none, and use the other.
    lines += _returning(syscalls.LIMITED["clone3"][column], _refusal(errno.ENOSYS))
    for numbers in allowed.values():
        if (number := numbers[column]) is not None:
            lines += _returning(number, ALLOW)
    lines += [
        _line(_GREATER, syscalls.LAST, skip_else=1),
        _line(_RETURN, _refusal(errno.ENOSYS)),
        _line(_RETURN, _refusal(errno.EPERM)),
    ]
    return lines


def _checked(number: int | None, check: _Check) -> list[bytes]:
    """Compare the lower half of an argument: of all these the kernel takes no more."""
    tests = [line for value in check.values for line in _returning(value, ALLOW)]
    body = [
        _line(_LOAD, _ARGUMENTS_AT + 8 * check.argument),
        *tests,
        _line(_RETURN, _refusal(errno.EPERM)),
    ]
    return [_line(_EQUAL, number, skip_else=len(body)), *body]


def _threads_only(number: int | None) -> list[bytes]:
    body = [
        _line(_LOAD, _ARGUMENTS_AT),
        _line(_ANY_BIT, _CLONE_NEW, skip_if=2),
        _line(_ANY_BIT, _CLONE_THREAD, skip_else=1),
        _line(_RETURN, ALLOW),
        _line(_RETURN, _refusal(errno.EPERM)),
    ]
    return [_line(_EQUAL, number, skip_else=len(body)), *body]


def _returning(value: int | None, action: int) -> list[bytes]:
    return [_line(_EQUAL, value, skip_else=1), _line(_RETURN, action)]


def _refusal(number: int) -> int:
    return REFUSE | number


def _line(code: int, operand: int | None, *, skip_if: int = 0, skip_else: int = 0) -> bytes:
    """An instruction; `skip_if` and `skip_else`: how many to skip, by the outcome of a comparison."""
    return struct.pack("=HBBI", code, skip_if, skip_else, operand)


def confine(*, for_gpu: bool = False) -> None:
    """Filter the calls of all threads of this process until it ends; raises OSError.

    The process must have no_new_privs.
    """
    machine = platform.machine()
    if machine not in ARCHITECTURES:
        raise OSError(errno.ENOSYS, f"there is no filter for {machine}")
    install(program(machine, os.getpid(), for_gpu=for_gpu))


def install(lines: Sequence[bytes]) -> None:
    """Install a filter; raises OSError."""
    whole = ctypes.create_string_buffer(b"".join(lines))
    # struct sock_fprog, with the padding before its pointer.
    sock_fprog = struct.pack("@HP", len(lines), ctypes.addressof(whole))
    if kernel.call(_SECCOMP[platform.machine()], _SET_MODE_FILTER, _FLAGS, sock_fprog):
        raise OSError(errno.EBUSY, "a thread has a filter of its own")
