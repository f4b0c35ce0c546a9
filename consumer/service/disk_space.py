"""Room in the work folder: who waits for it, and who will make some.

A disk that is full of our own pages and downloads is no failure: those leave by themselves, and whoever
needs their room waits. It is one when nothing of ours is left to leave.
"""

import asyncio
import contextlib
import shutil
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Final, Protocol, TypeVar

from consumer.domain.errors import DiskFullError, HostError, TransientError
from consumer.ports import Progress

_Made = TypeVar("_Made")

_FOLDER: Final = "BUCKET_OCR_WORK_DIR"

#: Without so much room no work is begun.
_RESERVE_BYTES: Final = 1024 * 1024

#: Room for an ordinary document and a few of its pages. Where there is so much, a file that does not fit
#: is its document's affair, and others go on.
_ORDINARY_BYTES: Final = 16 * 1024 * 1024


class Usage(Protocol):
    """What `shutil.disk_usage` tells of a disk, in bytes."""

    @property
    def total(self) -> int:
        """Size."""
        ...

    @property
    def free(self) -> int:
        """Room that is left."""
        ...


class DiskSpace:
    """The room in one folder, shared by all documents in work."""

    def __init__(self, folder: Path, usage: Callable[[Path], Usage] = shutil.disk_usage) -> None:
        self._folder = folder
        self._usage = usage
        #: Documents and pages that will make room without anybody else having to.
        self._leaving = 0
        #: How many have left so far.
        self._left = 0
        self._one_left = asyncio.Event()
        self._needed_bytes = _RESERVE_BYTES

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Count a document, whose files are gone when the context ends."""
        self.enter()
        try:
            yield
        finally:
            self.leave()

    def enter(self) -> None:
        """Count a page, or a document, whose files will be deleted without anybody else having to."""
        self._leaving += 1

    def leave(self) -> None:
        """Say that its files are gone."""
        self._leaving -= 1
        self._left += 1
        self._one_left.set()

    async def run_when_free(self, attempt: Callable[[], Awaitable[_Made]], progress: Progress) -> _Made:
        """Make a file of a document that has entered, waiting for others to leave where there is no room.

        `progress` is called when one has. Raises NoRoomError where none will, PassingError where there is
        room for others or the file would never fit.
        """
        alone = False
        while True:
            left_before = self._left
            try:
                return await attempt()
            except DiskFullError as error:
                if error.needed_bytes >= (total := self._disk().total):
                    raise TransientError(
                        f"{error}: {_FOLDER} has {total} bytes in all: give it more"
                    ) from error
                if self._left == left_before and self._leaving == 1:
                    # All others wait. One of them may have been in the way with a file that it began.
                    if alone:
                        raise self._given_up(error) from error
                    alone = True
                    continue
                alone = False
                if self._left == left_before:
                    await self._until_one_leaves()
            progress()

    async def _until_one_leaves(self) -> None:
        self._leaving -= 1
        try:
            self._one_left.clear()
            await self._one_left.wait()
        finally:
            self._leaving += 1

    def _given_up(self, error: DiskFullError) -> TransientError:
        if (free := self._disk().free) >= _ORDINARY_BYTES:
            return TransientError(
                f"{error}: {_FOLDER} has {free} bytes left: make more room for this document"
            )
        self._needed_bytes = max(self._needed_bytes, error.needed_bytes)
        return error

    async def check(self) -> None:
        """Raise MachineError where nothing can be written, or while there is less room than was missing."""
        if self._leaving:
            # Whoever comes now and finds no room waits for those.
            return
        free = self._disk().free
        if free < self._needed_bytes:
            raise DiskFullError(
                f"{_FOLDER} has {free} bytes left and {self._needed_bytes} are needed: make room",
                self._needed_bytes,
            )
        await asyncio.to_thread(self._write_probe)
        self._needed_bytes = _RESERVE_BYTES

    def _write_probe(self) -> None:
        """Find out what no figure tells: a read-only disk, a quota, no inodes left."""
        probe = self._folder / "probe"
        try:
            probe.write_bytes(b"probe")
            probe.unlink()
        except OSError as error:
            raise HostError(f"{_FOLDER} cannot be written to: {error}") from error

    def check_fits(self, size_bytes: int) -> None:
        """Raise NoRoomError where a file of this size would not fit now."""
        if (free := self._disk().free) < size_bytes:
            raise DiskFullError(f"{size_bytes} bytes are needed and {free} are left", size_bytes)

    def _disk(self) -> Usage:
        try:
            return self._usage(self._folder)
        except OSError as error:
            raise HostError(f"{_FOLDER}: {error}") from error
