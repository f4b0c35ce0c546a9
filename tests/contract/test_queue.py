"""`ports.Queue`, `ports.LeaseKeeper` and `ports.Lease`, as the worker relies on them."""

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from local_cloud import LocalCloud

from consumer.adapters.lease import SqsLeases
from consumer.adapters.sqs import SqsQueue
from consumer.domain.errors import ServiceError
from consumer.ports import Message

if TYPE_CHECKING:
    from types_aiobotocore_sqs import SQSClient as AsyncSqsClient
    from types_boto3_sqs import SQSClient

LEASE_S = 2
# Above all waits, so that only the test of stalling sees it.
STALL_S = 60.0
SLACK_S = 3.0
_POLL_S = 0.05


class Cloud:
    """The queue, as seen from outside."""

    def __init__(self, cloud: LocalCloud, sqs: "SQSClient", queue_url: str) -> None:
        self._cloud = cloud
        self.sqs = sqs
        self.queue_url = queue_url

    def send(self, body: str = "body") -> str:
        return self.sqs.send_message(QueueUrl=self.queue_url, MessageBody=body)["MessageId"]

    def visible(self) -> list[bool]:
        return [message.visible for message in self._cloud.messages(self.queue_url)]

    async def becomes(self, visible: list[bool], within_s: float) -> None:
        end_s = time.monotonic() + within_s
        while (seen := self.visible()) != visible:
            assert time.monotonic() < end_s, f"{seen}, not {visible}, after {within_s} s"
            await asyncio.sleep(_POLL_S)

    async def stays_hidden(self, for_s: float, progress: Callable[[], None]) -> None:
        end_s = time.monotonic() + for_s
        while time.monotonic() < end_s:
            assert self.visible() == [False]
            progress()
            await asyncio.sleep(_POLL_S)


@pytest.fixture
def outside(cloud: LocalCloud, sqs: "SQSClient", queue_url: str) -> Cloud:
    return Cloud(cloud, sqs, queue_url)


@pytest.fixture
def queue(async_sqs: "AsyncSqsClient", queue_url: str) -> SqsQueue:
    return SqsQueue(async_sqs, queue_url, LEASE_S)


@pytest.fixture
def leases(sqs: "SQSClient", queue_url: str) -> SqsLeases:
    return SqsLeases(sqs, queue_url, LEASE_S, STALL_S)


@pytest.fixture
async def message(outside: Cloud, queue: SqsQueue) -> Message:
    outside.send()
    message = await queue.receive()
    assert message is not None
    return message


class TestQueue:
    async def test_receive_tells_what_the_message_is(self, outside: Cloud, queue: SqsQueue) -> None:
        asked_at = time.monotonic()
        message_id = outside.send("ü\n")
        message = await queue.receive()
        assert message is not None
        assert (message.message_id, message.body, message.receive_count) == (message_id, "ü\n", 1)
        assert asked_at <= message.received_at <= time.monotonic()
        assert abs(datetime.now(UTC) - message.sent_at) < timedelta(minutes=1)
        assert outside.visible() == [False]

    async def test_an_unsettled_message_comes_again_after_its_lease(
        self, outside: Cloud, queue: SqsQueue, message: Message
    ) -> None:
        again = await queue.receive()
        assert again is not None
        assert (again.message_id, again.receive_count) == (message.message_id, 2)
        assert again.receipt != message.receipt

    async def test_a_deleted_message_is_gone(self, outside: Cloud, queue: SqsQueue, message: Message) -> None:
        await queue.delete(message)
        assert outside.visible() == []

    async def test_a_message_handed_back_is_visible_at_once_or_when_asked(
        self, outside: Cloud, queue: SqsQueue, message: Message
    ) -> None:
        await queue.retry_after(message, 0)
        assert outside.visible() == [True]
        again = await queue.receive()
        assert again is not None
        await queue.retry_after(again, LEASE_S + 2)
        await outside.stays_hidden(LEASE_S + 1, lambda: None)
        await outside.becomes([True], SLACK_S)

    async def test_a_missing_queue_is_a_service_error_that_names_it(
        self, async_sqs: "AsyncSqsClient", queue_url: str
    ) -> None:
        missing = SqsQueue(async_sqs, f"{queue_url}-missing", LEASE_S)
        with pytest.raises(ServiceError, match="-missing"):
            await missing.check()
        with pytest.raises(ServiceError, match="-missing"):
            await missing.receive()


class TestLease:
    async def test_a_held_message_stays_hidden_beyond_its_lease_and_no_longer(
        self, outside: Cloud, leases: SqsLeases, message: Message
    ) -> None:
        async with leases.hold(message) as lease:
            await outside.stays_hidden(2.5 * LEASE_S, lease.progress)
            assert not lease.lost.is_set()
        await outside.becomes([True], LEASE_S + SLACK_S)

    async def test_a_loop_that_hangs_for_longer_than_a_lease_does_not_lose_it(
        self, outside: Cloud, leases: SqsLeases, message: Message
    ) -> None:
        async with leases.hold(message) as lease:
            time.sleep(2 * LEASE_S)  # noqa: ASYNC251 - this is what is tested
            assert outside.visible() == [False]
            await asyncio.sleep(0)
            assert not lease.lost.is_set()

    async def test_work_without_progress_loses_it(
        self, sqs: "SQSClient", outside: Cloud, queue_url: str, message: Message
    ) -> None:
        stalling = SqsLeases(sqs, queue_url, LEASE_S, stall_s=LEASE_S / 4)
        async with stalling.hold(message) as lease, asyncio.timeout(LEASE_S + SLACK_S):
            await lease.lost.wait()
            await outside.becomes([True], LEASE_S + SLACK_S)

    async def test_a_message_that_somebody_deleted_is_lost(
        self, outside: Cloud, queue: SqsQueue, leases: SqsLeases, message: Message
    ) -> None:
        async with leases.hold(message) as lease, asyncio.timeout(LEASE_S + SLACK_S):
            await queue.delete(message)
            await lease.lost.wait()

    async def test_a_service_that_refuses_loses_it_when_the_lease_has_run_out(
        self, sqs: "SQSClient", queue_url: str, message: Message
    ) -> None:
        # A renewal at a queue that does not exist is refused for a reason that may pass.
        refused = SqsLeases(sqs, f"{queue_url}-missing", LEASE_S, STALL_S)
        async with refused.hold(message) as lease, asyncio.timeout(LEASE_S + SLACK_S):
            await lease.lost.wait()
        assert time.monotonic() >= message.received_at + LEASE_S

    async def test_a_message_handed_back_after_the_work_is_not_hidden_again(
        self, outside: Cloud, queue: SqsQueue, leases: SqsLeases, message: Message
    ) -> None:
        async with leases.hold(message):
            await asyncio.sleep(LEASE_S / 3)  # a renewal is about to be under way
        await queue.retry_after(message, 0)
        for _ in range(round(LEASE_S / _POLL_S)):
            assert outside.visible() == [True]
            await asyncio.sleep(_POLL_S)
