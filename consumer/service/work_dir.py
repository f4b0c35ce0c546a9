"""The folder for downloads and page images."""

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

_PREFIX: Final = "bucket-ocr-work-"


@contextmanager
def work_folder(parent: Path | None) -> Iterator[Path]:
    """Make a folder of our own in `parent` (default: the system's temporary one), removed at the end.

    Folders of consumers that were killed are removed too: those of living ones are locked.
    """
    root = parent or Path(tempfile.gettempdir())
    # One consumer at a time, so that no folder is seen between its making and its locking.
    with _locked(root, fcntl.LOCK_EX):
        for folder in root.glob(f"{_PREFIX}*"):
            with contextlib.suppress(OSError), _locked(folder, fcntl.LOCK_EX | fcntl.LOCK_NB):
                shutil.rmtree(folder)
        made = tempfile.TemporaryDirectory(prefix=_PREFIX, dir=root, ignore_cleanup_errors=True)
        lock = os.open(made.name, os.O_RDONLY | os.O_CLOEXEC)
        fcntl.flock(lock, fcntl.LOCK_EX)
    try:
        with made:
            yield Path(made.name)
    finally:
        os.close(lock)


@contextmanager
def _locked(folder: Path, operation: int) -> Iterator[None]:
    """Hold a lock on a folder; raises OSError if it is not free, or the folder is not ours."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, operation)
        yield
    finally:
        os.close(descriptor)
