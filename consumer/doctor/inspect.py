"""State of queue, bucket and topic, as AWS reports it. Nothing is received, written or changed."""

from collections.abc import Awaitable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any, Final, Literal

from botocore.exceptions import ClientError

from consumer.aws import client as aws
from consumer.domain.errors import ServiceError, UnavailableError

_MISSING: Final = {
    "404",
    "NoSuchBucket",
    "NotFound",
    "QueueDoesNotExist",
    "AWS.SimpleQueueService.NonExistentQueue",
}


@dataclass(frozen=True, slots=True)
class LookupDenied:
    """A refusal. `is_missing`: the queue, bucket or topic does not exist; otherwise access was denied."""

    reason: str
    is_missing: bool


class AwsInspector:
    """Looks things up with the caller's credentials. Clients open when first needed, and `stack` closes them.

    Every method raises UnavailableError if the service does not answer, SettingsError if it cannot be asked.
    """

    def __init__(self, stack: AsyncExitStack) -> None:
        self._stack = stack
        self._clients: dict[str, Any] = {}

    async def queue(self, url: str) -> dict[str, str] | LookupDenied:
        """Attributes of a queue."""
        sqs = await self._client("sqs")
        lookup = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])
        result = await _result(f"queue {url}", lookup)
        return result if isinstance(result, LookupDenied) else result.get("Attributes", {})

    async def region(self, bucket: str) -> str | LookupDenied | None:
        """Region of a bucket; None if the service does not say."""
        s3 = await self._client("s3")
        result = await _result(f"s3://{bucket}", s3.head_bucket(Bucket=bucket))
        return result if isinstance(result, LookupDenied) else result.get("BucketRegion")

    async def notification(self, bucket: str) -> dict[str, Any] | LookupDenied:
        """Notification configuration of a bucket."""
        s3 = await self._client("s3")
        lookup = s3.get_bucket_notification_configuration(Bucket=bucket)
        return await _result(f"notification of s3://{bucket}", lookup)

    async def topic(self, arn: str) -> dict[str, Any] | LookupDenied:
        """Attributes of a topic."""
        sns = await self._client("sns")
        return await _result(f"topic {arn}", sns.get_topic_attributes(TopicArn=arn))

    async def _client(self, service: Literal["s3", "sns", "sqs"]) -> Any:
        if service not in self._clients:
            client = aws.client(service, connections=2, read_timeout_s=10)
            self._clients[service] = await self._stack.enter_async_context(client)
        return self._clients[service]


async def _result(subject: str, lookup: Awaitable[dict[str, Any]]) -> dict[str, Any] | LookupDenied:
    try:
        async with aws.service_call(subject):
            return await lookup
    except UnavailableError:
        raise
    except ServiceError as error:
        cause = error.__cause__
        code = aws.error_code(cause) if isinstance(cause, ClientError) else ""
        return LookupDenied(str(error), code in _MISSING)
