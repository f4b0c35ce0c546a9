"""`ports.Queue`, `ports.LeaseKeeper` and `ports.Lease`, as the worker relies on them.

The queue is that of all that fulfils it; leases are those of SQS.
"""

import asyncio
import time
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from local_cloud import LocalCloud

from consumer.aws.lease import SqsLeases
from consumer.aws.sqs import SqsQueue
from consumer.clock import SystemClock, Watchdog
from consumer.domain.errors import ServiceError
from consumer.metrics import Metrics
from consumer.ports import Message
from tests.contract.worlds import SLACK_S, Cloud, MemoryOutside, ModelCloud, ModelOutside, Outside

if TYPE_CHECKING:
    from types_aiobotocore_sqs import SQSClient as AsyncSqsClient
    from types_boto3_sqs import SQSClient

CLOCK = SystemClock()
LEASE_S = 2
# Above all waits, so that only the test of stalling sees it.
STALL_S = 60.0
_POLL_S = 0.05


@pytest.fixture
def queue(async_sqs: "AsyncSqsClient", queue_url: str) -> SqsQueue:
    return SqsQueue(async_sqs, queue_url, LEASE_S, CLOCK)


@pytest.fixture
def outside(cloud: LocalCloud, sqs: "SQSClient", queue_url: str, queue: SqsQueue) -> Cloud:
    return Cloud(cloud, sqs, queue_url, queue, LEASE_S)


@pytest.fixture
def memory() -> Outside:
    return MemoryOutside(LEASE_S)


@pytest.fixture
def modelled(model: ModelCloud) -> Outside:
    return ModelOutside(model)


@pytest.fixture(
    params=[
        pytest.param("outside", id="localstack"),
        "memory",
        pytest.param("modelled", id="model"),
    ]
)
def world(request: pytest.FixtureRequest) -> Outside:
    found: Outside = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def leases(sqs: "SQSClient", queue_url: str) -> SqsLeases:
    return SqsLeases(sqs, queue_url, LEASE_S, STALL_S, clock=CLOCK, metrics=Metrics())


@pytest.fixture
async def message(outside: Cloud, queue: SqsQueue) -> Message:
    outside.send()
    message = await queue.receive()
    assert message is not None
    return message


class TestQueue:
    """Of all that fulfils `ports.Queue`."""

    @pytest.fixture
    async def received(self, world: Outside) -> Message:
        world.send()
        return await world.received()

    async def test_receive_tells_what_the_message_is(self, world: Outside) -> None:
        asked_at = world.clock.monotonic()
        message_id = world.send("ü\n")
        message = await world.received()
        assert (message.message_id, message.body, message.receive_count) == (message_id, "ü\n", 1)
        assert asked_at <= message.received_at <= world.clock.monotonic()
        assert abs(world.clock.now() - message.sent_at) < timedelta(minutes=1)
        assert world.visible() == [False]

    async def test_an_unsettled_message_comes_again_after_its_lease(
        self, world: Outside, received: Message
    ) -> None:
        await world.stays_hidden(world.lease_s / 2)
        await world.becomes([True], world.lease_s / 2 + SLACK_S)
        again = await world.received()
        assert (again.message_id, again.receive_count) == (received.message_id, 2)
        assert again.receipt != received.receipt

    async def test_a_deleted_message_is_gone_for_good(self, world: Outside, received: Message) -> None:
        await world.queue.delete(received)
        assert world.visible() == []
        # The SDK sends a request again where its answer is lost.
        await world.queue.delete(received)
        with pytest.raises(ServiceError, match=received.message_id):
            await world.queue.retry_after(received, 0)
        assert world.visible() == []

    async def test_a_message_handed_back_is_visible_at_once_or_when_asked(
        self, world: Outside, received: Message
    ) -> None:
        await world.queue.retry_after(received, 0)
        assert world.visible() == [True]
        await world.queue.retry_after(await world.received(), round(world.lease_s) + 2)
        await world.stays_hidden(world.lease_s + 1)
        await world.becomes([True], SLACK_S)

    async def test_a_message_received_as_often_as_may_be_is_not_received_again(self, world: Outside) -> None:
        assert await world.queue.max_receive_count() is None
        world.give_up_after(2)
        assert await world.queue.max_receive_count() == 2
        first_id = world.send("first")
        for receive_count in (1, 2):
            message = await world.received()
            assert (message.message_id, message.receive_count) == (first_id, receive_count)
            await world.queue.retry_after(message, 0)
        second_id = world.send("second")
        assert (await world.received()).message_id == second_id
        assert world.visible() == [False]

    async def test_a_missing_queue_is_a_service_error_that_names_it(
        self, async_sqs: "AsyncSqsClient", queue_url: str
    ) -> None:
        missing = SqsQueue(async_sqs, f"{queue_url}-missing", LEASE_S, CLOCK)
        with pytest.raises(ServiceError, match="-missing"):
            await missing.check()
        with pytest.raises(ServiceError, match="-missing"):
            await missing.receive()


class TestLease:
    async def test_a_held_message_stays_hidden_beyond_its_lease_and_no_longer(
        self, outside: Cloud, leases: SqsLeases, message: Message
    ) -> None:
        async with leases.hold(message, Watchdog(CLOCK)) as lease:
            await outside.stays_hidden(2.5 * LEASE_S)
            assert not lease.lost.is_set()
        await outside.becomes([True], LEASE_S + SLACK_S)

    async def test_a_loop_that_hangs_for_longer_than_a_lease_does_not_lose_it(
        self, outside: Cloud, leases: SqsLeases, message: Message
    ) -> None:
        async with leases.hold(message, Watchdog(CLOCK)) as lease:
            time.sleep(2 * LEASE_S)  # noqa: ASYNC251 - this is what is tested
            assert outside.visible() == [False]
            await asyncio.sleep(0)
            assert not lease.lost.is_set()

    async def test_work_without_progress_is_overdue_while_the_message_is_still_ours(
        self, sqs: "SQSClient", outside: Cloud, queue_url: str, message: Message
    ) -> None:
        stalling = SqsLeases(sqs, queue_url, LEASE_S, LEASE_S / 4, clock=CLOCK, metrics=Metrics())
        async with stalling.hold(message, Watchdog(CLOCK)) as lease, asyncio.timeout(LEASE_S + SLACK_S):
            await lease.overdue.wait()
            assert outside.visible() == [False]
            assert not lease.lost.is_set()
        await outside.becomes([True], LEASE_S + SLACK_S)

    async def test_a_message_that_somebody_deleted_is_lost(
        self, outside: Cloud, queue: SqsQueue, leases: SqsLeases, message: Message
    ) -> None:
        async with leases.hold(message, Watchdog(CLOCK)) as lease, asyncio.timeout(LEASE_S + SLACK_S):
            await queue.delete(message)
            await lease.lost.wait()

    async def test_a_service_that_refuses_loses_it_when_the_lease_has_run_out(
        self, sqs: "SQSClient", queue_url: str, message: Message
    ) -> None:
        # A renewal at a queue that does not exist is refused for a reason that may pass.
        refused = SqsLeases(sqs, f"{queue_url}-missing", LEASE_S, STALL_S, clock=CLOCK, metrics=Metrics())
        async with refused.hold(message, Watchdog(CLOCK)) as lease, asyncio.timeout(LEASE_S + SLACK_S):
            await lease.lost.wait()
        assert time.monotonic() >= message.received_at + LEASE_S

    async def test_a_message_handed_back_after_the_work_is_not_hidden_again(
        self, outside: Cloud, queue: SqsQueue, leases: SqsLeases, message: Message
    ) -> None:
        async with leases.hold(message, Watchdog(CLOCK)):
            await asyncio.sleep(LEASE_S / 3)  # a renewal is about to be under way
        await queue.retry_after(message, 0)
        for _ in range(round(LEASE_S / _POLL_S)):
            assert outside.visible() == [True]
            await asyncio.sleep(_POLL_S)
