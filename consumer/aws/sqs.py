"""The queue on SQS."""

import json
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from consumer.aws.client import asked
from consumer.domain.errors import ServiceError
from consumer.ports import Message

if TYPE_CHECKING:
    from types_aiobotocore_sqs import SQSClient

#: Long poll. SQS allows 20 s, but a stopping consumer waits for the outstanding poll, and an idle one
#: asking every 5 s still costs well under a dollar a month.
WAIT_S: Final = 5

_HAND_BACK_S: Final = 4.0


class SqsQueue:
    """A queue; `lease_s` is how long a received message is hidden from others."""

    def __init__(self, client: "SQSClient", queue_url: str, lease_s: int) -> None:
        self._client = client
        self._queue_url = queue_url
        self._lease_s = lease_s
        self._asked_at = 0.0
        # The SDK asks again where an answer does not come, and the lease began no earlier than that.
        client.meta.events.register("before-send.sqs.ReceiveMessage", self._note_asking)

    def _note_asking(self, **_: Any) -> None:
        self._asked_at = time.monotonic()

    async def check(self) -> None:
        """Raise ServiceError where the queue does not exist or may not be used."""
        await self.max_receive_count()

    async def max_receive_count(self) -> int | None:
        """How often a message is received before it is given up; None: for ever, or until it expires."""
        async with asked(f"queue {self._queue_url}"):
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
        async with asked(f"receive from {self._queue_url}", WAIT_S + 10):
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
        async with asked(f"delete message {message.message_id}"):
            await self._client.delete_message(QueueUrl=self._queue_url, ReceiptHandle=message.receipt)

    async def retry_after(self, message: Message, delay_s: int) -> None:
        """Let others see the message again after `delay_s` seconds."""
        # Not for long: sent again later, it might shorten the lease of whoever has the message by then.
        async with asked(f"hand back message {message.message_id}", _HAND_BACK_S):
            await self._client.change_message_visibility(
                QueueUrl=self._queue_url, ReceiptHandle=message.receipt, VisibilityTimeout=delay_s
            )
