"""Files of this machine that are to be uploaded."""

import fnmatch
import glob
import os
import stat
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import IO, NamedTuple, Self

from consumer.domain import formats, keys
from consumer.service.source_cache import sniffed


class ChangedError(Exception):
    """A file was written while it was read."""


class LocalFile(NamedTuple):
    """A file, and its key below the target."""

    path: Path
    name: str


@dataclass
class FoundFiles:
    """What is to be uploaded. `skipped`: how many files of folders and patterns are not, by the reason."""

    files: list[LocalFile] = field(default_factory=list)
    skipped: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)

    def add(self, source: str) -> bool:
        """Add a file, the documents of a folder, or those that match a pattern; returns whether there is one.

        A file that is named is added whatever it holds.
        """
        path = Path(source)
        if path.is_dir():
            self._walk(path, None)
        elif path.exists() and not path.is_file():
            # It can be read once only, and has no length.
            self.problems.append(f"{path} is a pipe or a device: give it to `bucket-ocr submit -`")
        elif os.path.lexists(path):
            self.files.append(LocalFile(path, path.name))
        elif glob.has_magic(source):
            parts = PurePath(source).parts
            fixed = next(number for number, part in enumerate(parts) if glob.has_magic(part))
            before = len(self.files)
            self._walk(Path(*parts[:fixed]), parts[fixed:])
            return len(self.files) > before
        else:
            return False
        return True

    def _walk(self, base: Path, pattern: tuple[str, ...] | None) -> None:
        """Add the documents below a folder, if they match; in the order of their names.

        Links are followed, but not to a folder that the way to them has passed.
        """
        waiting: list[tuple[Path, tuple[tuple[int, int], ...]]] = [(base, (_identity(base),))]
        while waiting:
            folder, passed = waiting.pop()
            folders = []
            for path, status in self._entries(folder, base, pattern):
                relative = path.relative_to(base)
                if stat.S_ISDIR(status.st_mode):
                    if (identity := (status.st_dev, status.st_ino)) in passed:
                        self.skipped["links to a folder above"] += 1
                    elif pattern is None or _leads(relative.parts, pattern):
                        folders.append((path, (*passed, identity)))
                elif pattern is None or _matches(relative.parts, pattern):
                    self._take(LocalFile(path, relative.as_posix()), status)
            waiting.extend(reversed(folders))

    def _entries(
        self, folder: Path, base: Path, pattern: tuple[str, ...] | None
    ) -> Iterator[tuple[Path, os.stat_result]]:
        """Yield what a folder has, may match and is not hidden, by name; links as what they lead to."""
        try:
            paths = sorted(folder.iterdir())
        except OSError as error:
            self.problems.append(f"{folder}: {error.strerror}")
            return
        for path in paths:
            parts = path.relative_to(base).parts
            if pattern is not None and not (_matches(parts, pattern) or _leads(parts, pattern)):
                continue
            if path.name.startswith("."):
                self.skipped["hidden"] += 1
                continue
            try:
                yield path, path.stat()
            except OSError:
                self.skipped["broken links"] += 1

    def _take(self, file: LocalFile, status: os.stat_result) -> None:
        if not stat.S_ISREG(status.st_mode):
            self.skipped["no regular files"] += 1
        elif keys.is_own_output(file.name):
            self.skipped["outputs"] += 1
        else:
            try:
                if formats.has_source_extension(file.name) or sniffed(file.path) is not None:
                    self.files.append(file)
                else:
                    self.skipped["of other types"] += 1
            except OSError as error:
                self.problems.append(f"{file.path}: {error.strerror}")


def _identity(folder: Path) -> tuple[int, int]:
    try:
        status = folder.stat()
    except OSError:
        return 0, 0
    return status.st_dev, status.st_ino


def _matches(parts: tuple[str, ...], pattern: tuple[str, ...]) -> bool:
    if not pattern:
        return not parts
    if pattern[0] == "**":
        return any(_matches(parts[skipped:], pattern[1:]) for skipped in range(len(parts) + 1))
    return bool(parts) and fnmatch.fnmatchcase(parts[0], pattern[0]) and _matches(parts[1:], pattern[1:])


def _leads(parts: tuple[str, ...], pattern: tuple[str, ...]) -> bool:
    """Whether something below a folder may match."""
    if not parts or not pattern or pattern[0] == "**":
        return bool(pattern)
    return fnmatch.fnmatchcase(parts[0], pattern[0]) and _leads(parts[1:], pattern[1:])


class FileBody:
    """The bytes of an open file, as it was when this was made; see `domain.body.Body`."""

    def __init__(self, file: IO[bytes], name: str) -> None:
        self._file = file
        self._name = name
        self._status = os.fstat(file.fileno())

    @classmethod
    @contextmanager
    def opened(cls, path: Path) -> Iterator[Self]:
        """Open a file; raises OSError."""
        with path.open("rb") as file:
            yield cls(file, str(path))

    @property
    def size_bytes(self) -> int:
        """How many bytes there were."""
        return self._status.st_size

    def read(self, offset: int, size_bytes: int) -> bytes:
        """Return bytes from there; raises ChangedError if the file is shorter by now."""
        data = os.pread(self._file.fileno(), max(min(size_bytes, self.size_bytes - offset), 0), offset)
        if not data and offset < self.size_bytes:
            raise self._changed()
        return data

    def require_unchanged(self) -> None:
        """Raise ChangedError if the file was written meanwhile."""
        status = os.fstat(self._file.fileno())
        if (status.st_size, status.st_mtime_ns) != (self._status.st_size, self._status.st_mtime_ns):
            raise self._changed()

    def _changed(self) -> ChangedError:
        return ChangedError(f"{self._name} was written while it was uploaded: submit it when it is complete")
