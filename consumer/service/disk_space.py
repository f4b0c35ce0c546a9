"""Disk space of the work folder: which documents wait for it, and which will free some.

A disk that is full of our own pages and downloads is no failure: those are deleted as the work goes on, and
a document that needs their space waits. The disk is a failure of the host when nothing of ours is left to
delete.
"""

import asyncio
import contextlib
import shutil
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Final, TypeVar

from consumer.domain.errors import DiskFullError, HostError, TransientError

_Result = TypeVar("_Result")

_FOLDER: Final = "BUCKET_OCR_WORK_DIR"

#: With less free space no work is begun.
_RESERVE_BYTES: Final = 1024 * 1024

#: Space for an ordinary document and a few of its pages. If this much is free, a file that does not fit is a
#: matter of its document, and others go on.
_ORDINARY_BYTES: Final = 16 * 1024 * 1024


class DiskSpace:
    """The space in one folder, shared by all documents in flight.

    `usage`: gives total, used and free bytes of the disk. `restore`: makes the folder again if it is gone.
    """

    def __init__(
        self,
        folder: Path,
        usage: Callable[[Path], tuple[int, int, int]] = shutil.disk_usage,
        restore: Callable[[], None] = lambda: None,
    ) -> None:
        self._folder = folder
        self._usage = usage
        self._restore = restore
        #: Documents and pages that will free space without waiting for any.
        self._holders = 0
        #: How many have freed theirs so far.
        self._releases = 0
        self._released = asyncio.Event()
        self._needed_bytes = _RESERVE_BYTES
        #: Deletes a file that is kept without a user; returns whether there was one.
        self.reclaim: Callable[[], bool] = lambda: False

    @property
    def total_bytes(self) -> int:
        """Size of the disk."""
        return self._disk()[0]

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Count a document, whose files are deleted before the context ends."""
        self.hold()
        try:
            yield
        finally:
            self.release()

    def hold(self) -> None:
        """Count a page or a document whose files will be deleted without waiting for space."""
        self._holders += 1

    def release(self) -> None:
        """Note that its files are deleted."""
        self._holders -= 1
        self._releases += 1
        self._released.set()

    async def run_when_free(self, attempt: Callable[[], Awaitable[_Result]]) -> _Result:
        """Make a file of a document that holds space; while there is none, wait for others to free theirs.

        Raises DiskFullError if no other will, TransientError if there is space for others or the file would
        never fit.
        """
        alone = False
        while True:
            releases = self._releases
            try:
                return await attempt()
            except DiskFullError as error:
                if self.reclaim():
                    continue
                if error.needed_bytes >= (total := self._disk()[0]):
                    raise TransientError(
                        f"{error}: {_FOLDER} has {total} bytes in all: give it more"
                    ) from error
                if self._releases == releases and self._holders == 1:
                    # All others wait. One of them may have been in the way with a file that it began.
                    if alone:
                        raise self._no_space_error(error) from error
                    alone = True
                    continue
                alone = False
                if self._releases == releases:
                    await self._wait_for_release()

    async def _wait_for_release(self) -> None:
        self._holders -= 1
        try:
            self._released.clear()
            await self._released.wait()
        finally:
            self._holders += 1

    def _no_space_error(self, error: DiskFullError) -> TransientError:
        if (free := self._disk()[1]) >= _ORDINARY_BYTES:
            return TransientError(
                f"{error}: {_FOLDER} has {free} bytes left: free some space for this document"
            )
        self._needed_bytes = max(self._needed_bytes, error.needed_bytes)
        return error

    async def check(self) -> None:
        """Raise HostError if nothing can be written, or while there is less space than was missing."""
        try:
            self._restore()
        except OSError as error:
            raise HostError(f"{_FOLDER} is gone, and cannot be made again: {error}") from error
        if self._holders:
            # A document that comes now and finds no space waits for those.
            return
        while (free := self._disk()[1]) < self._needed_bytes and self.reclaim():
            pass
        if free < self._needed_bytes:
            raise DiskFullError(
                f"{_FOLDER} has {free} bytes left and {self._needed_bytes} are needed: free some space",
                self._needed_bytes,
            )
        await asyncio.to_thread(self._write_probe)
        self._needed_bytes = _RESERVE_BYTES

    def _write_probe(self) -> None:
        """Detect what no figure shows: a read-only disk, a quota, no inodes left."""
        probe = self._folder / "probe"
        try:
            probe.write_bytes(b"probe")
            probe.unlink()
        except OSError as error:
            raise HostError(f"{_FOLDER} cannot be written to: {error}") from error

    def check_fits(self, size_bytes: int) -> None:
        """Raise DiskFullError if a file of this size would not fit now."""
        if (free := self._disk()[1]) < size_bytes:
            raise DiskFullError(f"{size_bytes} bytes are needed and {free} are left", size_bytes)

    def _disk(self) -> tuple[int, int]:
        """Size of the disk and free space, in bytes."""
        try:
            total, _, free = self._usage(self._folder)
        except OSError as error:
            raise HostError(f"{_FOLDER}: {error}") from error
        return total, free
