"""The folder for downloads and page images."""

import fcntl
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

_PREFIX: Final = "bucket-ocr-"
_LOCK: Final = "lock"


@contextmanager
def work_folder(parent: Path | None) -> Iterator[Path]:
    """Make a folder of our own in `parent` (default: the system's temporary one), removed at the end.

    Folders of consumers that were killed are removed too; a lock tells them from those of living ones.
    """
    root = parent or Path(tempfile.gettempdir())
    for left_behind in root.glob(f"{_PREFIX}*/{_LOCK}"):
        with left_behind.open("rb") as lock:
            if _try_lock(lock.fileno()):
                shutil.rmtree(left_behind.parent, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=_PREFIX, dir=root) as name:
        folder = Path(name)
        with (folder / _LOCK).open("wb") as lock:
            _try_lock(lock.fileno())
            yield folder


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
