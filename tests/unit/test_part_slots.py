"""The slots of parts: who waits for one, and when a part that does not comes back."""

import asyncio
import random

import pytest

from consumer.service.part_slots import PartSlots
from tests.fakes.virtual_time import running_loop

WAIT_S = 10.0


def slots(most: int = 1) -> PartSlots:
    return PartSlots(most, WAIT_S, running_loop().clock, random.Random(1))


def delays(slots: PartSlots, waited_s: float, count: int = 500) -> list[int]:
    return [slots.delay_s(waited_s) for _ in range(count)]


async def test_parts_without_a_turn_come_back_spread_over_a_quarter_of_a_minute() -> None:
    full = slots()
    full.begin()
    await asyncio.sleep(3600)
    assert set(delays(full, 0)) == set(range(15, 31))


@pytest.mark.parametrize(("waited_s", "longest_s"), [(60, 30), (240, 60), (1e6, 120)])
async def test_the_longer_documents_wait_the_more_seldom_their_parts_come_for_nothing(
    waited_s: float, longest_s: int
) -> None:
    full = slots()
    full.begin()
    await asyncio.sleep(3600)
    given = delays(full, waited_s)
    assert (min(given), max(given)) == (longest_s // 2, longest_s)


async def test_parts_come_back_when_it_is_their_turn_however_long_their_document_has_waited() -> None:
    full = slots()
    for _ in range(40):
        full.begin()
        await asyncio.sleep(60)
        full.end()
    full.begin()
    # Parts end every 60 s, and three come back for each.
    assert delays(full, 1e6, 6) == [20, 40, 60, 80, 100, 120]


async def test_a_part_waits_for_a_slot_and_others_are_postponed_meanwhile() -> None:
    full, stop = slots(), asyncio.Event()
    full.begin()
    waiting = asyncio.create_task(full.wait(stop))
    await asyncio.sleep(WAIT_S / 2)
    assert not await full.wait(stop)
    full.end()
    assert await waiting


async def test_a_part_that_has_waited_long_enough_is_postponed() -> None:
    full = slots()
    full.begin()
    began_s = running_loop().clock.monotonic()
    assert not await full.wait(asyncio.Event())
    assert running_loop().clock.monotonic() == began_s + WAIT_S


async def test_a_stop_does_not_wait_for_a_part_that_waits() -> None:
    full, stop = slots(), asyncio.Event()
    full.begin()
    waiting = asyncio.create_task(full.wait(stop))
    await asyncio.sleep(1)
    stop.set()
    assert not await waiting
