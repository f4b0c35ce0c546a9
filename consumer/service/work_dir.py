"""The folder for downloads and page images."""

import asyncio
import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Final

_PREFIX: Final = "bucket-ocr-work-"

#: Another consumer of this user makes or removes folders for less than this.
_WAIT_S: Final = 10.0
_POLL_S: Final = 0.1


class WorkFolder:
    """A folder of our own in `root`, locked as long as it is in use.

    `scratch`: a folder in it for files of engines, which may see no other.
    """

    def __init__(self, root: Path) -> None:
        self.path = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=root))
        self._lock = _lock(self.path, fcntl.LOCK_EX)
        self.scratch = self.path / "scratch"
        self.scratch.mkdir(mode=0o700)

    def restore(self) -> None:
        """Make the folder again if something, a cleaner of old files for example, has removed it."""
        if not self.path.is_dir():
            self.path.mkdir(mode=0o700, parents=True)
            os.close(self._lock)
            self._lock = _lock(self.path, fcntl.LOCK_EX)
        self.scratch.mkdir(mode=0o700, exist_ok=True)

    def remove(self) -> None:
        """Remove the folder with all that is in it."""
        shutil.rmtree(self.path, ignore_errors=True)
        os.close(self._lock)


@asynccontextmanager
async def work_folder(parent: Path | None) -> AsyncIterator[WorkFolder]:
    """Make a folder of our own in `parent` (default: the system's temporary one), removed at the end.

    Folders of consumers that were killed are removed too: those of living ones are locked. Raises OSError if
    no folder can be made, or another process keeps all from making one.
    """
    root = parent or Path(tempfile.gettempdir())
    # One consumer at a time, so that no folder is seen between its making and its locking.
    async with _alone(root):
        for folder in root.glob(f"{_PREFIX}*/"):
            with contextlib.suppress(OSError), _locked(folder):
                shutil.rmtree(folder)
        made = WorkFolder(root)
    try:
        yield made
    finally:
        made.remove()


@asynccontextmanager
async def _alone(root: Path) -> AsyncIterator[None]:
    """Hold the lock of this user's consumers in a folder: a file of its own, which nobody else locks."""
    path = root / f"{_PREFIX}{os.getuid()}.lock"
    try:
        async with asyncio.timeout(_WAIT_S):
            while (descriptor := _try_lock(path)) is None:  # noqa: ASYNC110 - the kernel wakes no event loop
                await asyncio.sleep(_POLL_S)
    except TimeoutError as error:
        raise OSError(f"another process has held {path} locked for {_WAIT_S:g} s") from error
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
        os.close(descriptor)


def _try_lock(path: Path) -> int | None:
    """Lock the file, which is made if it is not there; None if another process holds it."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with contextlib.suppress(BlockingIOError, FileNotFoundError):
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Its holder before may have removed the file that was opened here.
        if path.stat().st_ino == os.fstat(descriptor).st_ino:
            return descriptor
    os.close(descriptor)
    return None


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold the lock on a folder; raises OSError if it is not free, or the folder is not ours."""
    descriptor = _lock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
    try:
        yield
    finally:
        os.close(descriptor)


def _lock(folder: Path, operation: int) -> int:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, operation)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor
