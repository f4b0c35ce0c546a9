"""What AWS says of queue, bucket and topic, for a diagnosis. Nothing is received, written or changed."""

from collections.abc import AsyncIterator, Awaitable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

from botocore.exceptions import ClientError

from consumer.aws import client as aws
from consumer.domain.errors import ServiceError, UnavailableError

_MISSING: Final = {
    "404",
    "NoSuchBucket",
    "NotFound",
    "AWS.SimpleQueueService.NonExistentQueue",
    "QueueDoesNotExist",
}


@dataclass(frozen=True, slots=True)
class LookupDenied:
    """Why there is no answer. `is_missing`: what was asked for does not exist; else it is refused."""

    reason: str
    is_missing: bool


class AwsInspector:
    """The cloud, to be looked at with the credentials of whoever asks. Raises UnavailableError."""

    def __init__(self, s3: Any, sqs: Any, sns: Any) -> None:
        self._s3 = s3
        self._sqs = sqs
        self._sns = sns

    async def queue(self, url: str) -> dict[str, str] | LookupDenied:
        """Attributes of a queue."""
        ask = self._sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])
        answer = await _answer(f"queue {url}", ask)
        return answer if isinstance(answer, LookupDenied) else answer.get("Attributes", {})

    async def region(self, bucket: str) -> str | LookupDenied | None:
        """Region of a bucket; None where the service does not tell."""
        answer = await _answer(f"s3://{bucket}", self._s3.head_bucket(Bucket=bucket))
        return answer if isinstance(answer, LookupDenied) else answer.get("BucketRegion")

    async def notification(self, bucket: str) -> dict[str, Any] | LookupDenied:
        """Notification configuration of a bucket."""
        ask = self._s3.get_bucket_notification_configuration(Bucket=bucket)
        return await _answer(f"notification of s3://{bucket}", ask)

    async def topic(self, arn: str) -> dict[str, Any] | LookupDenied:
        """Attributes of a topic."""
        return await _answer(f"topic {arn}", self._sns.get_topic_attributes(TopicArn=arn))


@asynccontextmanager
async def cloud() -> AsyncIterator[AwsInspector]:
    """Open it; raises SettingsError."""
    async with AsyncExitStack() as stack:
        clients = [
            await stack.enter_async_context(aws.client(service, connections=2, read_timeout_s=10))
            for service in ("s3", "sqs", "sns")
        ]
        yield AwsInspector(*clients)


async def _answer(what: str, asking: Awaitable[dict[str, Any]]) -> dict[str, Any] | LookupDenied:
    try:
        async with aws.service_call(what):
            return await asking
    except UnavailableError:
        raise
    except ServiceError as error:
        cause = error.__cause__
        code = aws.error_code(cause) if isinstance(cause, ClientError) else ""
        return LookupDenied(str(error), code in _MISSING)
