"""Room in the work folder: who waits for it, and who will make some.

A disk that is full of our own pages and downloads is no failure: those leave by themselves, and whoever
needs their room waits. It is one when nothing of ours is left to leave.
"""

import asyncio
import contextlib
import shutil
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Final, TypeVar

from consumer.domain.errors import NoRoomError, PassingError
from consumer.ports import Progress

_Made = TypeVar("_Made")

#: Without so much room no work is begun.
_RESERVE_BYTES: Final = 1024 * 1024


class Room:
    """The room in one folder, shared by all documents in work."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        #: Documents and pages that will make room without anybody else having to.
        self._leaving = 0
        self._left = asyncio.Event()
        #: How often room was made: whoever failed while it was tries again before giving up.
        self._times_made = 0
        self._needed_bytes = _RESERVE_BYTES

    @contextlib.contextmanager
    def used(self) -> Iterator[None]:
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
        self._times_made += 1
        self._left.set()

    async def make(self, attempt: Callable[[], Awaitable[_Made]], progress: Progress) -> _Made:
        """Make a file of a document that has entered, waiting for others to leave where there is no room.

        `progress` is called when one has. Raises NoRoomError where none will, PassingError where the file
        would never fit.
        """
        while True:
            made_before = self._times_made
            try:
                return await attempt()
            except NoRoomError as error:
                total = shutil.disk_usage(self._folder).total
                if error.needed_bytes >= total:
                    message = f"{error}: BUCKET_OCR_WORK_DIR has {total} bytes in all: give it more"
                    raise PassingError(message) from error
                nothing_left = self._times_made == made_before
                # What this attempt had written is gone again.
                self._times_made += 1
                if nothing_left:
                    await self._other_left(error)
                progress()

    async def _other_left(self, error: NoRoomError) -> None:
        self._leaving -= 1
        try:
            if not self._leaving:
                self._needed_bytes = max(self._needed_bytes, error.needed_bytes)
                raise error
            self._left.clear()
            await self._left.wait()
        finally:
            self._leaving += 1

    async def check(self) -> None:
        """Raise NoRoomError while there is less room than was missing the last time."""
        free = shutil.disk_usage(self._folder).free
        if free < self._needed_bytes:
            raise NoRoomError(
                f"BUCKET_OCR_WORK_DIR has {free} bytes left and {self._needed_bytes} are needed: make room",
                self._needed_bytes,
            )
        self._needed_bytes = _RESERVE_BYTES
