"""Processors and memory of this host, or of the container or service that we run in."""

import ctypes
import os
from collections.abc import Iterator
from math import ceil
from pathlib import Path
from typing import Final

_PR_GET_DUMPABLE, _PR_SET_DUMPABLE = 3, 4

_MEMBERSHIP: Final = Path("/proc/self/cgroup")
_HIERARCHY: Final = Path("/sys/fs/cgroup")


def forbid_inspection() -> None:
    """Keep other processes of this user out of this one's memory, variables and descriptors (prctl(2)).

    It leaves no core file either. Debuggers and profilers need root then.
    """
    ctypes.CDLL(None).prctl(*map(ctypes.c_ulong, (_PR_SET_DUMPABLE, 0, 0, 0, 0)))


def walls() -> dict[str, str]:
    """Return the wall round this process, and why it does not stand; empty if it does."""
    is_dumpable = ctypes.CDLL(None).prctl(*map(ctypes.c_ulong, (_PR_GET_DUMPABLE, 0, 0, 0, 0)))
    return {"not_dumpable": "other processes of this user may look into it" if is_dumpable else ""}


def processors() -> tuple[int, ...]:
    """Numbers of the processors this process may run on."""
    return tuple(sorted(os.sched_getaffinity(0)))


def cpu_quota(membership: Path = _MEMBERSHIP, hierarchy: Path = _HIERARCHY) -> int | None:
    """Processor time that we may use, in whole processors, rounded up; None if unlimited.

    Without it a container of 2 CPUs on a host of 64 would start 64 engines that take turns on two.
    """
    quotas = [
        max(1, ceil(int(quota) / int(period)))
        for quota, period in map(str.split, _limits("cpu.max", membership, hierarchy))
        if quota != "max"
    ]
    return min(quotas, default=None)


def memory_bytes(membership: Path = _MEMBERSHIP, hierarchy: Path = _HIERARCHY) -> int:
    """Memory that this process and its children may use together, in bytes."""
    physical = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    limits = _limits("memory.max", membership, hierarchy)
    return min([physical, *(int(limit) for limit in limits if limit != "max")])


def resident_bytes(pid: int) -> int:
    """Memory that a process holds at present; 0 if there is none of that number."""
    try:
        pages = Path(f"/proc/{pid}/statm").read_text().split()[1]
    except OSError:
        return 0
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


def _limits(name: str, membership: Path, hierarchy: Path) -> Iterator[str]:
    """A limit of our control group (version 2) and of all visible groups around it."""
    try:
        lines = membership.read_text().splitlines()
    except OSError:
        return
    ours = next((line.removeprefix("0::/") for line in lines if line.startswith("0::/")), "")
    group = hierarchy / ours
    for folder in (group, *group.parents):
        if folder.is_relative_to(hierarchy) and (folder / name).is_file():
            yield (folder / name).read_text().strip()
