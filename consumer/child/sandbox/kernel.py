"""System calls that the standard library does not know."""

import ctypes
import os
from collections.abc import Callable
from typing import Any, Final

_library: Final = ctypes.CDLL(None, use_errno=True)

PR_SET_PDEATHSIG: Final = 1
PR_SET_DUMPABLE: Final = 4
PR_SET_NO_NEW_PRIVS: Final = 38


def prctl(option: int, value: int) -> None:
    """Change an attribute of this process; raises OSError."""
    _checked(_library.prctl, *map(ctypes.c_ulong, (option, value, 0, 0, 0)))


def call(number: int, *arguments: Any) -> int:
    """Make a system call with integers and ctypes values; returns its result, raises OSError."""
    whole = (ctypes.c_long(each) if isinstance(each, int) else each for each in arguments)
    return _checked(_library.syscall, ctypes.c_long(number), *whole)


def _checked(function: Callable[..., int], *arguments: Any) -> int:
    if (result := function(*arguments)) < 0:
        raise OSError(number := ctypes.get_errno(), os.strerror(number))
    return result
