"""Dead letters by fakes: what a look does in SQS's own terms, and the pace of a redrive."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from consumer.aws.dead_letters import SqsDeadLetters
from consumer.clock import SystemClock
from consumer.domain.errors import SettingsError
from consumer.ports import Message
from consumer.service.dead_letters import MALFORMED, Choice, DeadLetter, Groups
from consumer.service.pace import Pace

URL = "https://sqs.us-east-1.amazonaws.com/1/work"
POLICY = '{"deadLetterTargetArn": "arn:aws:sqs:us-east-1:1:dead", "maxReceiveCount": 3}'


class Sqs:
    """A client of a dead-letter queue; each poll brings one of `polls`."""

    def __init__(self, polls: Sequence[Sequence[str]], **attributes: str) -> None:
        self._polls = [*polls, [], [], []]
        self._attributes = attributes
        self.hidden: dict[str, int] = {}
        self.shown: list[str] = []

    async def get_queue_attributes(self, QueueUrl: str, **_: Any) -> dict[str, Any]:  # noqa: N803
        counts = {"ApproximateNumberOfMessages": "1000", "ApproximateNumberOfMessagesNotVisible": "2"}
        return {"Attributes": {"RedrivePolicy": POLICY} if QueueUrl == URL else counts | self._attributes}

    async def receive_message(self, VisibilityTimeout: int, **_: Any) -> dict[str, Any]:  # noqa: N803
        names = self._polls.pop(0)
        self.hidden |= dict.fromkeys(names, VisibilityTimeout)
        attributes = {"ApproximateReceiveCount": "1", "SentTimestamp": "0"}
        return {
            "Messages": [
                {
                    "MessageId": name,
                    "ReceiptHandle": f"{name}-{len(self._polls)}",
                    "Body": "",
                    "Attributes": attributes,
                }
                for name in names
            ]
        }

    async def change_message_visibility_batch(self, Entries: Any, **_: Any) -> dict[str, Any]:  # noqa: N803
        assert all(entry["VisibilityTimeout"] == 0 for entry in Entries)
        self.shown += [entry["ReceiptHandle"] for entry in Entries]
        return {}

    async def delete_message_batch(self, Entries: Any, **_: Any) -> dict[str, Any]:  # noqa: N803
        return {}


async def _seen(letters: SqsDeadLetters) -> list[str]:
    return [message.message_id async for batch in letters.look() for message in batch]


async def test_a_message_that_comes_twice_is_seen_once_and_shown_by_its_newest_receipt() -> None:
    sqs: Any = Sqs([["a", "b"], ["b"], ["c"]])
    letters = await SqsDeadLetters.open(sqs, URL, SystemClock())
    assert await _seen(letters) == ["a", "b", "c"]
    assert sorted(sqs.shown) == ["a-5", "b-4", "c-3"]


async def test_messages_are_hidden_for_as_long_as_the_work_on_all_may_take() -> None:
    sqs: Any = Sqs([["a"]])
    await _seen(await SqsDeadLetters.open(sqs, URL, SystemClock()))
    assert sqs.hidden == {"a": 60 + 50}
    sqs = Sqs([["a"]])
    await _seen(await SqsDeadLetters.open(sqs, URL, SystemClock(), slowed_s=0.5))
    assert sqs.hidden == {"a": 60 + 550}


async def test_a_look_that_fails_shows_its_messages_again_but_for_those_that_were_deleted() -> None:
    sqs: Any = Sqs([["a", "b"]])
    letters = await SqsDeadLetters.open(sqs, URL, SystemClock())
    look: AsyncGenerator[Sequence[Message]] = letters.look()
    first, _ = await anext(look)
    await letters.delete([first])
    await look.aclose()
    assert sqs.shown == ["b-3"]


async def test_dead_letters_with_a_redrive_policy_themselves_are_not_looked_at() -> None:
    sqs: Any = Sqs([], RedrivePolicy=POLICY)
    with pytest.raises(SettingsError, match="redrive policy itself"):
        await SqsDeadLetters.open(sqs, URL, SystemClock())


def test_the_example_of_a_group_is_its_oldest_message() -> None:
    groups = Groups(Choice())
    for name, day in (("b", 2), ("a", 1), ("c", 3)):
        message = Message(name, name, "", 1, datetime(2026, 1, day, tzinfo=UTC), 0.0)
        groups.add(DeadLetter(message, (), MALFORMED, has_result=False))
    (group,) = groups.largest_first()
    assert (group.messages, group.without_result, group.example) == (3, 3, "a")


async def test_a_pace_allows_so_many_a_second_and_makes_up_for_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock: Any = SimpleNamespace(seconds=100.0, monotonic=lambda: clock.seconds)

    async def sleep(seconds: float) -> None:
        clock.seconds += seconds

    monkeypatch.setattr(asyncio, "sleep", sleep)
    pace = Pace(clock, 5)
    await pace.done(10)
    assert clock.seconds == 102
    clock.seconds += 60
    await pace.done(10)
    await pace.done(10)
    assert clock.seconds == 164
