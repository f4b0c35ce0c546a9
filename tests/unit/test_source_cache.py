"""Downloaded sources: shared, kept for the parts that follow, and given up when others need the space."""

import asyncio
from pathlib import Path

import pytest

from consumer.clock import Watchdog
from consumer.domain.errors import DiskFullError, ServiceError
from consumer.domain.result import Source
from consumer.metrics import Metrics
from consumer.service.attempt import Attempt
from consumer.service.disk_space import DiskSpace
from consumer.service.source_cache import SourceCache
from tests.fakes.cloud import Cloud
from tests.fakes.network import Fault, Faults, Network
from tests.fakes.ports import FakeStore
from tests.fakes.virtual_time import running_loop

DISK_BYTES = 1000


class World:
    """A bucket, a disk of 1,000 bytes, and the cache in between."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.network = Network(Cloud(running_loop().clock), Faults())
        self.disk_space = DiskSpace(folder, self.usage)
        self.cache = SourceCache(FakeStore(self.network), self.disk_space, folder, max_file_bytes=10_000)

    def usage(self, _: Path) -> tuple[int, int, int]:
        used = sum(path.stat().st_size for path in self.folder.iterdir())
        return DISK_BYTES, used, DISK_BYTES - used

    def upload(self, key: str, size_bytes: int) -> Source:
        return self.network.cloud.s3.upload(key, key[:1].encode() * size_bytes).head.source

    async def use(self, source: Source, *, keep: bool = False, until: asyncio.Event | None = None) -> bytes:
        clock = self.network.cloud.clock
        attempt = Attempt(None, Watchdog(clock), clock, Metrics())
        async with self.cache.opened(source, attempt) as path:
            if keep:
                self.cache.keep(source)
            if until is not None:
                await until.wait()
            return path.read_bytes()

    @property
    def files(self) -> list[bytes]:
        return sorted(path.read_bytes()[:1] for path in self.folder.iterdir())

    @property
    def downloads(self) -> list[str]:
        return [key for operation, key in self.network.calls if operation == "download"]


@pytest.fixture
async def world(tmp_path: Path) -> World:
    return World(tmp_path)


async def test_users_at_the_same_time_share_one_download_which_goes_with_the_last(world: World) -> None:
    source = world.upload("a", 10)
    ends = [asyncio.Event(), asyncio.Event()]
    users = [asyncio.create_task(world.use(source, until=end)) for end in ends]
    await asyncio.sleep(1)
    assert (world.downloads, world.files) == (["a"], [b"a"])
    ends[0].set()
    assert await users[0] == b"a" * 10
    assert world.files == [b"a"]
    ends[1].set()
    assert await users[1] == b"a" * 10
    assert world.files == []


async def test_another_object_of_the_same_key_is_another_file(world: World) -> None:
    old = world.upload("a", 10)
    assert await world.use(old, keep=True) == b"a" * 10
    new = world.upload("a", 20)
    assert await world.use(new, keep=True) == b"a" * 20


async def test_a_kept_file_is_downloaded_once(world: World) -> None:
    source = world.upload("a", 10)
    for _ in range(3):
        await world.use(source, keep=True)
    assert (world.downloads, world.files) == (["a"], [b"a"])


async def test_kept_files_are_the_ones_used_last_and_take_a_quarter_of_the_disk(world: World) -> None:
    sources = [world.upload(key, 100) for key in "abc"]
    await world.use(sources[0], keep=True)
    await world.use(sources[1], keep=True)
    await world.use(sources[0])
    await world.use(sources[2], keep=True)
    assert world.files == [b"a", b"c"]
    await world.use(world.upload("z", 251), keep=True)
    assert world.files == []


async def test_a_kept_file_gives_way_to_one_that_needs_its_space(world: World) -> None:
    await world.use(world.upload("a", 200), keep=True)
    assert await world.use(world.upload("b", 900)) == b"b" * 900
    assert world.files == []


async def test_a_kept_file_does_not_make_the_disk_look_full(world: World) -> None:
    await world.use(world.upload("a", 200), keep=True)
    # The disk is far too small for what is kept free, so that the check fails with or without the file.
    with pytest.raises(DiskFullError):
        await world.disk_space.check()
    assert world.files == []


async def test_a_download_that_fails_is_made_by_the_next(world: World) -> None:
    source = world.upload("a", 10)
    world.network.faults.add("download", Fault.FAILS)
    results = await asyncio.gather(world.use(source), world.use(source), return_exceptions=True)
    assert [type(result) for result in results] == [ServiceError, bytes]
    assert world.files == []
