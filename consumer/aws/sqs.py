"""The queue on SQS."""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from consumer.aws.client import service_call
from consumer.clock import Clock
from consumer.domain.errors import ServiceError
from consumer.domain.pauses import DEFAULT_PAUSES
from consumer.ports import Message

if TYPE_CHECKING:
    from types_aiobotocore_sqs import SQSClient
    from types_aiobotocore_sqs.literals import MessageSystemAttributeNameType
    from types_aiobotocore_sqs.type_defs import MessageTypeDef

_SHORT_CALL_S: Final = 4.0

#: SQS takes so many messages in a request. It takes larger requests by now, but not at every endpoint.
BATCH_MESSAGES: Final = 10
_BATCH_BYTES: Final = 256 * 1024

#: What is asked for with each message.
ATTRIBUTES: Final["list[MessageSystemAttributeNameType]"] = ["ApproximateReceiveCount", "SentTimestamp"]

#: A message of a batch that SQS did not take is sent so many times in all.
_SENDS: Final = 4


@dataclass(eq=False)
class SqsQueue:
    """A queue; `lease_s` is how long a received message is hidden from others."""

    client: "SQSClient"
    queue_url: str
    lease_s: int
    clock: Clock
    poll_s: int = DEFAULT_PAUSES.poll_s

    def __post_init__(self) -> None:
        self._asked_at = 0.0
        # The SDK asks again if no answer comes, and the lease began no earlier than that.
        self.client.meta.events.register("before-send.sqs.ReceiveMessage", self._note_asking)

    def _note_asking(self, **_: Any) -> None:
        self._asked_at = self.clock.monotonic()

    async def max_receive_count(self) -> int | None:
        """Return the queue's maxReceiveCount; None if it has no redrive policy."""
        async with service_call(f"queue {self.queue_url}"):
            response = await self.client.get_queue_attributes(
                QueueUrl=self.queue_url, AttributeNames=["RedrivePolicy"]
            )
        policy = response.get("Attributes", {}).get("RedrivePolicy", "{}")
        try:
            count = json.loads(policy).get("maxReceiveCount")
            return None if count is None else int(count)
        except (ValueError, TypeError, AttributeError) as error:
            raise ServiceError(f"queue {self.queue_url}: its redrive policy is {policy!r}") from error

    async def receive(self) -> Message | None:
        """Wait up to `poll_s` seconds for one message; one call at a time, which must not be cancelled."""
        async with service_call(f"receive from {self.queue_url}", self.poll_s + 10):
            response = await self.client.receive_message(
                QueueUrl=self.queue_url,
                MaxNumberOfMessages=1,
                WaitTimeSeconds=self.poll_s,
                VisibilityTimeout=self.lease_s,
                MessageSystemAttributeNames=ATTRIBUTES,
            )
        for message in response.get("Messages", []):
            return as_message(message, self._asked_at)
        return None

    async def send(self, bodies: Sequence[str], delay_s: int = 0) -> None:
        """Send messages, which can be received after `delay_s` seconds; in as few requests as SQS allows."""
        for batch in _batches(bodies):
            left, problem = batch, ""
            for _ in range(_SENDS):
                left, problem = await self._send_batch(left, delay_s)
                if not left:
                    break
            else:
                raise ServiceError(f"send to {self.queue_url}: {problem}")

    async def _send_batch(self, bodies: Sequence[str], delay_s: int) -> tuple[list[str], str]:
        """Send one batch; returns the bodies that SQS did not take, and why."""
        async with service_call(f"send to {self.queue_url}"):
            response = await self.client.send_message_batch(
                QueueUrl=self.queue_url,
                Entries=[
                    {"Id": str(number), "MessageBody": body, "DelaySeconds": delay_s}
                    for number, body in enumerate(bodies)
                ],
            )
        failed = response.get("Failed", [])
        problems = {f"{entry['Code']} {entry.get('Message', '')}".rstrip() for entry in failed}
        return [bodies[int(entry["Id"])] for entry in failed], ", ".join(sorted(problems))

    async def delete(self, message: Message) -> None:
        """Delete the message for good."""
        async with service_call(f"delete message {message.message_id}"):
            await self.client.delete_message(QueueUrl=self.queue_url, ReceiptHandle=message.receipt)

    async def retry_after(self, message: Message, delay_s: int) -> None:
        """Make the message visible again after `delay_s` seconds."""
        # With a short deadline: sent again later, it might shorten the lease of the next receiver.
        async with service_call(f"release message {message.message_id}", _SHORT_CALL_S):
            await self.client.change_message_visibility(
                QueueUrl=self.queue_url, ReceiptHandle=message.receipt, VisibilityTimeout=delay_s
            )


def as_message(received: "MessageTypeDef", asked_at: float) -> Message:
    """Translate a message that was received with `ATTRIBUTES`; `asked_at` is monotonic seconds."""
    attributes = received["Attributes"]
    return Message(
        message_id=received["MessageId"],
        receipt=received["ReceiptHandle"],
        body=received["Body"],
        receive_count=int(attributes["ApproximateReceiveCount"]),
        sent_at=datetime.fromtimestamp(int(attributes["SentTimestamp"]) / 1000, UTC),
        received_at=asked_at,
    )


def _batches(bodies: Iterable[str]) -> Iterator[list[str]]:
    """Divide bodies into batches that SQS takes; one that is too large by itself is a batch of its own."""
    batch: list[str] = []
    size_bytes = 0
    for body in bodies:
        body_bytes = len(body.encode("utf-8", "surrogatepass"))
        if batch and (len(batch) == BATCH_MESSAGES or size_bytes + body_bytes > _BATCH_BYTES):
            yield batch
            batch, size_bytes = [], 0
        batch.append(body)
        size_bytes += body_bytes
    if batch:
        yield batch
