"""Sending to SQS: what a batch may hold, and messages of a batch that SQS does not take."""

from collections import Counter
from types import SimpleNamespace
from typing import Any, cast

import pytest

from consumer.aws.sqs import SqsQueue
from consumer.clock import SystemClock
from consumer.domain.errors import ServiceError


class FakeClient:
    """SQS; `refusals`: how often it does not take a message with this body."""

    def __init__(self, **refusals: int) -> None:
        self.meta = SimpleNamespace(events=SimpleNamespace(register=lambda *_: None))
        self.requests: list[list[str]] = []
        self.taken: list[str] = []
        self.delays_s: set[int] = set()
        self._refusals = Counter(refusals)

    async def send_message_batch(self, **request: Any) -> dict[str, Any]:
        entries = request["Entries"]
        self.requests.append([entry["MessageBody"] for entry in entries])
        self.delays_s |= {entry["DelaySeconds"] for entry in entries}
        failed = []
        for entry in entries:
            if self._refusals[entry["MessageBody"]]:
                self._refusals[entry["MessageBody"]] -= 1
                failed.append({"Id": entry["Id"], "SenderFault": False, "Code": "InternalError"})
            else:
                self.taken.append(entry["MessageBody"])
        # SQS leaves an empty list out.
        return {"Successful": [], "Failed": failed} if failed else {"Successful": []}


def queue(client: FakeClient) -> SqsQueue:
    return SqsQueue(cast(Any, client), "the-queue", 60, SystemClock())


async def test_messages_are_sent_in_tens_with_their_delay() -> None:
    client = FakeClient()
    await queue(client).send([str(number) for number in range(25)], delay_s=7)
    assert [len(request) for request in client.requests] == [10, 10, 5]
    assert client.taken == [str(number) for number in range(25)]
    assert client.delays_s == {7}


async def test_a_batch_is_no_larger_than_sqs_allows_and_a_large_message_goes_alone() -> None:
    client = FakeClient()
    sizes = [200_000, 62_144, 1, 300_000, 131_072, 131_072]
    await queue(client).send(["x" * size for size in sizes])
    assert [[len(body) for body in request] for request in client.requests] == [
        [200_000, 62_144],
        [1],
        [300_000],
        [131_072, 131_072],
    ]


async def test_the_size_of_a_message_is_counted_in_bytes() -> None:
    client = FakeClient()
    await queue(client).send(["ü" * 100_000, "ü" * 100_000])
    assert len(client.requests) == 2


async def test_messages_that_sqs_does_not_take_are_sent_again_and_they_alone() -> None:
    client = FakeClient(b=2, d=1)
    await queue(client).send(["a", "b", "c", "d"])
    assert client.requests == [["a", "b", "c", "d"], ["b", "d"], ["b"]]
    assert sorted(client.taken) == ["a", "b", "c", "d"]


async def test_a_message_that_sqs_never_takes_is_a_service_error_that_says_why() -> None:
    client = FakeClient(b=1000)
    with pytest.raises(ServiceError, match="the-queue: InternalError"):
        await queue(client).send(["a", "b"])
    assert len(client.requests) < 10
