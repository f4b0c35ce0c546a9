"""Engines are replaced without anybody having to wait, and without one of them nobody does; on fake seats."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass

import pytest

from consumer.domain.errors import HostError, SettingsError
from consumer.processes.pool import EnginePool, RecyclePolicy

LIMIT_BYTES = 1000
DEADLINE_S = 10.0


@dataclass
class FakeChild:
    resident_bytes: int = 100
    pages_read: int = 0
    is_alive: bool = True
    is_recycle_due: bool = False


class FakeSeat:
    """A seat whose child is started when `start` is set, or fails to with `failure`."""

    def __init__(self) -> None:
        self.child: FakeChild | None = None
        self.may_start = asyncio.Event()
        self.failure: HostError | None = None
        self.starting = asyncio.Event()

    @property
    def is_running(self) -> bool:
        return self.child is not None and self.child.is_alive

    async def start(self) -> None:
        self.child = FakeChild()

    async def replace(self) -> None:
        self.starting.set()
        if self.failure is not None:
            raise self.failure
        await self.may_start.wait()
        self.may_start.clear()
        self.child = FakeChild()

    async def stop(self, reason: str) -> None:
        self.child = None


@pytest.fixture
def slots() -> list[FakeSeat]:
    return [FakeSeat(), FakeSeat()]


@pytest.fixture
async def engines(slots: list[FakeSeat]) -> AsyncIterator[EnginePool]:
    pool = EnginePool(slots, RecyclePolicy(pages=10, resident_bytes=LIMIT_BYTES))  # type: ignore[arg-type]
    async with pool.running():
        yield pool


async def read(
    engines: EnginePool,
    slot: FakeSeat,
    pages: int = 1,
    resident_bytes: int = 100,
    *,
    is_recycle_due: bool = False,
) -> None:
    """Have this very seat read pages, after which its child holds so much memory, and says this of itself."""
    async with asyncio.timeout(DEADLINE_S), AsyncExitStack() as stack:
        while (acquire := await stack.enter_async_context(engines.acquire())) is not slot:  # type: ignore[comparison-overlap]
            pass
        assert acquire.child is not None
        acquire.child.pages_read += pages
        slot.child = slot.child and FakeChild(
            resident_bytes, acquire.child.pages_read, is_recycle_due=is_recycle_due
        )


async def asked_to_start(slot: FakeSeat) -> None:
    await asyncio.wait_for(slot.starting.wait(), DEADLINE_S)


async def renewed(slot: FakeSeat, old: FakeChild | None) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while slot.child is old or slot.child is None:
            await asyncio.sleep(0)


@pytest.mark.parametrize(
    ("pages", "resident_bytes", "is_recycle_due"), [(10, 100, False), (1, 751, False), (1, 100, True)]
)
async def test_a_worn_engine_works_until_the_other_is_ready(
    engines: EnginePool, slots: list[FakeSeat], pages: int, resident_bytes: int, is_recycle_due: bool
) -> None:
    await read(engines, slots[0], pages, resident_bytes, is_recycle_due=is_recycle_due)
    await asked_to_start(slots[0])

    await read(engines, slots[0])
    old = slots[0].child
    slots[0].may_start.set()
    await renewed(slots[0], old)
    await read(engines, slots[0])


async def test_an_engine_that_is_not_worn_is_left_alone(engines: EnginePool, slots: list[FakeSeat]) -> None:
    await read(engines, slots[0], pages=9, resident_bytes=750)
    await asyncio.sleep(0)
    assert not slots[0].starting.is_set()


async def test_the_second_worn_engine_is_replaced_after_the_first(
    engines: EnginePool, slots: list[FakeSeat]
) -> None:
    for slot in slots:
        await read(engines, slot, pages=10)
    await asked_to_start(slots[0])
    assert not slots[1].starting.is_set()
    slots[0].may_start.set()
    await asked_to_start(slots[1])
    slots[1].may_start.set()


async def test_an_engine_that_is_gone_is_not_lent_until_there_is_another(
    engines: EnginePool, slots: list[FakeSeat]
) -> None:
    async with engines.acquire() as slot:
        await slot.stop("crash")
    await asked_to_start(slots[0])
    for _ in range(3):
        async with engines.acquire() as slot:
            assert slot is slots[1]  # type: ignore[comparison-overlap]
    engines.check()
    slots[0].may_start.set()
    await renewed(slots[0], None)
    await read(engines, slots[0])


async def test_an_engine_that_dies_idle_is_replaced_before_work_is_taken(
    engines: EnginePool, slots: list[FakeSeat]
) -> None:
    assert slots[0].child is not None
    slots[0].child.is_alive = False
    engines.check()
    await asked_to_start(slots[0])
    slots[0].may_start.set()


async def test_without_any_engine_no_work_is_taken_and_nobody_waits(
    engines: EnginePool, slots: list[FakeSeat]
) -> None:
    for slot in slots:
        slot.failure = HostError("no memory")
        assert slot.child is not None
        slot.child.is_alive = False
    with pytest.raises(HostError):
        engines.check()
    with pytest.raises(HostError, match="no memory"):
        async with engines.acquire():
            pass
    with pytest.raises(HostError, match="no memory"):
        engines.check()

    dead = [slot.child for slot in slots]
    for slot in slots:
        slot.failure = None
        slot.may_start.set()
    for slot, child in zip(slots, dead, strict=True):
        await renewed(slot, child)
    engines.check()
    await read(engines, slots[0])


async def test_an_engine_that_cannot_be_started_holds_up_nobody_while_another_works(
    engines: EnginePool, slots: list[FakeSeat]
) -> None:
    slots[0].failure = HostError("no memory")
    slots[0].child = None
    async with engines.acquire() as first:
        assert first is slots[0]  # type: ignore[comparison-overlap]
    await asked_to_start(slots[0])
    async with engines.acquire():
        engines.check()
        waiting = asyncio.create_task(engines.acquire().__aenter__())
        await asyncio.sleep(0)
        assert not waiting.done()
    assert await waiting is slots[1]  # type: ignore[comparison-overlap]


async def test_a_limit_below_what_a_new_engine_holds_refuses_to_start(slots: list[FakeSeat]) -> None:
    pool = EnginePool(slots, RecyclePolicy(pages=10, resident_bytes=100))  # type: ignore[arg-type]
    with pytest.raises(SettingsError, match="BUCKET_OCR_RECYCLE_RSS_BYTES"):
        async with pool.running():
            pass
