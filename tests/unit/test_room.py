"""Whoever needs room waits for what leaves by itself; where nothing will, the machine is at fault."""

import asyncio
import shutil
from pathlib import Path

import pytest

from consumer.domain.errors import NoRoomError, PassingError
from consumer.room import Room

DEADLINE_S = 10.0


class Disk:
    """A disk that is full until somebody makes room."""

    def __init__(self) -> None:
        self.full = True
        self.tries = asyncio.Queue[None]()

    async def write(self) -> str:
        self.tries.put_nowait(None)
        if self.full:
            raise NoRoomError("full", 1000)
        return "written"


def ignored() -> None:
    pass


@pytest.fixture
def room(tmp_path: Path) -> Room:
    return Room(tmp_path)


async def test_a_file_is_made_as_soon_as_another_document_has_left(room: Room) -> None:
    disk = Disk()
    steps: list[None] = []
    async with asyncio.timeout(DEADLINE_S), asyncio.TaskGroup() as group:
        with room.used():
            with room.used():
                made = group.create_task(room.make(disk.write, lambda: steps.append(None)))
                await disk.tries.get()
                assert not made.done()
                disk.full = False
            assert await made == "written"
    assert steps == [None]


async def test_a_page_that_waits_to_be_read_makes_room_too(room: Room) -> None:
    disk = Disk()
    async with asyncio.timeout(DEADLINE_S), asyncio.TaskGroup() as group:
        with room.used():
            room.enter()
            made = group.create_task(room.make(disk.write, ignored))
            await disk.tries.get()
            disk.full = False
            room.leave()
            assert await made == "written"


async def test_who_is_alone_on_a_full_disk_does_not_wait_for_ever(room: Room) -> None:
    with room.used(), pytest.raises(NoRoomError):
        await room.make(Disk().write, ignored)


async def test_of_documents_that_wait_for_each_other_one_gives_up_and_the_other_goes_on(room: Room) -> None:
    disk = Disk()

    async def work() -> str:
        with room.used():
            try:
                return await room.make(disk.write, ignored)
            except NoRoomError:
                disk.full = False
                raise

    async with asyncio.timeout(DEADLINE_S):
        ended = await asyncio.gather(work(), work(), work(), return_exceptions=True)
    assert sorted(map(str, ended)) == ["full", "written", "written"]


async def test_work_is_refused_until_there_is_the_room_that_was_missing(room: Room, tmp_path: Path) -> None:
    await room.check()
    free = shutil.disk_usage(tmp_path).free

    async def attempt() -> None:
        raise NoRoomError("full", free + 2**30)

    with room.used(), pytest.raises(NoRoomError):
        await room.make(attempt, ignored)
    with pytest.raises(NoRoomError, match="BUCKET_OCR_WORK_DIR has"):
        await room.check()


async def test_a_file_larger_than_the_disk_is_not_the_machines_failure(room: Room, tmp_path: Path) -> None:
    total = shutil.disk_usage(tmp_path).total

    async def attempt() -> None:
        raise NoRoomError("full", total + 1)

    with room.used(), pytest.raises(PassingError, match="in all: give it more") as caught:
        await room.make(attempt, ignored)
    assert not isinstance(caught.value, NoRoomError)
    await room.check()


async def test_who_was_in_the_way_of_another_that_failed_at_the_same_time_tries_again(room: Room) -> None:
    """Two files are begun at once, fill the disk together, and are removed again; either alone fits."""
    at_work = 0

    async def write() -> str:
        nonlocal at_work
        at_work += 1
        try:
            await asyncio.sleep(0)
            if at_work > 1:
                await asyncio.sleep(0)
                raise NoRoomError("full", 1000)
            return "written"
        finally:
            at_work -= 1

    async def work() -> str:
        with room.used():
            return await room.make(write, ignored)

    async with asyncio.timeout(DEADLINE_S):
        assert list(await asyncio.gather(work(), work())) == ["written", "written"]
