"""rlimits: files, processes and descriptors, of which a process could take too many."""

import resource

from consumer.protocol import Sandbox


def confine(sandbox: Sandbox) -> None:
    """Set the limits until the process ends; a process with more rights is not held to that of processes."""
    limits = {
        resource.RLIMIT_FSIZE: sandbox.file_bytes,
        resource.RLIMIT_NOFILE: sandbox.open_files,
        resource.RLIMIT_NPROC: sandbox.processes,
    }
    for limit, value in limits.items():
        if value is not None:
            resource.setrlimit(limit, (value, value))
