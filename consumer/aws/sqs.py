"""The queue on SQS."""

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from consumer.aws.client import service_call
from consumer.clock import Clock
from consumer.domain.errors import ServiceError
from consumer.ports import Message

if TYPE_CHECKING:
    from types_aiobotocore_sqs import SQSClient

#: Long poll. SQS allows 20 s, but a stopping consumer waits for the outstanding poll, and an idle one
#: asking every 5 s still costs well under a dollar a month.
WAIT_S: Final = 5

_RELEASE_S: Final = 4.0


class SqsQueue:
    """A queue; `lease_s` is how long a received message is hidden from others."""

    def __init__(self, client: "SQSClient", queue_url: str, lease_s: int, clock: Clock) -> None:
        self._client = client
        self._clock = clock
        self._queue_url = queue_url
        self._lease_s = lease_s
        self._asked_at = 0.0
        # The SDK asks again if no answer comes, and the lease began no earlier than that.
        client.meta.events.register("before-send.sqs.ReceiveMessage", self._note_asking)

    def _note_asking(self, **_: Any) -> None:
        self._asked_at = self._clock.monotonic()

    async def check(self) -> None:
        """Raise ServiceError if the queue does not exist or may not be used."""
        await self.max_receive_count()

    async def max_receive_count(self) -> int | None:
        """Return the queue's maxReceiveCount; None if it has no redrive policy."""
        async with service_call(f"queue {self._queue_url}"):
            answer = await self._client.get_queue_attributes(
                QueueUrl=self._queue_url, AttributeNames=["RedrivePolicy"]
            )
        policy = answer.get("Attributes", {}).get("RedrivePolicy", "{}")
        try:
            count = json.loads(policy).get("maxReceiveCount")
            return None if count is None else int(count)
        except (ValueError, TypeError, AttributeError) as error:
            raise ServiceError(f"queue {self._queue_url}: its redrive policy is {policy!r}") from error

    async def receive(self) -> Message | None:
        """Wait up to `WAIT_S` seconds for one message; one call at a time, which must not be cancelled."""
        async with service_call(f"receive from {self._queue_url}", WAIT_S + 10):
            answer = await self._client.receive_message(
                QueueUrl=self._queue_url,
                MaxNumberOfMessages=1,
                WaitTimeSeconds=WAIT_S,
                VisibilityTimeout=self._lease_s,
                MessageSystemAttributeNames=["ApproximateReceiveCount", "SentTimestamp"],
            )
        for message in answer.get("Messages", []):
            attributes = message["Attributes"]
            return Message(
                message_id=message["MessageId"],
                receipt=message["ReceiptHandle"],
                body=message["Body"],
                receive_count=int(attributes["ApproximateReceiveCount"]),
                sent_at=datetime.fromtimestamp(int(attributes["SentTimestamp"]) / 1000, UTC),
                received_at=self._asked_at,
            )
        return None

    async def delete(self, message: Message) -> None:
        """Delete the message for good."""
        async with service_call(f"delete message {message.message_id}"):
            await self._client.delete_message(QueueUrl=self._queue_url, ReceiptHandle=message.receipt)

    async def retry_after(self, message: Message, delay_s: int) -> None:
        """Make the message visible again after `delay_s` seconds."""
        # With a short deadline: sent again later, it might shorten the lease of the next receiver.
        async with service_call(f"release message {message.message_id}", _RELEASE_S):
            await self._client.change_message_visibility(
                QueueUrl=self._queue_url, ReceiptHandle=message.receipt, VisibilityTimeout=delay_s
            )
