"""Landlock: this process opens the files that it is allowed, and no others (Linux 5.13 and newer).

It holds for this thread and all that it starts, so it has to be set before any library starts threads. It
also keeps the process from looking into others (ptrace and /proc), from TCP (6.7), and from signals and
abstract sockets of others (6.12). Numbers and structures: Documentation/userspace-api/landlock.rst of Linux.
"""

import ctypes
import os
import stat
import struct
from collections.abc import Iterable
from enum import IntFlag
from typing import Final

from consumer.child.sandbox import kernel

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_GET_VERSION: Final = 1
_RULE_PATH_BENEATH: Final = 1


class _Right(IntFlag):
    """What can be done with a file, or in a folder."""

    EXECUTE = 1 << 0
    WRITE_FILE = 1 << 1
    READ_FILE = 1 << 2
    READ_DIR = 1 << 3
    REMOVE_DIR = 1 << 4
    REMOVE_FILE = 1 << 5
    MAKE_DIR = 1 << 7
    MAKE_REG = 1 << 8
    TRUNCATE = 1 << 14
    IOCTL_DEV = 1 << 15


_READ: Final = _Right.EXECUTE | _Right.READ_FILE | _Right.READ_DIR
_WRITE: Final = _READ | _Right.WRITE_FILE | _Right.TRUNCATE | _Right.IOCTL_DEV
_MAKE: Final = _WRITE | _Right.REMOVE_DIR | _Right.REMOVE_FILE | _Right.MAKE_DIR | _Right.MAKE_REG
_OF_FILES: Final = _WRITE & ~_Right.READ_DIR

#: By version of the interface: how many of the rights the kernel knows.
_RIGHTS: Final = {1: 13, 2: 14, 3: 15, 4: 15, 5: 16}

_TCP: Final = 0b11  # to bind, to connect
_SCOPES: Final = 0b11  # abstract sockets, signals


def version() -> int:
    """Return the version of the kernel's interface; raises OSError if it has none, or has it switched off."""
    return kernel.call(_CREATE_RULESET, None, 0, _GET_VERSION)


def confine(readable: Iterable[str], writable: Iterable[str], scratch: Iterable[str]) -> None:
    """Allow these files and all that is in these folders, and nothing else, until the end; raises OSError.

    Those that do not exist are left out. `writable`: can be read and written. `scratch`: folders in which
    files and folders can be made and removed, too.
    """
    known = version()
    handled = (1 << _RIGHTS.get(known, 16)) - 1
    # A kernel refuses fields that it does not know.
    fields = (handled, _TCP, _SCOPES)[: 1 if known < 4 else 2 if known < 6 else 3]
    attributes = struct.pack(f"={len(fields)}Q", *fields)
    ruleset = kernel.call(_CREATE_RULESET, attributes, len(attributes), 0)
    try:
        for paths, rights in ((readable, _READ), (writable, _WRITE), (scratch, _MAKE)):
            for path in paths:
                _allow(ruleset, path, rights & handled)
        kernel.call(_RESTRICT_SELF, ruleset, 0)
    finally:
        os.close(ruleset)


def _allow(ruleset: int, path: str, rights: int) -> None:
    try:
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    try:
        if not stat.S_ISDIR(os.fstat(descriptor).st_mode):
            rights &= _OF_FILES
        rule = struct.pack("=Qi", rights, descriptor)
        kernel.call(_ADD_RULE, ruleset, _RULE_PATH_BENEATH, ctypes.create_string_buffer(rule, len(rule)), 0)
    finally:
        os.close(descriptor)
