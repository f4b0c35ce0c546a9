"""All that fulfils `ports.ObjectStore` or `ports.Queue`, each with the world outside it.

A test is written once, and asks the port what a consumer would, and the world for what others do.
"""

import asyncio
import itertools
import json
from abc import ABC, abstractmethod
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any, Final

from local_cloud import LocalCloud

from consumer.aws.s3 import S3Store
from consumer.aws.sqs import SqsQueue
from consumer.clock import Clock, SystemClock
from consumer.ports import Message, ObjectStore, Queue
from tests import fakes
from tests.model.cloud import LEASE_S, Journal, ModelS3, ModelSqs
from tests.model.consumers import Faults, QueueOf, StoreOf, Wire, World
from tests.model.virtual_time import Process, VirtualClock

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client
    from types_boto3_sqs import SQSClient

_POLL_S: Final = 0.05

#: How late what was to be seen at some time may be seen.
SLACK_S: Final = 3.0


class Bucket(ABC):
    """A bucket as its clients see it; `store` is the port to it."""

    def __init__(self, store: ObjectStore, name: str = fakes.BUCKET) -> None:
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
    def keep_versions(self) -> None:
        """Keep, from now on, what is overwritten or deleted."""


class S3Bucket(Bucket):
    """A bucket of LocalStack."""

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

    def keep_versions(self) -> None:
        self._s3.put_bucket_versioning(Bucket=self.name, VersioningConfiguration={"Status": "Enabled"})


class MemoryBucket(Bucket):
    """The bucket of the unit tests."""

    def __init__(self) -> None:
        self._memory = fakes.MemoryStore()
        self._uploads = 0
        self._versioned = False
        super().__init__(self._memory)

    def upload(self, key: str, body: bytes) -> tuple[str, str | None]:
        self._uploads += 1
        stored = self._memory.upload(key, body, f"v{self._uploads}" if self._versioned else None)
        return stored.etag, stored.version_id

    def delete(self, key: str) -> None:
        del self._memory.objects[key]

    def body(self, key: str) -> bytes:
        return self._memory.objects[key].body

    def keep_versions(self) -> None:
        self._versioned = True


class ModelCloud:
    """The cloud of the model, and a consumer's way to it, on which time passes and nothing fails."""

    def __init__(self, folder: Path) -> None:
        self.clock = VirtualClock()
        self.journal = Journal(self.clock)
        self.sqs = ModelSqs(self.journal, Random(1), max_receive_count=None)
        self.s3 = ModelS3(self.journal, self.sqs, versioned=False)
        self.sqs.bucket = self.s3
        world = World(self.clock, self.journal, self.sqs, self.s3, Faults(), folder, seed=1)
        self.process = _Present("contract", self.clock, Random(1))
        self.wire = Wire(world, self.process)


class _Present(Process):
    """A process in the test's own event loop: where it sleeps, the time just passes."""

    async def sleep(self, seconds: float) -> None:
        self._clock.seconds += seconds


class ModelBucket(Bucket):
    """The bucket of the model."""

    def __init__(self, cloud: ModelCloud) -> None:
        super().__init__(StoreOf(cloud.wire))
        self._s3 = cloud.s3

    def upload(self, key: str, body: bytes) -> tuple[str, str | None]:
        self._s3.upload(key, body)
        return self._s3.objects[key].identity

    def delete(self, key: str) -> None:
        self._s3.delete(key)

    def body(self, key: str) -> bytes:
        return self._s3.objects[key].body

    def keep_versions(self) -> None:
        self._s3.versioned = True


class Outside(ABC):
    """A queue as its operator sees it; `queue` is the port to it, `clock` the time both go by."""

    def __init__(self, queue: Queue, clock: Clock, lease_s: float) -> None:
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
    def give_up_after(self, receives: int) -> None:
        """Make a message that was received so often a dead letter."""

    @abstractmethod
    async def passes(self, seconds: float) -> None:
        """Let time pass."""

    async def received(self) -> Message:
        """Receive a message that is there, or comes within a few polls."""
        for _ in range(5):
            if (message := await self.queue.receive()) is not None:
                return message
        raise AssertionError("no message came")

    async def becomes(self, visible: list[bool], within_s: float) -> None:
        end_s = self.clock.monotonic() + within_s
        while (seen := self.visible()) != visible:
            assert self.clock.monotonic() < end_s, f"{seen}, not {visible}, after {within_s} s"
            await self.passes(_POLL_S)

    async def stays_hidden(self, for_s: float) -> None:
        end_s = self.clock.monotonic() + for_s
        while self.clock.monotonic() < end_s:
            assert self.visible() == [False]
            await self.passes(_POLL_S)


class Cloud(Outside):
    """A queue of LocalStack."""

    def __init__(
        self, cloud: LocalCloud, sqs: "SQSClient", queue_url: str, queue: SqsQueue, lease_s: float
    ) -> None:
        super().__init__(queue, SystemClock(), lease_s)
        self._cloud = cloud
        self.sqs = sqs
        self.queue_url = queue_url

    def send(self, body: str = "body") -> str:
        return self.sqs.send_message(QueueUrl=self.queue_url, MessageBody=body)["MessageId"]

    def visible(self) -> list[bool]:
        return [message.visible for message in self._cloud.messages(self.queue_url)]

    def give_up_after(self, receives: int) -> None:
        dead = self.sqs.create_queue(QueueName=f"{self.queue_url.rpartition('/')[2]}-dead")["QueueUrl"]
        arn = self.sqs.get_queue_attributes(QueueUrl=dead, AttributeNames=["QueueArn"])["Attributes"][
            "QueueArn"
        ]
        policy: dict[str, Any] = {"deadLetterTargetArn": arn, "maxReceiveCount": receives}
        self.sqs.set_queue_attributes(
            QueueUrl=self.queue_url, Attributes={"RedrivePolicy": json.dumps(policy)}
        )

    async def passes(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class MemoryOutside(Outside):
    """The queue of the unit tests."""

    def __init__(self, lease_s: float) -> None:
        self._memory = fakes.MemoryQueue(lease_s)
        self._memory.most_receives = None
        self._numbers = itertools.count()
        super().__init__(self._memory, self._memory.clock, lease_s)

    def send(self, body: str = "body") -> str:
        message_id = f"m{next(self._numbers)}"
        self._memory.put(message_id, body)
        return message_id

    def visible(self) -> list[bool]:
        now_s = self.clock.monotonic()
        return [message.visible_at <= now_s for message in self._memory.messages.values()]

    def give_up_after(self, receives: int) -> None:
        self._memory.most_receives = receives

    async def passes(self, seconds: float) -> None:
        self._memory.clock.seconds += seconds


class ModelOutside(Outside):
    """The queue of the model."""

    def __init__(self, cloud: ModelCloud) -> None:
        super().__init__(QueueOf(cloud.wire, cloud.journal), cloud.clock, LEASE_S)
        self._cloud = cloud

    def send(self, body: str = "body") -> str:
        self._cloud.sqs.send(body, ())
        return self._cloud.sqs.messages[-1].message_id

    def visible(self) -> list[bool]:
        return [message.visible_at <= self._cloud.clock.seconds for message in self._cloud.sqs.waiting()]

    def give_up_after(self, receives: int) -> None:
        self._cloud.sqs.max_receive_count = receives

    async def passes(self, seconds: float) -> None:
        self._cloud.clock.seconds += seconds
