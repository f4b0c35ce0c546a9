"""Limits of a process that parses hostile files."""

import math
import os
import resource
import sys


def silence_libraries() -> None:
    """Drop the output of C libraries: a hostile file can make them fill the operator's log.

    Python's own output, to `sys.stdout` and `sys.stderr`, goes to standard error as before.
    """
    visible = os.dup(2)
    silence = os.open(os.devnull, os.O_WRONLY)
    for descriptor in (1, 2):
        os.dup2(silence, descriptor)
    os.close(silence)
    sys.stdout = sys.stderr = os.fdopen(visible, "w", buffering=1, errors="backslashreplace")


def limit_address_space(size_bytes: int, mapped_bytes: int) -> None:
    """Let a decompression bomb end this process, and not the host. `mapped_bytes`: for files that it maps."""
    resource.setrlimit(resource.RLIMIT_AS, (size_bytes, size_bytes + mapped_bytes))


def allow_address_space(more_bytes: int) -> int:
    """Raise the limit by the size of a file that is to be mapped; lower it by a negative size.

    Returns by how much it was raised: there is a limit to that as well.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    if resource.RLIM_INFINITY in (soft, hard):
        return 0
    raised = min(soft + more_bytes, hard)
    resource.setrlimit(resource.RLIMIT_AS, (raised, hard))
    return raised - soft


def limit_processor_time(processor_s: int) -> None:
    """Allow this much from now on: unlike the parent's deadline, this holds even if the parent hangs."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    limit_s = math.ceil(used.ru_utime + used.ru_stime) + processor_s
    resource.setrlimit(resource.RLIMIT_CPU, (limit_s, resource.RLIM_INFINITY))
