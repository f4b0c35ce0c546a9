"""Downloaded sources. Jobs for the same object share one file, and the parts of a long document follow soon.

So the file of a long document is kept when its last user is gone, until another file needs the space.
"""

import asyncio
import contextlib
import os
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from consumer.clock import Watchdog
from consumer.domain import formats
from consumer.domain.errors import Code, DiskFullError, DocumentError
from consumer.domain.result import Source
from consumer.ports import ObjectStore
from consumer.service.attempt import Attempt
from consumer.service.disk_space import DiskSpace

#: Files without a user take at most this share of the disk.
_IDLE_SHARE: Final = 0.25


@dataclass(eq=False, slots=True)
class _Copy:
    """A source on the disk. `watchdog` sees its download; `keep`: others will want it."""

    source: Source
    path: Path
    watchdog: Watchdog
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    users: int = 0
    keep: bool = False
    is_complete: bool = False


class SourceCache:
    """The downloads of this consumer, in `folder`; larger sources than `max_file_bytes` are refused."""

    def __init__(
        self, store: ObjectStore, disk_space: DiskSpace, folder: Path, *, max_file_bytes: int
    ) -> None:
        self._store = store
        self._disk_space = disk_space
        self._folder = folder
        self._max_file_bytes = max_file_bytes
        #: Those without a user in the order in which they lost the last one.
        self._copies: dict[tuple[str, str, str, str | None], _Copy] = {}
        disk_space.reclaim = self._remove_idle

    @asynccontextmanager
    async def opened(self, source: Source, attempt: Attempt) -> AsyncIterator[Path]:
        """Give a file with the bytes of this very object, for as long as the context lasts.

        Raises DocumentError, SourceChangedError, SourceGoneError and TransientError.
        """
        self._check_size(source)
        path = self._folder / f"{uuid.uuid4().hex}.source"
        new = _Copy(source, path, Watchdog(attempt.clock, attempt.watchdog))
        copy = self._copies.setdefault(_name(source), new)
        copy.users += 1
        holds = False
        try:
            # A download that waits for its turn holds no space: the one before may wait for some.
            with attempt.watchdog.following(copy.watchdog):
                async with copy.lock:
                    self._disk_space.hold()
                    holds = True
                    if not copy.is_complete:
                        await self._disk_space.run_when_free(lambda: self._download(copy, attempt))
                        copy.is_complete = True
            yield copy.path
        finally:
            self._leave(copy)
            if holds:
                self._disk_space.release()

    def keep(self, source: Source) -> None:
        """Keep the file, which is open, for others who will want it soon."""
        self._copies[_name(source)].keep = True

    def _check_size(self, source: Source) -> None:
        if source.size_bytes == 0:
            raise DocumentError(Code.EMPTY_FILE, "the file has no bytes: upload it again")
        if source.size_bytes > self._max_file_bytes:
            raise DocumentError(
                Code.TOO_LARGE,
                f"the file has {source.size_bytes} bytes and BUCKET_OCR_MAX_FILE_BYTES "
                f"allows {self._max_file_bytes}: raise it or split the document",
            )

    async def _download(self, copy: _Copy, attempt: Attempt) -> None:
        copy.watchdog.mark()
        self._disk_space.check_fits(copy.source.size_bytes)
        try:
            with attempt.stage("download"):
                await self._store.download(copy.source, copy.path, copy.watchdog)
        except DiskFullError:
            # A document that waits for disk space must not take any.
            _remove(copy.path)
            raise

    def _leave(self, copy: _Copy) -> None:
        copy.users -= 1
        if copy.users:
            return None
        del self._copies[_name(copy.source)]
        if not (copy.keep and copy.is_complete):
            return _remove(copy.path)
        self._copies[_name(copy.source)] = copy
        while (
            sum(idle.source.size_bytes for idle in self._idle()) > _IDLE_SHARE * self._disk_space.total_bytes
        ):
            self._remove_idle()
        return None

    def _idle(self) -> list[_Copy]:
        return [copy for copy in self._copies.values() if not copy.users]

    def _remove_idle(self) -> bool:
        """Remove the file that has been without a user for longest; returns whether there was one."""
        for copy in self._idle():
            del self._copies[_name(copy.source)]
            _remove(copy.path)
            return True
        return False


def _name(source: Source) -> tuple[str, str, str, str | None]:
    return source.bucket, source.key, source.etag, source.version_id


def _remove(path: Path) -> None:
    with contextlib.suppress(FileNotFoundError):
        # A renderer may keep the file open for a while; truncating frees its space now.
        os.truncate(path, 0)
        path.unlink()


def sniffed(path: Path) -> formats.Format | None:
    """Tell the format of a file by its first bytes; None if it is none of ours."""
    with path.open("rb") as file:
        return formats.sniff(file.read(formats.SNIFF_BYTES))
