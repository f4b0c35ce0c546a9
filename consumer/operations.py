"""The composition root of the commands that look after queues and buckets."""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from consumer import settings
from consumer.app import object_store
from consumer.aws import client as aws
from consumer.aws.client_upload import ClientUploads
from consumer.aws.dead_letters import SqsDeadLetters
from consumer.aws.s3 import S3Store
from consumer.aws.sqs import SqsQueue
from consumer.clock import SystemClock, Watchdog
from consumer.domain.errors import ServiceError
from consumer.processes.layout import picture_renderer
from consumer.processes.renderer import RenderPool
from consumer.processes.slot import Slot
from consumer.service.dead_letters import DeadLetters
from consumer.service.inventory import PARALLEL_HEADS
from consumer.service.pace import Pace
from consumer.service.page_sample import PageCounter

#: Messages are sent and not received: no lease is taken.
_NO_LEASE_S = 0


@dataclass(frozen=True, slots=True)
class DeadLetterClients:
    """What the commands about dead letters need. `pace`: of a redrive to `queue`."""

    letters: DeadLetters
    queue: SqsQueue
    pace: Pace


@asynccontextmanager
async def dead_letter_clients(queue_url: str, per_s: float | None = None) -> AsyncIterator[DeadLetterClients]:
    """Open the dead letters of a queue, of which so many a second are to be moved (None: any number).

    Raises SettingsError if the queue has none, ServiceError.
    """
    clock = SystemClock()
    async with AsyncExitStack() as stack:
        sqs = await stack.enter_async_context(aws.client("sqs", connections=8, read_timeout_s=20))
        dead = await SqsDeadLetters.open(sqs, queue_url, clock, 1 / per_s if per_s else 0.0)
        store = await stack.enter_async_context(object_store(PARALLEL_HEADS))
        queue = SqsQueue(sqs, queue_url, _NO_LEASE_S, clock)
        yield DeadLetterClients(DeadLetters(dead, store), queue, Pace(clock, per_s))


@dataclass(frozen=True, slots=True)
class BackfillClients:
    """What `backfill` needs; `queue` None: nothing is to be queued. `pace`: of the messages."""

    store: S3Store
    queue: SqsQueue | None
    pace: Pace

    async def fetch(self, bucket: str, key: str, path: Path) -> None:
        """Write an object to a file; raises ServiceError if there is none."""
        info = await self.store.head(bucket, key)
        if info is None:
            raise ServiceError(f"GET s3://{bucket}/{key}: there is no such object")
        await self.store.download(info.source.by_etag(), path, Watchdog(SystemClock()))

    @asynccontextmanager
    async def page_counter(self, folder: Path) -> AsyncIterator[PageCounter]:
        """Run a process that opens documents; raises HostError. `folder`: for its files."""
        options = settings.load(settings.PageSettings)
        pool = RenderPool([Slot(picture_renderer(options))], folder, options.max_pages)
        async with pool.running():
            yield PageCounter(self.store, pool, folder, options.max_file_bytes)


@asynccontextmanager
async def backfill_clients(queue_url: str | None, per_s: float | None) -> AsyncIterator[BackfillClients]:
    """Open the bucket, and the queue if there is a URL of one; raises ServiceError if it cannot be used."""
    clock = SystemClock()
    async with AsyncExitStack() as stack:
        queue = None
        if queue_url is not None:
            sqs = await stack.enter_async_context(aws.client("sqs", connections=8, read_timeout_s=20))
            queue = SqsQueue(sqs, queue_url, _NO_LEASE_S, clock)
            # Better now than after the plan.
            await queue.max_receive_count()
        store = await stack.enter_async_context(object_store(PARALLEL_HEADS))
        yield BackfillClients(store, queue, Pace(clock, per_s))


@dataclass(frozen=True, slots=True)
class UploadClients:
    """What `submit` needs: to upload, and to look for results."""

    uploads: ClientUploads
    store: S3Store


@asynccontextmanager
async def upload_clients(report: Callable[[str], None]) -> AsyncIterator[UploadClients]:
    """Open the bucket for uploads; `report` is told what they leave behind."""
    async with object_store(PARALLEL_HEADS) as store:
        yield UploadClients(ClientUploads(store.client, report), store)
