"""The folder to work in, beside those of other consumers and beside processes that are in the way."""

import asyncio
import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path

import pytest

from consumer.domain.errors import HostError
from consumer.service.disk_space import DiskSpace
from consumer.service.work_dir import work_folder


def names(parent: Path) -> set[str]:
    return {path.name for path in parent.iterdir()}


@contextmanager
def held(path: Path) -> Iterator[None]:
    """Let something else hold the lock of a file or folder."""
    descriptor = os.open(path, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    try:
        yield
    finally:
        os.close(descriptor)


async def test_the_folder_of_a_killed_consumer_is_removed_and_a_live_one_stays(tmp_path: Path) -> None:
    killed = tmp_path / "bucket-ocr-work-killed"
    killed.mkdir()
    (killed / "page.bgr").touch()
    (tmp_path / "bucket-ocr-foreign").mkdir()

    async with work_folder(tmp_path) as living, work_folder(tmp_path) as ours:
        assert living.path != ours.path
        assert names(tmp_path) == {living.path.name, ours.path.name, "bucket-ocr-foreign"}

    assert names(tmp_path) == {"bucket-ocr-foreign"}


async def test_a_process_that_locks_the_parent_is_not_in_the_way(tmp_path: Path) -> None:
    with held(tmp_path):
        async with work_folder(tmp_path) as ours:
            assert ours.path.is_dir()


async def test_a_lock_that_is_never_free_is_an_error_that_names_it_and_a_stop_does_not_wait(
    tmp_path: Path,
) -> None:
    lock = tmp_path / f"bucket-ocr-work-{os.getuid()}.lock"
    lock.touch()
    with held(lock):
        stopped = asyncio.ensure_future(work_folder(tmp_path).__aenter__())
        await asyncio.sleep(1)
        stopped.cancel()
        with pytest.raises(asyncio.CancelledError):
            await stopped
        with pytest.raises(OSError, match=f"{lock} locked for 10 s"):
            await work_folder(tmp_path).__aenter__()


async def test_a_work_folder_that_was_removed_is_made_again_and_stays_ours(tmp_path: Path) -> None:
    async with work_folder(tmp_path) as ours:
        disk_space = DiskSpace(ours.path, restore=ours.restore)
        shutil.rmtree(ours.path)
        await disk_space.check()
        assert ours.path.is_dir()
        async with work_folder(tmp_path):
            # It is locked again: the other consumer takes it for no remains.
            assert ours.path.is_dir()
    assert names(tmp_path) == set()


async def test_a_work_folder_that_cannot_be_made_again_is_a_failure_of_the_host(tmp_path: Path) -> None:
    async with work_folder(tmp_path / ".") as ours:
        shutil.rmtree(tmp_path)
        tmp_path.touch()
        with pytest.raises(HostError, match="cannot be made again"):
            await DiskSpace(ours.path, restore=ours.restore).check()
        tmp_path.unlink()


async def test_many_that_start_at_once_have_a_folder_each_and_leave_no_lock(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        entering = (stack.enter_async_context(work_folder(tmp_path)) for _ in range(10))
        made = await asyncio.gather(*entering)
        assert names(tmp_path) == {each.path.name for each in made}
        assert len(names(tmp_path)) == 10
