"""What this machine, or the container we are in, may use."""

import os
from math import ceil
from pathlib import Path
from typing import Final

_CGROUP: Final = Path("/sys/fs/cgroup")


def processors() -> tuple[int, ...]:
    """Numbers of the processors this process may run on."""
    return tuple(sorted(os.sched_getaffinity(0)))


def cpu_quota(cgroup: Path = _CGROUP) -> int | None:
    """Whole processors' worth of time that the container may use, rounded up; None if unlimited.

    Without it a container of 2 CPUs on a host of 64 would start 64 threads that take turns on two.
    """
    try:
        quota, period = (cgroup / "cpu.max").read_text().split()
    except (OSError, ValueError):
        try:
            quota = (cgroup / "cpu/cpu.cfs_quota_us").read_text().strip()
            period = (cgroup / "cpu/cpu.cfs_period_us").read_text().strip()
        except OSError:
            return None
    return None if quota in ("max", "-1") else max(1, ceil(int(quota) / int(period)))


def memory_bytes(cgroup: Path = _CGROUP) -> int:
    """Memory that this process and its children may use together, in bytes."""
    host = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    for name in ("memory.max", "memory/memory.limit_in_bytes"):
        try:
            limit = (cgroup / name).read_text().strip()
        except OSError:
            continue
        return host if limit == "max" else min(host, int(limit))
    return host
