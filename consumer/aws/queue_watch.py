"""How full the queue and its dead-letter queue are, as SQS tells it now and then."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

import structlog

from consumer.aws.client import service_call
from consumer.aws.repeated import repeated
from consumer.domain.errors import ServiceError
from consumer.metrics import Metrics

if TYPE_CHECKING:
    from types_aiobotocore_sqs import SQSClient

_PAUSE_S: Final = 60.0

_COUNTS: Final = {
    "waiting": "ApproximateNumberOfMessages",
    "in_flight": "ApproximateNumberOfMessagesNotVisible",
    "delayed": "ApproximateNumberOfMessagesDelayed",
}

log = structlog.get_logger(__name__)


@asynccontextmanager
async def watched(
    client: "SQSClient", queue_url: str, metrics: Metrics, pause_s: float = _PAUSE_S
) -> AsyncIterator[None]:
    """Note the figures of the queue in `metrics`, every `pause_s` seconds, until the context ends."""

    async def note() -> None:
        await _note(client, queue_url, metrics)

    await note()
    async with repeated(note, pause_s):
        yield


async def _note(client: "SQSClient", queue_url: str, metrics: Metrics) -> None:
    """Note the figures once; those that SQS does not tell stay as they are."""
    try:
        attributes = await _attributes(client, queue_url)
        for state, name in _COUNTS.items():
            metrics.queue.messages.labels(state).set(int(attributes[name]))
        metrics.queue.retention_s.set(int(attributes["MessageRetentionPeriod"]))
        if policy := json.loads(attributes.get("RedrivePolicy") or "{}"):
            # SQS accepts only one in the same account and region.
            name = policy["deadLetterTargetArn"].rpartition(":")[2]
            dead = await _attributes(client, f"{queue_url.rpartition('/')[0]}/{name}")
            metrics.queue.dead_letters.set(int(dead[_COUNTS["waiting"]]))
    except (ServiceError, KeyError, ValueError) as error:
        log.debug("queue.figures_unknown", error=f"{type(error).__name__}: {error}")


async def _attributes(client: "SQSClient", queue_url: str) -> dict[str, str]:
    async with service_call(f"queue {queue_url}"):
        response = await client.get_queue_attributes(QueueUrl=queue_url, AttributeNames=["All"])
    return {str(name): value for name, value in response.get("Attributes", {}).items()}
