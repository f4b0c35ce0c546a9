"""Spools: bytes that are kept in memory while they are few, and in a file without a name beyond that."""

import contextlib
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import IO, Final

from consumer.domain.errors import DISK_FULL_ERRNOS, DiskFullError, HostError

#: More is written to disk.
_MEMORY_BYTES: Final = 1024 * 1024

#: Most that is kept in memory while the disk is full. Few pages come then: none is rendered.
_MOST_MEMORY_BYTES: Final = 32 * _MEMORY_BYTES


def _anonymous_file(folder: Path) -> IO[bytes]:
    return tempfile.TemporaryFile(dir=folder, buffering=0)


class FileSpool:
    """A `body.Spool` whose file is in `folder`; the file goes with the process, however that ends.

    `open_file` makes a file without a buffer, so that a full disk is noticed at once. Bytes that a full disk
    does not take stay in memory and are offered again with the next ones.
    """

    def __init__(self, folder: Path, open_file: Callable[[Path], IO[bytes]] = _anonymous_file) -> None:
        self._folder = folder
        self._open_file = open_file
        self._file: IO[bytes] | None = None
        self._written = 0
        #: What comes after the bytes in the file.
        self._memory = bytearray()

    @property
    def size_bytes(self) -> int:
        """How many bytes there are."""
        return self._written + len(self._memory)

    def write(self, data: bytes) -> None:
        """Append bytes; raises DiskFullError if many are in memory and the disk has no space, or HostError.

        A file takes them at the speed of the page cache, so this is called on the event loop.
        """
        self._memory += data
        if len(self._memory) <= _MEMORY_BYTES:
            return
        try:
            self._flush()
        except OSError as error:
            message = f"pages that were read cannot be written: {error}"
            if error.errno not in DISK_FULL_ERRNOS:
                raise HostError(message) from error
            if len(self._memory) > _MOST_MEMORY_BYTES:
                raise DiskFullError(message, len(self._memory)) from error

    def _flush(self) -> None:
        if self._file is None:
            self._file = self._open_file(self._folder)
        while self._memory:
            # It may take a part only.
            count = self._file.write(self._memory)
            self._written += count
            del self._memory[:count]

    def read(self, offset: int, size_bytes: int) -> bytes:
        """Return bytes from there."""
        if self._file is not None and offset < self._written:
            return os.pread(self._file.fileno(), min(size_bytes, self._written - offset), offset)
        start = offset - self._written
        return bytes(self._memory[start : start + size_bytes])

    def close(self) -> None:
        """Give the memory and the disk space back."""
        self._memory = bytearray()
        if self._file is not None:
            with contextlib.suppress(OSError):
                self._file.close()


class FileBody:
    """A file that does not change, or a part of it, as a `body.Body`. It is opened for each read."""

    def __init__(self, path: Path, start: int = 0, size_bytes: int | None = None) -> None:
        self._path = path
        self._start = start
        self.size_bytes = path.stat().st_size if size_bytes is None else size_bytes

    def read(self, offset: int, size_bytes: int) -> bytes:
        """Return bytes from there."""
        descriptor = os.open(self._path, os.O_RDONLY)
        try:
            return os.pread(descriptor, min(size_bytes, self.size_bytes - offset), self._start + offset)
        finally:
            os.close(descriptor)
