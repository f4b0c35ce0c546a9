"""Bodies in memory and on disk: what was written is read, wherever it is, also while the disk is full."""

import contextlib
import errno
import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumer.domain.body import BytesBody, JoinedBody, chunks
from consumer.domain.errors import DiskFullError, HostError
from consumer.service.spool import FileSpool

MIB = 1024 * 1024
NO_FOLDER = Path("/nowhere")


class FullDisk(io.FileIO):
    """A file of which a full disk takes `space` bytes; `error` says why no more."""

    space = 0
    error = errno.ENOSPC

    def write(self, data: object) -> int:
        taken = bytes(data)[: self.space]  # type: ignore[call-overload]
        if not taken:
            raise OSError(self.error, os.strerror(self.error))
        self.space -= len(taken)
        return super().write(taken)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[FullDisk]:
    with FullDisk(tmp_path / "file", "w+b") as disk:
        yield disk


@pytest.fixture
def spool(disk: FullDisk) -> Iterator[FileSpool]:
    def opened(_: Path) -> IO[bytes]:
        return disk

    with contextlib.closing(FileSpool(NO_FOLDER, opened)) as spool:
        yield spool


def test_few_bytes_need_no_disk() -> None:
    spool = FileSpool(NO_FOLDER)
    spool.write(b"x" * MIB)
    assert b"".join(chunks(spool)) == b"x" * MIB


def test_many_bytes_are_in_a_file_without_a_name(tmp_path: Path) -> None:
    data = os.urandom(3 * MIB)
    with contextlib.closing(FileSpool(tmp_path)) as spool:
        before = open_files()
        for start in range(0, len(data), 100_000):
            spool.write(data[start : start + 100_000])
        assert spool.size_bytes == len(data)
        assert b"".join(chunks(spool)) == data
        assert len(open_files()) == len(before) + 1
        assert not list(tmp_path.iterdir())
    assert open_files() == before


def open_files() -> list[str]:
    return sorted(path.name for path in Path("/proc/self/fd").iterdir())


def test_what_a_full_disk_does_not_take_is_kept_and_written_later(spool: FileSpool, disk: FullDisk) -> None:
    data = os.urandom(4 * MIB)
    disk.space = 100_000
    spool.write(data[: 2 * MIB])
    assert b"".join(chunks(spool)) == data[: 2 * MIB]
    disk.space = 10 * MIB
    spool.write(data[2 * MIB :])
    assert disk.tell() == len(data)
    assert b"".join(chunks(spool)) == data


def test_a_disk_that_stays_full_does_not_fill_the_memory(spool: FileSpool) -> None:
    for _ in range(32):
        spool.write(b"x" * MIB)
    with pytest.raises(DiskFullError) as raised:
        spool.write(b"x" * MIB)
    assert raised.value.needed_bytes < 40 * MIB


def test_a_disk_that_fails_is_a_failure_of_the_host(spool: FileSpool, disk: FullDisk) -> None:
    disk.error = errno.EIO
    with pytest.raises(HostError, match="cannot be written") as raised:
        spool.write(b"x" * 2 * MIB)
    assert not isinstance(raised.value, DiskFullError)


@given(st.lists(st.binary(max_size=9)), st.integers(1, 12))
def test_joined_bodies_are_read_as_one(parts: list[bytes], size_bytes: int) -> None:
    body = JoinedBody([BytesBody(part) for part in parts])
    whole = b"".join(parts)
    assert body.size_bytes == len(whole)
    assert b"".join(chunks(body, size_bytes)) == whole
    for offset in range(len(whole) + 2):
        piece = body.read(offset, size_bytes)
        assert whole[offset:].startswith(piece)
        assert bool(piece) == (offset < len(whole))
