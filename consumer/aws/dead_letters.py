"""The dead-letter queue on SQS, which can be looked at only by receiving."""

import asyncio
from collections.abc import AsyncGenerator, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Self, TypeVar

from consumer.aws.client import service_call
from consumer.aws.queue_attributes import attributes, dead_letter_url
from consumer.aws.sqs import ATTRIBUTES, BATCH_MESSAGES, as_message
from consumer.clock import Clock
from consumer.domain.errors import ServiceError, SettingsError
from consumer.ports import Message

if TYPE_CHECKING:
    from types_aiobotocore_sqs import SQSClient

_T = TypeVar("_T")

#: With a pause SQS asks all of its servers; one more poll finds what was sent meanwhile.
_POLL_S: Final = 1
_EMPTY_POLLS: Final = 2

#: A look takes no longer than this, and so long for each message, unless it is slowed down.
_LEAST_HIDDEN_S: Final = 60
_SLOWEST_S: Final = 0.05

#: SQS hides no message longer.
_MOST_HIDDEN_S: Final = 12 * 3600

#: Requests at the same time that make messages visible again.
_PARALLEL: Final = 8


@dataclass(eq=False)
class SqsDeadLetters:
    """The dead letters of a queue, `url`; `open` finds it. One look at a time.

    `hidden_s`: how long messages stay hidden if a look is killed.
    """

    client: "SQSClient"
    url: str
    clock: Clock
    visible: int
    hidden: int
    hidden_s: int
    #: By the ids of messages that a look has hidden: the receipts that make them visible again.
    _receipts: dict[str, str] = field(default_factory=dict, init=False)

    @classmethod
    async def open(cls, client: "SQSClient", queue_url: str, clock: Clock, slowed_s: float = 0.0) -> Self:
        """Find the dead letters of a queue; raises SettingsError if it has none.

        `slowed_s`: so much longer than to look at it a message takes.
        """
        url = dead_letter_url(queue_url, await attributes(client, queue_url))
        if url is None:
            raise SettingsError(f"queue {queue_url} has no dead-letter queue: see `bucket-ocr doctor`")
        found = await attributes(client, url)
        if found.get("RedrivePolicy"):
            raise SettingsError(
                f"the dead-letter queue {url} has a redrive policy itself: a look would count towards it"
            )
        visible = int(found["ApproximateNumberOfMessages"])
        hidden_s = int(_LEAST_HIDDEN_S + visible * (_SLOWEST_S + slowed_s))
        hidden = int(found["ApproximateNumberOfMessagesNotVisible"])
        return cls(client, url, clock, visible, hidden, min(hidden_s, _MOST_HIDDEN_S))

    async def look(self) -> AsyncGenerator[Sequence[Message]]:
        """Yield all messages, a few at a time, each once. All that are not deleted are visible at the end."""
        seen: set[str] = set()
        empty = 0
        try:
            while empty < _EMPTY_POLLS:
                messages = [each for each in await self._receive() if each.message_id not in seen]
                seen.update(each.message_id for each in messages)
                empty = 0 if messages else empty + 1
                if messages:
                    yield messages
        finally:
            await self._show_again()

    async def _receive(self) -> list[Message]:
        async with service_call(f"receive from {self.url}"):
            response = await self.client.receive_message(
                QueueUrl=self.url,
                MaxNumberOfMessages=BATCH_MESSAGES,
                WaitTimeSeconds=_POLL_S,
                VisibilityTimeout=self.hidden_s,
                MessageSystemAttributeNames=ATTRIBUTES,
            )
        messages = [as_message(each, self.clock.monotonic()) for each in response.get("Messages", [])]
        self._receipts |= {each.message_id: each.receipt for each in messages}
        return messages

    async def delete(self, messages: Sequence[Message]) -> None:
        """Delete messages for good, of those that `look` yielded last."""
        for batch in _batches(messages):
            async with service_call(f"remove from {self.url}"):
                response = await self.client.delete_message_batch(
                    QueueUrl=self.url,
                    Entries=[
                        {"Id": str(number), "ReceiptHandle": each.receipt}
                        for number, each in enumerate(batch)
                    ],
                )
            if failed := response.get("Failed"):
                raise ServiceError(f"remove from {self.url}: {failed[0]['Code']}")
            for each in batch:
                del self._receipts[each.message_id]

    async def _show_again(self) -> None:
        """Make all messages visible that were not deleted."""
        receipts, self._receipts = list(self._receipts.values()), {}
        limit = asyncio.Semaphore(_PARALLEL)

        async def show(batch: Sequence[str]) -> None:
            async with limit, service_call(f"show messages of {self.url} again"):
                # One that is refused has been shown already: its time was over.
                await self.client.change_message_visibility_batch(
                    QueueUrl=self.url,
                    Entries=[
                        {"Id": str(number), "ReceiptHandle": receipt, "VisibilityTimeout": 0}
                        for number, receipt in enumerate(batch)
                    ],
                )

        async with asyncio.TaskGroup() as group:
            for batch in _batches(receipts):
                group.create_task(show(batch))


def _batches(items: Sequence[_T]) -> Iterator[Sequence[_T]]:
    """Divide into as many as SQS takes in a request."""
    for start in range(0, len(items), BATCH_MESSAGES):
        yield items[start : start + BATCH_MESSAGES]
