"""What SQS tells of a queue, and of its dead-letter queue."""

import json
from typing import TYPE_CHECKING

from consumer.aws.client import service_call

if TYPE_CHECKING:
    from types_aiobotocore_sqs import SQSClient


async def attributes(client: "SQSClient", queue_url: str) -> dict[str, str]:
    """Return all attributes of a queue."""
    async with service_call(f"queue {queue_url}"):
        response = await client.get_queue_attributes(QueueUrl=queue_url, AttributeNames=["All"])
    return {str(name): value for name, value in response.get("Attributes", {}).items()}


def dead_letter_url(queue_url: str, of_queue: dict[str, str]) -> str | None:
    """Return the URL of its dead-letter queue by a queue's attributes; None if it has none."""
    policy = json.loads(of_queue.get("RedrivePolicy") or "{}")
    if not policy:
        return None
    # SQS accepts only one in the same account and region.
    name = policy["deadLetterTargetArn"].rpartition(":")[2]
    return f"{queue_url.rpartition('/')[0]}/{name}"
