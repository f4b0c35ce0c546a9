"""Disk space: a document waits for space that others will free; if none will, the host has failed."""

import asyncio
from dataclasses import dataclass
from pathlib import Path

import pytest

from consumer.domain.errors import DiskFullError, HostError, TransientError
from consumer.service.disk_space import DiskSpace

#: In virtual time.
DEADLINE_S = 60.0


class Disk:
    """A disk that is full until a test frees space."""

    def __init__(self) -> None:
        self.full = True
        self.tries = asyncio.Queue[None]()

    async def write(self) -> str:
        self.tries.put_nowait(None)
        if self.full:
            raise DiskFullError("full", 1000)
        return "written"


@dataclass
class FakeUsage:
    """The disk's own figures."""

    total: int = 100 * 2**20
    free: int = 2 * 2**20


@pytest.fixture
def usage() -> FakeUsage:
    return FakeUsage()


@pytest.fixture
def disk_space(tmp_path: Path, usage: FakeUsage) -> DiskSpace:
    return DiskSpace(tmp_path, lambda _: (usage.total, usage.total - usage.free, usage.free))


async def test_a_file_is_made_as_soon_as_another_document_has_freed_its_space(disk_space: DiskSpace) -> None:
    disk = Disk()
    async with asyncio.timeout(DEADLINE_S), asyncio.TaskGroup() as group:
        with disk_space.held():
            with disk_space.held():
                made = group.create_task(disk_space.run_when_free(disk.write))
                await disk.tries.get()
                assert not made.done()
                disk.full = False
            assert await made == "written"


async def test_a_page_that_waits_to_be_read_will_free_space_too(disk_space: DiskSpace) -> None:
    disk = Disk()
    async with asyncio.timeout(DEADLINE_S), asyncio.TaskGroup() as group:
        with disk_space.held():
            disk_space.hold()
            made = group.create_task(disk_space.run_when_free(disk.write))
            await disk.tries.get()
            disk.full = False
            disk_space.release()
            assert await made == "written"


async def test_a_document_alone_on_a_full_disk_does_not_wait(disk_space: DiskSpace) -> None:
    with disk_space.held(), pytest.raises(DiskFullError):
        await disk_space.run_when_free(Disk().write)


async def test_of_documents_that_wait_for_each_other_one_fails_and_the_others_go_on(
    disk_space: DiskSpace,
) -> None:
    disk = Disk()

    async def work() -> str:
        with disk_space.held():
            try:
                return await disk_space.run_when_free(disk.write)
            except DiskFullError:
                disk.full = False
                raise

    async with asyncio.timeout(DEADLINE_S):
        ended = await asyncio.gather(work(), work(), work(), return_exceptions=True)
    assert sorted(map(str, ended)) == ["full", "written", "written"]


async def failed_attempt(disk_space: DiskSpace, needed_bytes: int) -> TransientError:
    async def attempt() -> None:
        raise DiskFullError("full", needed_bytes)

    with disk_space.held(), pytest.raises(TransientError) as caught:
        await disk_space.run_when_free(attempt)
    return caught.value


async def test_the_check_fails_until_there_is_the_space_that_was_missing(
    disk_space: DiskSpace, usage: FakeUsage
) -> None:
    await disk_space.check()
    assert isinstance(await failed_attempt(disk_space, 3 * 2**20), DiskFullError)
    with pytest.raises(DiskFullError, match="BUCKET_OCR_WORK_DIR has"):
        await disk_space.check()
    usage.free = 3 * 2**20
    await disk_space.check()
    usage.free = 2 * 2**20
    await disk_space.check()


async def test_a_file_that_does_not_fit_while_others_would_fails_its_document_alone(
    disk_space: DiskSpace, usage: FakeUsage
) -> None:
    usage.free = 40 * 2**20
    error = await failed_attempt(disk_space, 50 * 2**20)
    assert not isinstance(error, DiskFullError)
    assert "free some space for this document" in str(error)
    await disk_space.check()


async def test_a_folder_that_cannot_be_written_to_is_a_failure_of_the_host(tmp_path: Path) -> None:
    disk_space = DiskSpace(tmp_path)
    # Root could write in spite of permissions.
    (tmp_path / "probe").mkdir()
    with pytest.raises(HostError, match="cannot be written to"):
        await disk_space.check()


async def test_the_check_passes_while_others_will_free_space(disk_space: DiskSpace, usage: FakeUsage) -> None:
    usage.free = 0
    with disk_space.held():
        await disk_space.check()


async def test_a_file_larger_than_the_disk_is_no_failure_of_the_host(
    disk_space: DiskSpace, usage: FakeUsage
) -> None:
    error = await failed_attempt(disk_space, usage.total + 1)
    assert not isinstance(error, DiskFullError)
    assert "in all: give it more" in str(error)
    await disk_space.check()


class SmallDisk:
    """A disk for so many files at once; what does not fit is noticed after a while, and removed again."""

    def __init__(self, files: int) -> None:
        self.files = files
        self.begun = 0
        self.tries = 0

    async def write(self) -> None:
        self.begun += 1
        self.tries += 1
        await asyncio.sleep(0)
        if self.begun > self.files:
            await asyncio.sleep(0)
            self.begun -= 1
            raise DiskFullError("full", 1000)


@pytest.mark.parametrize("documents", [1, 2, 3, 8])
async def test_documents_in_each_others_way_are_made_one_after_the_other(
    disk_space: DiskSpace, documents: int
) -> None:
    disk = SmallDisk(files=1)

    async def work() -> None:
        with disk_space.held():
            await disk_space.run_when_free(disk.write)
            await asyncio.sleep(0)
            disk.begun -= 1

    async with asyncio.timeout(DEADLINE_S):
        await asyncio.gather(*(work() for _ in range(documents)))
    assert disk.tries <= documents**2 + documents


@pytest.mark.parametrize("documents", [1, 2, 3, 8])
async def test_documents_on_a_disk_that_stays_full_all_end(disk_space: DiskSpace, documents: int) -> None:
    disk = SmallDisk(files=0)

    async def work() -> None:
        with disk_space.held():
            await disk_space.run_when_free(disk.write)

    async with asyncio.timeout(DEADLINE_S):
        ended = await asyncio.gather(*(work() for _ in range(documents)), return_exceptions=True)
    assert {type(error) for error in ended} == {DiskFullError}
    assert disk.tries <= documents**2 + documents


async def test_a_missing_work_folder_is_a_failure_of_the_host(tmp_path: Path) -> None:
    with pytest.raises(HostError, match="BUCKET_OCR_WORK_DIR"):
        await DiskSpace(tmp_path / "gone").check()
