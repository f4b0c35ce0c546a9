"""What SQS tells of the queue and its dead letters becomes metrics, again and again."""

import asyncio
from typing import Any

import pytest
from local_cloud import LocalCloud

from consumer.aws import client as aws
from consumer.aws.queue_watch import watched
from consumer.metrics import Metrics

DEADLINE_S = 300.0


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(f"bucket_ocr_{name}", labels)


async def test_the_queue_and_its_dead_letters_are_counted_again_and_again(
    cloud: LocalCloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, text in cloud.environment().items():
        monkeypatch.setenv(name, text)
    outputs, metrics = cloud.deploy("watched", "watched", "watched"), Metrics()
    async with aws.client("sqs", connections=2, read_timeout_s=60) as client:
        sqs: Any = client
        await sqs.purge_queue(QueueUrl=outputs.queue_url)
        await sqs.send_message(QueueUrl=outputs.dead_letter_queue_url, MessageBody="dead")
        async with watched(sqs, outputs.queue_url, metrics, pause_s=0.1), asyncio.timeout(DEADLINE_S):
            assert value(metrics, "dead_letters") == 1
            assert value(metrics, "queue_retention_seconds") == 14 * 86400
            before = value(metrics, "queue_messages", state="waiting") or 0
            await sqs.send_message(QueueUrl=outputs.queue_url, MessageBody="waits")
            while value(metrics, "queue_messages", state="waiting") != before + 1:
                await asyncio.sleep(0.1)


async def test_a_queue_that_tells_nothing_ends_nothing(
    cloud: LocalCloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, text in cloud.environment().items():
        monkeypatch.setenv(name, text)
    metrics = Metrics()
    async with aws.client("sqs", connections=2, read_timeout_s=60) as client:
        missing = f"{cloud.endpoint_url}/queue/us-east-1/000000000000/missing"
        async with watched(client, missing, metrics):
            assert value(metrics, "dead_letters") == 0
