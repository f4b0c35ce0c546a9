"""Whoever needs room waits for what leaves by itself; where nothing will, the machine is at fault."""

import asyncio
from dataclasses import dataclass
from pathlib import Path

import pytest

from consumer.domain.errors import DiskFullError, HostError, TransientError
from consumer.service.disk_space import DiskSpace

DEADLINE_S = 10.0


class Disk:
    """A disk that is full until somebody makes room."""

    def __init__(self) -> None:
        self.full = True
        self.tries = asyncio.Queue[None]()

    async def write(self) -> str:
        self.tries.put_nowait(None)
        if self.full:
            raise DiskFullError("full", 1000)
        return "written"


@dataclass
class Figures:
    """What the disk says of itself."""

    total: int = 100 * 2**20
    free: int = 2 * 2**20


@pytest.fixture
def figures() -> Figures:
    return Figures()


@pytest.fixture
def disk_space(tmp_path: Path, figures: Figures) -> DiskSpace:
    return DiskSpace(tmp_path, lambda _: figures)


async def test_a_file_is_made_as_soon_as_another_document_has_left(disk_space: DiskSpace) -> None:
    disk = Disk()
    async with asyncio.timeout(DEADLINE_S), asyncio.TaskGroup() as group:
        with disk_space.held():
            with disk_space.held():
                made = group.create_task(disk_space.run_when_free(disk.write))
                await disk.tries.get()
                assert not made.done()
                disk.full = False
            assert await made == "written"


async def test_a_page_that_waits_to_be_read_makes_room_too(disk_space: DiskSpace) -> None:
    disk = Disk()
    async with asyncio.timeout(DEADLINE_S), asyncio.TaskGroup() as group:
        with disk_space.held():
            disk_space.hold()
            made = group.create_task(disk_space.run_when_free(disk.write))
            await disk.tries.get()
            disk.full = False
            disk_space.release()
            assert await made == "written"


async def test_who_is_alone_on_a_full_disk_does_not_wait_for_ever(disk_space: DiskSpace) -> None:
    with disk_space.held(), pytest.raises(DiskFullError):
        await disk_space.run_when_free(Disk().write)


async def test_of_documents_that_wait_for_each_other_one_gives_up_and_the_other_goes_on(
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


async def write_exhausted_result(disk_space: DiskSpace, needed_bytes: int) -> TransientError:
    async def attempt() -> None:
        raise DiskFullError("full", needed_bytes)

    with disk_space.held(), pytest.raises(TransientError) as caught:
        await disk_space.run_when_free(attempt)
    return caught.value


async def test_work_is_refused_until_there_is_the_room_that_was_missing(
    disk_space: DiskSpace, figures: Figures
) -> None:
    await disk_space.check()
    assert isinstance(await write_exhausted_result(disk_space, 3 * 2**20), DiskFullError)
    with pytest.raises(DiskFullError, match="BUCKET_OCR_WORK_DIR has"):
        await disk_space.check()
    figures.free = 3 * 2**20
    await disk_space.check()
    figures.free = 2 * 2**20
    await disk_space.check()


async def test_a_file_that_does_not_fit_where_others_would_is_its_documents_affair(
    disk_space: DiskSpace, figures: Figures
) -> None:
    figures.free = 40 * 2**20
    error = await write_exhausted_result(disk_space, 50 * 2**20)
    assert not isinstance(error, DiskFullError)
    assert "make more room for this document" in str(error)
    await disk_space.check()


async def test_a_folder_that_cannot_be_written_to_is_the_machines_failure(tmp_path: Path) -> None:
    disk_space = DiskSpace(tmp_path)
    # Whoever asks is root: permissions alone would not do.
    (tmp_path / "probe").mkdir()
    with pytest.raises(HostError, match="cannot be written to"):
        await disk_space.check()


async def test_work_is_taken_while_others_will_make_room(disk_space: DiskSpace, figures: Figures) -> None:
    figures.free = 0
    with disk_space.held():
        await disk_space.check()


async def test_a_file_larger_than_the_disk_is_not_the_machines_failure(
    disk_space: DiskSpace, figures: Figures
) -> None:
    error = await write_exhausted_result(disk_space, figures.total + 1)
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
async def test_documents_that_are_in_each_others_way_are_made_one_after_the_other(
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


async def test_a_work_folder_that_is_gone_is_the_machines_failure(tmp_path: Path) -> None:
    with pytest.raises(HostError, match="BUCKET_OCR_WORK_DIR"):
        await DiskSpace(tmp_path / "gone").check()
