"""The cloud as one consumer sees it; fulfils `consumer.ports`."""

import asyncio
import contextlib
import itertools
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Final
from weakref import WeakKeyDictionary

from consumer.clock import Watchdog
from consumer.domain import events, keys
from consumer.domain.body import Body, chunks
from consumer.domain.completion import Completion
from consumer.domain.errors import ConflictError, ServiceError
from consumer.domain.lease import LeaseSchedule, Lost, Overdue
from consumer.domain.result import Source
from consumer.ports import Message, NewObject, ObjectInfo
from tests.fakes import BUCKET
from tests.fakes.cloud import LEASE_S, Delivery, RefusedError
from tests.fakes.network import Network
from tests.fakes.virtual_time import EPOCH

#: Longest time without progress before work is overdue.
STALL_S: Final = 150.0

#: How long a receive waits for a message.
WAIT_S: Final = 5.0


class FakeStore:
    """The bucket; fulfils `consumer.ports.ObjectStore`."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self._bucket = network.cloud.s3
        self._readers: WeakKeyDictionary[asyncio.Task[object], str] = WeakKeyDictionary()
        self._numbers = itertools.count()

    @property
    def _me(self) -> str:
        """The name of the one that asks: a consumer, and which of its works."""
        task = asyncio.current_task()
        assert task is not None
        return self._readers.setdefault(task, f"{self._network.process.name}/{next(self._numbers)}")

    async def check_bucket(self, bucket: str) -> None:
        await self._network.call("check_bucket", bucket, partial(_must_exist, bucket))

    async def head(self, bucket: str, key: str) -> ObjectInfo | None:
        # A HEAD has no body to tell a bucket that is missing from an object that is.
        head = partial(self._bucket.head, self._me, key)
        return await self._network.call("head", key, head if bucket == BUCKET else lambda: None)

    async def find(self, bucket: str, key: str) -> ObjectInfo | None:
        find = partial(self._bucket.head, self._me, key)
        found = await self._network.call("find", key, find if bucket == BUCKET else lambda: None)
        return found and ObjectInfo(found.source.model_copy(update={"version_id": None}), {})

    async def list(self, bucket: str, prefix: str) -> AsyncGenerator[tuple[str, str]]:
        objects = await self._network.call("list", prefix, lambda: dict(self._bucket.objects))
        for key in sorted(objects):
            if key.startswith(prefix):
                yield key, objects[key].etag

    async def read_start(self, source: Source, size_bytes: int) -> bytes:
        return (await self._get("read_start", source))[:size_bytes]

    async def download(self, source: Source, path: Path, watchdog: Watchdog) -> None:
        path.write_bytes(await self._get("download", source))
        watchdog.mark()

    async def _get(self, operation: str, source: Source) -> bytes:
        def get() -> bytes:
            _must_exist(source.bucket)
            return self._bucket.get(source)

        return await self._network.call(operation, source.key, get)

    async def put_new(self, new: NewObject, watchdog: Watchdog, tags: Mapping[str, str]) -> None:
        whole = _bytes(new.body, watchdog)

        def put() -> None:
            _must_exist(new.bucket)
            self._bucket.put_new(new.key, whole, new.metadata, tags)

        await self._network.call("put_new", new.key, put, refusal=ConflictError("409"))

    async def read(self, bucket: str, key: str) -> bytes | None:
        def read() -> bytes | None:
            _must_exist(bucket)
            found = self._bucket.objects.get(key)
            return found.body if found else None

        return await self._network.call("read_object", key, read)

    async def delete(self, bucket: str, names: Sequence[str]) -> None:
        def delete() -> None:
            _must_exist(bucket)
            for key in names:
                self._bucket.delete_output(key)

        await self._network.call("delete_objects", " ".join(names), delete)

    async def put(self, new: NewObject, watchdog: Watchdog, *, replaces: str | None) -> str:
        me, whole = self._me, _bytes(new.body, watchdog)
        is_result = new.key.endswith(keys.RESULT_SUFFIX)

        def put() -> str:
            _must_exist(new.bucket)
            if is_result:
                return self._bucket.put_result(me, new.key, whole, new.metadata, replaces)
            return self._bucket.put_output(me, new.key, whole, new.metadata, new.content_type, replaces)

        puts, operation = self._network.cloud.puts, "put" if is_result else "put_output"
        source_key = new.key.rsplit(keys.OUTPUT_PREFIX, 1)[0]
        puts[source_key] += 1
        try:
            return await self._network.call(operation, new.key, put, refusal=ConflictError("409"))
        finally:
            puts[source_key] -= 1


def _bytes(body: Body, watchdog: Watchdog) -> bytes:
    whole = b""
    for chunk in chunks(body):
        whole += chunk
        watchdog.mark()
    return whole


def _must_exist(bucket: str) -> None:
    if bucket != BUCKET:
        raise ServiceError(f"no bucket s3://{bucket}")


class FakeTopic:
    """Announces finished documents; fulfils `consumer.ports.Announce`."""

    def __init__(self, network: Network) -> None:
        self._network = network

    async def __call__(self, completion: Completion) -> None:
        announce = partial(self._network.cloud.announce, completion)
        await self._network.call("announce", completion.source.key, announce)


class FakeQueue:
    """The queue; fulfils `consumer.ports.Queue`. `held`: receipts of leases, and the messages' ids.

    `waiting`: how many of them have left their slots to others.
    """

    def __init__(self, network: Network, slots: int) -> None:
        self._network = network
        self._sqs = network.cloud.sqs
        self._clock = network.cloud.clock
        self._slots = slots
        self._receiving = 0
        self.held: dict[str, str] = {}
        self.waiting: Callable[[], int] = lambda: 0

    async def receive(self) -> Message | None:
        asked_at = self._clock.seconds
        self._demand(not self._receiving, "ports", "two receives at a time")
        self._receiving += 1
        self.check_slots()
        try:
            wait_s = min(max(self._sqs.next_visible_at() - asked_at, 0.0), WAIT_S)
            await self._network.process.sleep(wait_s)
            owner = self._network.process.name
            delivery = await self._network.call("receive", "", lambda: self._sqs.receive(owner, LEASE_S))
        finally:
            self._receiving -= 1
        return _message(delivery, asked_at) if delivery is not None else None

    def check_slots(self) -> None:
        """I5: a message is received only when there is a slot for it."""
        in_flight = self._receiving + len(self.held) - self.waiting()
        self._demand(
            in_flight <= self._slots, "I5", f"{self._network.process.name} has {in_flight} in flight"
        )

    def _demand(self, holds: object, invariant: str, text: str) -> None:
        self._network.cloud.journal.demand(holds, invariant, text)

    async def max_receive_count(self) -> int | None:
        return await self._network.call("attributes", "", lambda: self._sqs.max_receive_count)

    async def send(self, bodies: Sequence[str], delay_s: int = 0) -> None:
        send = partial(self._send, tuple(bodies), delay_s)
        await self._network.call("send", " ".join(bodies), send)

    def _send(self, bodies: tuple[str, ...], delay_s: int) -> None:
        for body in bodies:
            parsed = events.parse(body)
            names = [job.key for job in parsed.jobs]
            malformed = bool(parsed.malformed)
            self._sqs.send(body, names, malformed=malformed, delay_s=delay_s, by_consumer=True)

    async def delete(self, message: Message) -> None:
        self._sqs.settling(message.receipt, "delete")
        await self._network.call("delete", message.receipt, partial(self._sqs.delete, message.receipt))

    async def retry_after(self, message: Message, delay_s: int) -> None:
        self._sqs.settling(message.receipt, "retry")
        try:
            retry = partial(self._sqs.retry, message.receipt, delay_s)
            await self._network.call("retry", message.receipt, retry)
        except RefusedError as error:
            raise ServiceError(str(error)) from error


def _message(delivery: Delivery, asked_at: float) -> Message:
    message = delivery.message
    sent_at = EPOCH + timedelta(seconds=message.sent_at)
    return Message(
        message.message_id,
        delivery.receipt,
        message.body,
        message.kept_count + message.receive_count,
        sent_at,
        asked_at,
    )


class FakeLease:
    """A lease; fulfils `consumer.ports.Lease`."""

    def __init__(self, schedule: LeaseSchedule) -> None:
        self.schedule = schedule
        self.lost = asyncio.Event()
        self.overdue = asyncio.Event()
        self.reason = ""
        self.released = asyncio.Event()


class FakeLeases:
    """Keeps leases as `consumer.aws.lease` does, with a task instead of a thread."""

    def __init__(self, network: Network, queue: FakeQueue) -> None:
        self._network = network
        self._queue = queue
        self._sqs = network.cloud.sqs
        self._clock = network.cloud.clock

    @asynccontextmanager
    async def hold(self, message: Message, watchdog: Watchdog) -> AsyncIterator[FakeLease]:
        lease = FakeLease(LeaseSchedule(message.received_at, LEASE_S, STALL_S))
        self._queue.held[message.receipt] = message.message_id
        self._queue.check_slots()
        keeper = asyncio.create_task(self._keep(message.receipt, lease, watchdog))
        try:
            yield lease
        finally:
            lease.released.set()
            await keeper
            del self._queue.held[message.receipt]
        if lease.schedule.is_over(self._clock.seconds):
            self._lose(message.receipt, lease)

    async def _keep(self, receipt: str, lease: FakeLease, watchdog: Watchdog) -> None:
        while not await self._released(lease):
            asked_at = self._clock.seconds
            due = lease.schedule.decide(asked_at, watchdog.seconds_since_progress)
            if isinstance(due, Lost):
                return self._lose(receipt, lease)
            if isinstance(due, Overdue):
                lease.reason = due.reason
                return lease.overdue.set()
            try:
                renew = partial(self._sqs.renew, receipt, due.hold_s)
                await self._network.call("renew", receipt, renew, slow_s=LEASE_S / 3)
            except RefusedError:
                return self._lose(receipt, lease)
            except ServiceError:
                continue
            lease.schedule.renewed(asked_at, due.hold_s)
        return None

    async def _released(self, lease: FakeLease) -> bool:
        """Wait until a renewal is due, or none will be."""
        due_at = lease.schedule.renewal_due_at
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(due_at):
                await lease.released.wait()
        if not lease.released.is_set():
            await self._network.process.catch_up(due_at)
        return lease.released.is_set()

    def _lose(self, receipt: str, lease: FakeLease) -> None:
        if not lease.lost.is_set():
            lease.lost.set()
            self._sqs.lose(receipt)
