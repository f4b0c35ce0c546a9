"""LocalStack and the fakes behind `ports.ObjectStore` and `ports.Queue`, as clients and operators use them.

A test is written once; it asks the port as a consumer does, and the backend as everybody else does.
"""

import asyncio
import json
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, Final

from local_cloud import LocalCloud

from consumer.aws.s3 import S3Store
from consumer.aws.sqs import SqsQueue
from consumer.clock import Clock, SystemClock, Watchdog
from consumer.ports import Message, ObjectStore, Queue
from tests.fakes import BUCKET
from tests.fakes.cloud import LEASE_S, Cloud
from tests.fakes.network import Faults, Network
from tests.fakes.ports import FakeQueue, FakeStore
from tests.fakes.virtual_time import Process, VirtualClock

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client
    from types_boto3_sqs import SQSClient

_POLL_S: Final = 0.05

#: Of a busy machine.
DEADLINE_S: Final = 60.0


class Steps(Watchdog):
    """Counts the steps forward."""

    def __init__(self) -> None:
        super().__init__(SystemClock())
        self.count = 0

    def mark(self) -> None:
        super().mark()
        self.count += 1


class BucketBackend(ABC):
    """A bucket as its clients see it; `store` is the port to it."""

    def __init__(self, store: ObjectStore, name: str) -> None:
        self.store = store
        self.name = name

    @abstractmethod
    def upload(self, key: str, body: bytes) -> tuple[str, str | None]:
        """Upload an object; returns its ETag and its version."""

    @abstractmethod
    def delete(self, key: str) -> None: ...

    @abstractmethod
    def body(self, key: str) -> bytes: ...

    @abstractmethod
    def tags(self, key: str) -> dict[str, str]: ...

    @abstractmethod
    def keep_versions(self) -> None:
        """Keep versions from now on."""


class LocalStackBucketBackend(BucketBackend):
    def __init__(self, store: S3Store, name: str, s3: "S3Client") -> None:
        super().__init__(store, name)
        self._s3 = s3

    def upload(self, key: str, body: bytes) -> tuple[str, str | None]:
        answer = self._s3.put_object(Bucket=self.name, Key=key, Body=body)
        return answer["ETag"].strip('"'), answer.get("VersionId")

    def delete(self, key: str) -> None:
        self._s3.delete_object(Bucket=self.name, Key=key)

    def body(self, key: str) -> bytes:
        return self._s3.get_object(Bucket=self.name, Key=key)["Body"].read()

    def tags(self, key: str) -> dict[str, str]:
        answer = self._s3.get_object_tagging(Bucket=self.name, Key=key)
        return {tag["Key"]: tag["Value"] for tag in answer["TagSet"]}

    def keep_versions(self) -> None:
        self._s3.put_bucket_versioning(Bucket=self.name, VersioningConfiguration={"Status": "Enabled"})


class FakeBucketBackend(BucketBackend):
    def __init__(self) -> None:
        cloud = Cloud(VirtualClock())
        super().__init__(FakeStore(Network(cloud, Faults())), BUCKET)
        self._s3 = cloud.s3

    def upload(self, key: str, body: bytes) -> tuple[str, str | None]:
        return self._s3.upload(key, body).identity

    def delete(self, key: str) -> None:
        self._s3.delete(key)

    def body(self, key: str) -> bytes:
        return self._s3.objects[key].body

    def tags(self, key: str) -> dict[str, str]:
        return dict(self._s3.objects[key].tags)

    def keep_versions(self) -> None:
        self._s3.versioned = True


class QueueBackend(ABC):
    """A queue as its operator sees it; `queue` is the port to it, `clock` the time both go by."""

    def __init__(self, queue: Queue, clock: Clock, lease_s: int) -> None:
        self.queue = queue
        self.clock = clock
        self.lease_s = lease_s

    @abstractmethod
    def send(self, body: str = "body") -> str:
        """Send a message; returns its id."""

    @abstractmethod
    def visible(self) -> list[bool]:
        """Tell, of every message that is there, whether it can be received now."""

    @abstractmethod
    def set_max_receive_count(self, count: int) -> None: ...

    @abstractmethod
    async def sleep(self, seconds: float) -> None:
        """Let time pass."""

    async def received(self) -> Message:
        """Receive a message that is there, or comes within a few polls."""
        for _ in range(5):
            if (message := await self.queue.receive()) is not None:
                return message
        raise AssertionError("no message came")

    async def becomes_visible(self) -> None:
        """Wait for the only message."""
        deadline = self.clock.monotonic() + DEADLINE_S
        while (visible := self.visible()) != [True]:
            assert self.clock.monotonic() < deadline, visible
            await self.sleep(_POLL_S)

    async def stays_hidden(self, until: float) -> None:
        """See that the only message is hidden; however late this is asked, it is not asked too late.

        LocalStack does not list a message that was sent with a delay before it is over.
        """
        while True:
            visible = self.visible()
            if self.clock.monotonic() >= until:
                return
            assert True not in visible
            await self.sleep(_POLL_S)


class LocalStackQueueBackend(QueueBackend):
    def __init__(
        self, cloud: LocalCloud, sqs: "SQSClient", queue_url: str, queue: SqsQueue, lease_s: int
    ) -> None:
        super().__init__(queue, SystemClock(), lease_s)
        self._cloud = cloud
        self._sqs = sqs
        self._queue_url = queue_url

    def send(self, body: str = "body") -> str:
        return self._sqs.send_message(QueueUrl=self._queue_url, MessageBody=body)["MessageId"]

    def visible(self) -> list[bool]:
        return [message.visible for message in self._cloud.messages(self._queue_url)]

    def set_max_receive_count(self, count: int) -> None:
        dead = self._sqs.create_queue(QueueName=f"{self._queue_url.rpartition('/')[2]}-dead")["QueueUrl"]
        answer = self._sqs.get_queue_attributes(QueueUrl=dead, AttributeNames=["QueueArn"])
        policy: dict[str, Any] = {
            "deadLetterTargetArn": answer["Attributes"]["QueueArn"],
            "maxReceiveCount": count,
        }
        self._sqs.set_queue_attributes(
            QueueUrl=self._queue_url, Attributes={"RedrivePolicy": json.dumps(policy)}
        )

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class _Passing(Process):
    """A process in a loop that is not virtual: the time it would wait just passes."""

    def __init__(self, clock: VirtualClock) -> None:
        self._clock = clock

    async def sleep(self, seconds: float) -> None:
        self._clock.seconds += seconds


class FakeQueueBackend(QueueBackend):
    def __init__(self) -> None:
        self._virtual = VirtualClock()
        self._process = _Passing(self._virtual)
        cloud = Cloud(self._virtual)
        super().__init__(FakeQueue(Network(cloud, Faults(), self._process), slots=9), self._virtual, LEASE_S)
        self._sqs = cloud.sqs

    def send(self, body: str = "body") -> str:
        return self._sqs.send(body, ()).message_id

    def visible(self) -> list[bool]:
        return [message.visible_at <= self._virtual.seconds for message in self._sqs.waiting()]

    def set_max_receive_count(self, count: int) -> None:
        self._sqs.max_receive_count = count

    async def sleep(self, seconds: float) -> None:
        await self._process.sleep(seconds)
