"""Engines are replaced without anybody having to wait, and without one of them nobody does; on fake seats."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass

import pytest

from consumer.domain.errors import MachineError, SettingsError
from consumer.processes.pool import EngineSeats, Recycling

LIMIT_BYTES = 1000
DEADLINE_S = 10.0


@dataclass
class FakeChild:
    resident_bytes: int = 100
    pages_read: int = 0
    is_alive: bool = True
    is_worn: bool = False


class FakeSeat:
    """A seat whose child is started when `start` is set, or fails to with `failure`."""

    def __init__(self) -> None:
        self.child: FakeChild | None = None
        self.start = asyncio.Event()
        self.failure: MachineError | None = None
        self.starting = asyncio.Event()

    @property
    def is_filled(self) -> bool:
        return self.child is not None and self.child.is_alive

    async def fill(self) -> None:
        self.child = FakeChild()

    async def renew(self) -> None:
        self.starting.set()
        if self.failure is not None:
            raise self.failure
        await self.start.wait()
        self.start.clear()
        self.child = FakeChild()

    async def vacate(self, reason: str) -> None:
        self.child = None


@pytest.fixture
def seats() -> list[FakeSeat]:
    return [FakeSeat(), FakeSeat()]


@pytest.fixture
async def engines(seats: list[FakeSeat]) -> AsyncIterator[EngineSeats]:
    pool = EngineSeats(seats, Recycling(pages=10, resident_bytes=LIMIT_BYTES))  # type: ignore[arg-type]
    async with pool.running():
        yield pool


async def read(
    engines: EngineSeats,
    seat: FakeSeat,
    pages: int = 1,
    resident_bytes: int = 100,
    *,
    is_worn: bool = False,
) -> None:
    """Have this very seat read pages, after which its child holds so much memory, and says this of itself."""
    async with asyncio.timeout(DEADLINE_S), AsyncExitStack() as stack:
        while (lent := await stack.enter_async_context(engines.lent())) is not seat:  # type: ignore[comparison-overlap]
            pass
        assert lent.child is not None
        lent.child.pages_read += pages
        seat.child = seat.child and FakeChild(resident_bytes, lent.child.pages_read, is_worn=is_worn)


async def asked_to_start(seat: FakeSeat) -> None:
    await asyncio.wait_for(seat.starting.wait(), DEADLINE_S)


async def renewed(seat: FakeSeat, old: FakeChild | None) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while seat.child is old or seat.child is None:
            await asyncio.sleep(0)


@pytest.mark.parametrize(
    ("pages", "resident_bytes", "is_worn"), [(10, 100, False), (1, 751, False), (1, 100, True)]
)
async def test_a_worn_engine_works_until_the_other_is_ready(
    engines: EngineSeats, seats: list[FakeSeat], pages: int, resident_bytes: int, is_worn: bool
) -> None:
    await read(engines, seats[0], pages, resident_bytes, is_worn=is_worn)
    await asked_to_start(seats[0])

    await read(engines, seats[0])
    old = seats[0].child
    seats[0].start.set()
    await renewed(seats[0], old)
    await read(engines, seats[0])


async def test_an_engine_that_is_not_worn_is_left_alone(engines: EngineSeats, seats: list[FakeSeat]) -> None:
    await read(engines, seats[0], pages=9, resident_bytes=750)
    await asyncio.sleep(0)
    assert not seats[0].starting.is_set()


async def test_the_second_worn_engine_is_replaced_after_the_first(
    engines: EngineSeats, seats: list[FakeSeat]
) -> None:
    for seat in seats:
        await read(engines, seat, pages=10)
    await asked_to_start(seats[0])
    assert not seats[1].starting.is_set()
    seats[0].start.set()
    await asked_to_start(seats[1])
    seats[1].start.set()


async def test_an_engine_that_is_gone_is_not_lent_until_there_is_another(
    engines: EngineSeats, seats: list[FakeSeat]
) -> None:
    async with engines.lent() as seat:
        await seat.vacate("crash")
    await asked_to_start(seats[0])
    for _ in range(3):
        async with engines.lent() as seat:
            assert seat is seats[1]  # type: ignore[comparison-overlap]
    engines.check()
    seats[0].start.set()
    await renewed(seats[0], None)
    await read(engines, seats[0])


async def test_an_engine_that_dies_idle_is_replaced_before_work_is_taken(
    engines: EngineSeats, seats: list[FakeSeat]
) -> None:
    assert seats[0].child is not None
    seats[0].child.is_alive = False
    engines.check()
    await asked_to_start(seats[0])
    seats[0].start.set()


async def test_without_any_engine_no_work_is_taken_and_nobody_waits(
    engines: EngineSeats, seats: list[FakeSeat]
) -> None:
    for seat in seats:
        seat.failure = MachineError("no memory")
        assert seat.child is not None
        seat.child.is_alive = False
    with pytest.raises(MachineError):
        engines.check()
    with pytest.raises(MachineError, match="no memory"):
        async with engines.lent():
            pass
    with pytest.raises(MachineError, match="no memory"):
        engines.check()

    dead = [seat.child for seat in seats]
    for seat in seats:
        seat.failure = None
        seat.start.set()
    for seat, child in zip(seats, dead, strict=True):
        await renewed(seat, child)
    engines.check()
    await read(engines, seats[0])


async def test_an_engine_that_cannot_be_started_holds_up_nobody_while_another_works(
    engines: EngineSeats, seats: list[FakeSeat]
) -> None:
    seats[0].failure = MachineError("no memory")
    seats[0].child = None
    async with engines.lent() as first:
        assert first is seats[0]  # type: ignore[comparison-overlap]
    await asked_to_start(seats[0])
    async with engines.lent():
        engines.check()
        waiting = asyncio.create_task(engines.lent().__aenter__())
        await asyncio.sleep(0)
        assert not waiting.done()
    assert await waiting is seats[1]  # type: ignore[comparison-overlap]


async def test_a_limit_below_what_a_new_engine_holds_refuses_to_start(seats: list[FakeSeat]) -> None:
    pool = EngineSeats(seats, Recycling(pages=10, resident_bytes=100))  # type: ignore[arg-type]
    with pytest.raises(SettingsError, match="BUCKET_OCR_RECYCLE_RSS_BYTES"):
        async with pool.running():
            pass
