"""Engines are replaced while others work; without any, no work is taken. On slots of fake processes."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest

from consumer.domain.errors import HostError, SettingsError
from consumer.processes.pool import EnginePool, RecyclePolicy
from tests.children.fake_process import FakeProcess, FakeSlot

LIMIT_BYTES = 1000
DEADLINE_S = 60.0


@pytest.fixture
def slots() -> list[FakeSlot]:
    return [FakeSlot(), FakeSlot()]


@pytest.fixture
async def pool(slots: list[FakeSlot]) -> AsyncIterator[EnginePool]:
    """A pool whose engines run, and whose replacements wait until `replace`."""
    pool = EnginePool(slots, RecyclePolicy(pages=10, resident_bytes=LIMIT_BYTES))
    async with pool.running():
        for slot in slots:
            slot.may_start.clear()
            slot.starting.clear()
        yield pool


async def read(
    pool: EnginePool, slot: FakeSlot, pages: int = 1, held_bytes: int = 100, *, asks_for_it: bool = False
) -> None:
    """Have this very slot read pages, after which its process holds this much memory."""
    async with asyncio.timeout(DEADLINE_S), AsyncExitStack() as stack:
        while await stack.enter_async_context(pool.acquire()) is not slot:
            pass
        process = slot.running
        process.pages_read += pages
        process.held_bytes, process.is_recycle_due = held_bytes, asks_for_it


async def asked_to_start(slot: FakeSlot) -> None:
    await asyncio.wait_for(slot.starting.wait(), DEADLINE_S)


async def replaced(slot: FakeSlot, old: FakeProcess) -> None:
    """Let the successor start, and wait until it has the slot."""
    slot.may_start.set()
    async with asyncio.timeout(DEADLINE_S):
        while slot.process is old or slot.process is None:
            await asyncio.sleep(0)


@pytest.mark.parametrize(
    ("pages", "held_bytes", "asks_for_it"), [(10, 100, False), (1, 751, False), (1, 100, True)]
)
async def test_an_engine_due_for_replacement_works_until_its_successor_is_ready(
    pool: EnginePool, slots: list[FakeSlot], pages: int, held_bytes: int, asks_for_it: bool
) -> None:
    old = slots[0].running
    await read(pool, slots[0], pages, held_bytes, asks_for_it=asks_for_it)
    await asked_to_start(slots[0])

    await read(pool, slots[0])
    assert slots[0].process is old
    await replaced(slots[0], old)
    await read(pool, slots[0])
    assert slots[0].replacements == {"recycled": 1}


async def test_an_engine_within_its_limits_is_left_alone(pool: EnginePool, slots: list[FakeSlot]) -> None:
    await read(pool, slots[0], pages=9, held_bytes=750)
    await asyncio.sleep(0)
    assert not slots[0].starting.is_set()


async def test_engines_are_replaced_one_at_a_time(pool: EnginePool, slots: list[FakeSlot]) -> None:
    for slot in slots:
        await read(pool, slot, pages=10)
    await asked_to_start(slots[0])
    assert not slots[1].starting.is_set()
    slots[0].may_start.set()
    await asked_to_start(slots[1])
    slots[1].may_start.set()


async def test_a_slot_without_an_engine_is_not_acquired_until_it_has_one(
    pool: EnginePool, slots: list[FakeSlot]
) -> None:
    old = slots[0].running
    async with pool.acquire() as slot:
        await slot.stop("crash")
    await asked_to_start(slots[0])
    for _ in range(3):
        async with pool.acquire() as slot:
            assert slot is slots[1]
    pool.check()
    await replaced(slots[0], old)
    await read(pool, slots[0])
    assert slots[0].replacements == {"crash": 1}


async def test_an_engine_that_dies_idle_is_replaced_before_work_is_taken(
    pool: EnginePool, slots: list[FakeSlot]
) -> None:
    slots[0].running.has_ended = True
    pool.check()
    await asked_to_start(slots[0])
    slots[0].may_start.set()


async def test_without_any_engine_no_work_is_taken_and_none_waits(
    pool: EnginePool, slots: list[FakeSlot]
) -> None:
    dead = [slot.running for slot in slots]
    for slot, process in zip(slots, dead, strict=True):
        slot.failure = HostError("no memory")
        process.has_ended = True
    with pytest.raises(HostError):
        pool.check()
    with pytest.raises(HostError, match="no memory"):
        async with pool.acquire():
            pass
    with pytest.raises(HostError, match="no memory"):
        pool.check()

    for slot in slots:
        slot.failure = None
    for slot, process in zip(slots, dead, strict=True):
        await replaced(slot, process)
    pool.check()
    await read(pool, slots[0])


async def test_an_engine_that_cannot_be_started_delays_no_other(
    pool: EnginePool, slots: list[FakeSlot]
) -> None:
    slots[0].failure = HostError("no memory")
    async with pool.acquire() as first:
        assert first is slots[0]
        await first.stop("crash")
    await asked_to_start(slots[0])
    async with pool.acquire():
        pool.check()
        waiting = asyncio.create_task(pool.acquire().__aenter__())
        await asyncio.sleep(0)
        assert not waiting.done()
    assert await waiting is slots[1]


async def test_a_limit_below_the_memory_of_a_new_engine_refuses_to_start(slots: list[FakeSlot]) -> None:
    pool = EnginePool(slots, RecyclePolicy(pages=10, resident_bytes=100))
    with pytest.raises(SettingsError, match="BUCKET_OCR_RECYCLE_RSS_BYTES"):
        async with pool.running():
            pass
