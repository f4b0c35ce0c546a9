"""Announcements of finished documents on SNS."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from consumer.aws import client as aws
from consumer.clock import Clock
from consumer.domain.completion import Completion
from consumer.metrics import Metrics
from consumer.ports import Announce

_DEADLINE_S = 30.0


@asynccontextmanager
async def announcer(
    topic_arn: str | None, clock: Clock, metrics: Metrics | None = None
) -> AsyncIterator[Announce]:
    """Give a function that announces a finished document; without a topic it does nothing.

    The function raises ServiceError if the topic does not take it.
    """
    if topic_arn is None:
        yield _announce_nothing
        return
    # A topic takes messages in its own region only, which need not be ours.
    region = topic_arn.split(":")[3]
    async with aws.client(
        "sns", connections=16, read_timeout_s=10, region_name=region, metrics=metrics
    ) as client:

        async def announce(completion: Completion) -> None:
            message = completion.message(clock.now())
            async with aws.service_call(f"publish to {topic_arn}", _DEADLINE_S):
                await client.publish(
                    TopicArn=topic_arn,
                    Message=json.dumps(message),
                    # So that a subscription can choose by it.
                    MessageAttributes={"Status": {"DataType": "String", "StringValue": message["Status"]}},
                )

        yield announce


async def _announce_nothing(_: Completion) -> None:
    pass
