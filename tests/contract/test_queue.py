"""`ports.Queue` as the worker relies on it, on SQS and of the fake; `ports.LeaseKeeper` on SQS."""

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
from tests.contract.backends import DEADLINE_S, FakeQueueBackend, LocalStackQueueBackend, QueueBackend

if TYPE_CHECKING:
    from types_aiobotocore_sqs import SQSClient as AsyncSqsClient
    from types_boto3_sqs import SQSClient

CLOCK = SystemClock()
#: The shortest that SQS knows.
LEASE_S = 1
#: Of a lease that is renewed, also on a busy machine.
HELD_LEASE_S = 3
#: Above all waits, so that only the test of stalling sees it.
STALL_S = 600.0
_POLL_S = 0.05


@pytest.fixture(params=["localstack", "fake"])
def backend(request: pytest.FixtureRequest) -> QueueBackend:
    if request.param == "fake":
        return FakeQueueBackend()
    cloud, sqs, queue_url, client = map(request.getfixturevalue, ("cloud", "sqs", "queue_url", "async_sqs"))
    queue = SqsQueue(client, queue_url, LEASE_S, CLOCK)
    return LocalStackQueueBackend(cloud, sqs, queue_url, queue, LEASE_S)


class TestQueue:
    @pytest.fixture
    async def received(self, backend: QueueBackend) -> Message:
        backend.send()
        return await backend.received()

    async def test_receive_describes_the_message(self, backend: QueueBackend) -> None:
        asked_at = backend.clock.monotonic()
        message_id = backend.send("ü\n")
        message = await backend.received()
        assert (message.message_id, message.body, message.receive_count) == (message_id, "ü\n", 1)
        assert asked_at <= message.received_at <= backend.clock.monotonic()
        assert abs(backend.clock.now() - message.sent_at) < timedelta(minutes=5)

    async def test_an_unsettled_message_comes_again_after_its_lease(
        self, backend: QueueBackend, received: Message
    ) -> None:
        await backend.stays_hidden(until=received.received_at + backend.lease_s)
        again = await backend.received()
        assert (again.message_id, again.receive_count) == (received.message_id, 2)
        assert again.receipt != received.receipt

    async def test_a_deleted_message_is_gone_for_good(self, backend: QueueBackend, received: Message) -> None:
        await backend.queue.delete(received)
        assert backend.visible() == []
        # The SDK sends a request again if its answer is lost.
        await backend.queue.delete(received)
        with pytest.raises(ServiceError, match=received.message_id):
            await backend.queue.retry_after(received, 0)
        assert backend.visible() == []

    async def test_a_released_message_is_visible_at_once_or_after_a_delay(
        self, backend: QueueBackend
    ) -> None:
        backend.send()
        await backend.queue.retry_after(await backend.received(), 0)
        assert backend.visible() == [True]
        again = await backend.received()
        asked_at = backend.clock.monotonic()
        await backend.queue.retry_after(again, backend.lease_s + 1)
        await backend.stays_hidden(until=asked_at + backend.lease_s + 1)
        await backend.becomes_visible()

    async def test_a_message_is_received_no_more_often_than_max_receive_count(
        self, backend: QueueBackend
    ) -> None:
        assert await backend.queue.max_receive_count() is None
        backend.set_max_receive_count(2)
        assert await backend.queue.max_receive_count() == 2
        first_id = backend.send("first")
        for receive_count in (1, 2):
            message = await backend.received()
            assert (message.message_id, message.receive_count) == (first_id, receive_count)
            await backend.queue.retry_after(message, 0)
        second_id = backend.send("second")
        assert (await backend.received()).message_id == second_id

    @pytest.mark.parametrize("count", [1, 10, 11, 25])
    async def test_messages_that_are_sent_come_each_with_its_body(
        self, backend: QueueBackend, count: int
    ) -> None:
        bodies = [f"ü {number}" for number in range(count)]
        await backend.queue.send(bodies)
        assert sorted([await _taken(backend) for _ in bodies]) == sorted(bodies)
        assert backend.visible() == []

    async def test_more_bytes_than_a_request_may_have_are_sent_all_the_same(
        self, backend: QueueBackend
    ) -> None:
        bodies = [str(number) * 200_000 for number in range(3)] + ["ü" * 100_000]
        await backend.queue.send(bodies)
        assert sorted([await _taken(backend) for _ in bodies]) == sorted(bodies)

    async def test_a_delayed_message_comes_after_its_delay(self, backend: QueueBackend) -> None:
        asked_at = backend.clock.monotonic()
        await backend.queue.send(["body"], delay_s=2)
        await backend.stays_hidden(until=asked_at + 2)
        assert (await backend.received()).body == "body"

    async def test_nothing_to_send_is_nothing_to_do(self, backend: QueueBackend) -> None:
        await backend.queue.send([])
        assert backend.visible() == []


async def _taken(backend: QueueBackend) -> str:
    """Receive a message and delete it; returns its body."""
    message = await backend.received()
    await backend.queue.delete(message)
    return message.body


async def test_a_missing_queue_is_a_service_error_that_names_it(
    async_sqs: "AsyncSqsClient", queue_url: str
) -> None:
    missing = SqsQueue(async_sqs, f"{queue_url}-missing", LEASE_S, CLOCK)
    with pytest.raises(ServiceError, match="-missing"):
        await missing.max_receive_count()
    with pytest.raises(ServiceError, match="-missing"):
        await missing.receive()
    with pytest.raises(ServiceError, match="-missing"):
        await missing.send(["body"])


class TestLease:
    @pytest.fixture
    def queue(self, async_sqs: "AsyncSqsClient", queue_url: str) -> SqsQueue:
        return SqsQueue(async_sqs, queue_url, HELD_LEASE_S, CLOCK)

    @pytest.fixture
    def operated(
        self, cloud: LocalCloud, sqs: "SQSClient", queue_url: str, queue: SqsQueue
    ) -> LocalStackQueueBackend:
        return LocalStackQueueBackend(cloud, sqs, queue_url, queue, HELD_LEASE_S)

    @pytest.fixture
    def leases(self, sqs: "SQSClient", queue_url: str) -> SqsLeases:
        return SqsLeases(sqs, queue_url, HELD_LEASE_S, STALL_S, clock=CLOCK, metrics=Metrics())

    @pytest.fixture
    async def message(self, operated: LocalStackQueueBackend) -> Message:
        operated.send()
        return await operated.received()

    async def test_a_held_message_stays_hidden_even_while_the_loop_hangs_and_then_no_longer(
        self, operated: LocalStackQueueBackend, leases: SqsLeases, message: Message
    ) -> None:
        async with leases.hold(message, Watchdog(CLOCK)) as lease:
            time.sleep(1.2 * HELD_LEASE_S)  # noqa: ASYNC251 - this is what is tested
            assert operated.visible() == [False]
            await asyncio.sleep(0)
            assert not lease.lost.is_set()
        await operated.becomes_visible()

    async def test_work_without_progress_is_overdue_while_the_message_is_still_ours(
        self, sqs: "SQSClient", operated: LocalStackQueueBackend, queue_url: str, message: Message
    ) -> None:
        stalling = SqsLeases(sqs, queue_url, HELD_LEASE_S, 0.1, clock=CLOCK, metrics=Metrics())
        async with stalling.hold(message, Watchdog(CLOCK)) as lease, asyncio.timeout(DEADLINE_S):
            await lease.overdue.wait()
            assert operated.visible() == [False]
            assert not lease.lost.is_set()

    async def test_a_message_that_somebody_deleted_is_lost(
        self, queue: SqsQueue, leases: SqsLeases, message: Message
    ) -> None:
        async with leases.hold(message, Watchdog(CLOCK)) as lease, asyncio.timeout(DEADLINE_S):
            await queue.delete(message)
            await lease.lost.wait()

    async def test_a_service_that_refuses_loses_it_when_the_lease_has_run_out(
        self, sqs: "SQSClient", queue_url: str, message: Message
    ) -> None:
        # A renewal at a queue that does not exist is refused for a reason that may be transient.
        refused = SqsLeases(sqs, f"{queue_url}-missing", LEASE_S, STALL_S, clock=CLOCK, metrics=Metrics())
        async with refused.hold(message, Watchdog(CLOCK)) as lease, asyncio.timeout(DEADLINE_S):
            await lease.lost.wait()
        assert time.monotonic() >= message.received_at + LEASE_S

    async def test_a_message_released_after_the_work_is_not_hidden_again(
        self, operated: LocalStackQueueBackend, queue: SqsQueue, leases: SqsLeases, message: Message
    ) -> None:
        async with leases.hold(message, Watchdog(CLOCK)):
            await asyncio.sleep(HELD_LEASE_S / 3)  # a renewal is about to be in flight
        await queue.retry_after(message, 0)
        for _ in range(20):
            assert operated.visible() == [True]
            await asyncio.sleep(_POLL_S)
