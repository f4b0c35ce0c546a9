"""How full the queue and its dead-letter queue are, as SQS tells it now and then."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

import structlog

from consumer.aws.queue_attributes import attributes, dead_letter_url
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
        found = await attributes(client, queue_url)
        for state, name in _COUNTS.items():
            metrics.queue.messages.labels(state).set(int(found[name]))
        metrics.queue.retention_s.set(int(found["MessageRetentionPeriod"]))
        if (dead_letters := dead_letter_url(queue_url, found)) is not None:
            dead = await attributes(client, dead_letters)
            metrics.queue.dead_letters.set(int(dead[_COUNTS["waiting"]]))
    except (ServiceError, KeyError, ValueError) as error:
        log.debug("queue.figures_unknown", error=f"{type(error).__name__}: {error}")
