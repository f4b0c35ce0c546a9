"""The lease on a message: renewed in time, over no later than the service says, and never endless."""

import asyncio
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, cast

import pytest
from botocore.exceptions import ClientError
from hypothesis import given
from hypothesis import strategies as st

from consumer.aws.lease import SqsLeases
from consumer.clock import SystemClock, Watchdog
from consumer.domain.lease import MAX_HOLD_S, LeaseSchedule, Lost, Overdue, Renew
from consumer.metrics import Metrics
from consumer.ports import Message

CLOCK = SystemClock()
LEASE_S = 60
NEVER_S = 1e9
#: Of a busy machine.
DEADLINE_S = 60.0


def schedule(*, stall_s: float = NEVER_S) -> LeaseSchedule:
    return LeaseSchedule(0.0, LEASE_S, stall_s)


def test_a_renewal_is_due_every_third_of_the_lease_counted_from_the_request() -> None:
    held = schedule()
    assert held.renewal_due_at == 20
    assert held.decide(20.0, 0) == Renew(LEASE_S)
    held.renewed(20.0, LEASE_S)
    assert held.renewal_due_at == 40


def test_a_slow_renewal_does_not_skip_the_next_one() -> None:
    held = schedule()
    held.decide(20.0, 0)
    # The answer takes 15 seconds.
    held.renewed(20.0, LEASE_S)
    assert held.renewal_due_at == 40


def test_the_lease_counts_from_the_request_for_its_renewal() -> None:
    held = schedule()
    held.decide(20.0, 0)
    held.renewed(20.0, LEASE_S)
    assert not held.is_over(79.9)
    assert held.is_over(80.0)


def test_a_failed_renewal_is_tried_again_until_the_lease_is_over() -> None:
    held = schedule()
    for now in (20.0, 40.0):
        assert held.renewal_due_at == now
        assert held.decide(now, 0) == Renew(LEASE_S)
    assert held.renewal_due_at == LEASE_S
    assert isinstance(held.decide(60.0, 0), Lost)


def test_a_renewal_that_comes_too_late_is_not_sent() -> None:
    # It might take the message from another consumer.
    assert isinstance(schedule().decide(LEASE_S + 0.1, 0), Lost)


def test_work_without_progress_is_overdue_and_work_with_progress_is_not() -> None:
    held = schedule(stall_s=90)
    assert held.decide(20, seconds_since_progress=90) == Renew(LEASE_S)
    held.renewed(20, LEASE_S)
    assert held.decide(40, seconds_since_progress=91) == Overdue("no progress in 90 s")
    # It is settled while it is still ours.
    assert not held.is_over(40)


@given(st.integers(10, 3600), st.floats(0, 0.9))
def test_no_message_is_held_for_more_than_twelve_hours(lease_s: int, late: float) -> None:
    held = LeaseSchedule(0.0, lease_s, NEVER_S)
    while True:
        asked_at = held.renewal_due_at + late * lease_s / 3
        due = held.decide(asked_at, 0)
        if isinstance(due, Overdue):
            break
        assert isinstance(due, Renew)
        assert 1 <= due.hold_s <= lease_s
        assert asked_at + due.hold_s <= MAX_HOLD_S < 12 * 3600
        held.renewed(asked_at, due.hold_s)
    assert held.is_over(MAX_HOLD_S)


class Client:
    """An SQS client that does what a test says at each renewal, and counts them."""

    def __init__(self, *answers: Callable[[], None]) -> None:
        self._answers = list(answers)
        self.renewals: list[float] = []

    def change_message_visibility(self, **_: Any) -> None:
        self.renewals.append(time.monotonic())
        if self._answers:
            self._answers.pop(0)()


def refuse(code: str) -> Callable[[], None]:
    def answer() -> None:
        raise ClientError({"Error": {"Code": code, "Message": "no"}}, "ChangeMessageVisibility")

    return answer


def leases(client: Client, lease_s: int = LEASE_S) -> SqsLeases:
    return SqsLeases(cast(Any, client), "queue", lease_s, NEVER_S, clock=CLOCK, metrics=Metrics())


def message(age_s: float = LEASE_S / 3) -> Message:
    """A message that was asked for so long ago; by default its first renewal is due."""
    return Message("m", "receipt", "", 1, datetime.now(UTC), time.monotonic() - age_s)


@pytest.mark.parametrize("code", ["ReceiptHandleIsInvalid", "InvalidParameterValue", "MessageNotInflight"])
async def test_a_refusal_because_the_message_is_not_ours_loses_it_at_once(code: str) -> None:
    client = Client(refuse(code))
    async with asyncio.timeout(DEADLINE_S), leases(client).hold(message(), Watchdog(CLOCK)) as lease:
        await lease.lost.wait()
    assert len(client.renewals) == 1


async def test_a_failed_renewal_is_made_up_for_by_the_next_one() -> None:
    client = Client(refuse("RequestThrottled"))
    async with asyncio.timeout(DEADLINE_S), leases(client, 3).hold(message(1), Watchdog(CLOCK)) as lease:
        while len(client.renewals) < 2:
            await asyncio.sleep(0.01)
        assert not lease.lost.is_set()


async def test_a_message_that_is_settled_before_its_first_renewal_needs_no_thread() -> None:
    keeper = leases(Client())
    async with keeper.hold(message(0), Watchdog(CLOCK)):
        before = threading.active_count()
        async with keeper.hold(message(0), Watchdog(CLOCK)) as lease:
            assert threading.active_count() == before
        # And its holder has nothing to wait for.
        assert lease.ended.is_set()
        assert not lease.lost.is_set()


async def test_the_holder_goes_on_only_when_a_renewal_in_flight_has_ended() -> None:
    begun, may_end = threading.Event(), threading.Event()

    def slow() -> None:
        begun.set()
        assert may_end.wait(DEADLINE_S)

    async with asyncio.timeout(DEADLINE_S):
        async with leases(Client(slow)).hold(message(), Watchdog(CLOCK)):
            await asyncio.to_thread(begun.wait, DEADLINE_S)
            asyncio.get_running_loop().call_later(0.1, may_end.set)
        assert may_end.is_set()


async def test_a_lease_that_ended_unnoticed_is_lost_when_it_is_released() -> None:
    # As after a suspended process, whose thread has not run yet.
    async with asyncio.timeout(DEADLINE_S):
        async with leases(Client()).hold(message(0), Watchdog(CLOCK)) as lease:
            lease.schedule.renewed(time.monotonic() - LEASE_S, LEASE_S)
        assert lease.lost.is_set()


async def test_a_lease_ends_on_time_also_while_a_renewal_hangs() -> None:
    may_end = threading.Event()

    def hang() -> None:
        assert may_end.wait(DEADLINE_S)

    async with asyncio.timeout(DEADLINE_S):
        async with leases(Client(hang)).hold(message(LEASE_S - 0.5), Watchdog(CLOCK)) as lease:
            await lease.lost.wait()
            assert lease.schedule.is_over(time.monotonic())
        # And nobody waits for the renewal.
        assert not may_end.is_set()
    may_end.set()


async def test_a_cancelled_holder_does_not_wait_for_a_renewal_that_hangs() -> None:
    begun, may_end = threading.Event(), threading.Event()

    def hang() -> None:
        begun.set()
        assert may_end.wait(DEADLINE_S)

    async def hold() -> None:
        async with leases(Client(hang)).hold(message(), Watchdog(CLOCK)):
            await asyncio.Event().wait()

    async with asyncio.timeout(DEADLINE_S):
        holder = asyncio.create_task(hold())
        await asyncio.to_thread(begun.wait, DEADLINE_S)
        holder.cancel()
        await asyncio.wait([holder])
    assert not may_end.is_set()
    may_end.set()
