"""Keeps the result of a source current: looks at what exists, and stores what is made.

The conditional put of the result is the fence on which correctness rests: the existing result is described,
then the source, then the result is put, in this order. The other outputs have no fence of their own yet.
"""

import contextlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from consumer.clock import Clock, Watchdog
from consumer.domain import events, formats, identity, keys
from consumer.domain.assembly import EncodedResult
from consumer.domain.body import BytesBody
from consumer.domain.completion import Completion
from consumer.domain.errors import ConflictError, SourceChangedError, SourceGoneError, TransientError
from consumer.domain.events import Job
from consumer.domain.identity import ResultHead
from consumer.domain.result import Source
from consumer.metrics import Metrics
from consumer.ports import NewObject, ObjectInfo, ObjectStore
from consumer.service import sources
from consumer.service.attempt import Attempt

#: Tries at once if the source or its result changes in the meantime.
_TRIES: Final = 5

#: Whether an existing result of the source makes work on it needless.
Accepts = Callable[[ResultHead, Source], bool]


@dataclass(frozen=True, slots=True)
class NoResult:
    """There is no result to be stored now: others will make it, or nobody needs it."""

    reason: str


#: Makes the result of a source.
Make = Callable[[Source, Attempt], Awaitable[EncodedResult | NoResult]]


@dataclass(frozen=True, slots=True)
class JobResult:
    """What became of a job.

    `result` was made, None if none was; another writer may have stored one of its own. Its body is closed.
    `stage_seconds`: how long the stages took. `completion` describes the result that exists now, None if none
    does.
    """

    reason: str
    result: EncodedResult | None = None
    completion: Completion | None = None
    stage_seconds: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Publisher:
    """Stores the results of sources."""

    store: ObjectStore
    clock: Clock
    metrics: Metrics

    async def ensure_result(
        self, job: Job, queued_at: datetime | None, watchdog: Watchdog, *, accepts: Accepts, make: Make
    ) -> JobResult:
        """Make sure that the source, as it is when this returns, has a result that `accepts` accepts.

        `make` makes it if there is none. Raises TransientError if that is not possible now.
        """
        for _ in range(_TRIES):
            attempt = Attempt(queued_at, watchdog, self.clock, self.metrics)
            try:
                with attempt.files:
                    return await self._try(job, attempt, accepts, make)
            except SourceChangedError:
                watchdog.mark()
            except SourceGoneError:
                return JobResult("source gone")
        raise TransientError(f"s3://{job.bucket}/{job.key} is overwritten again and again")

    async def _try(self, job: Job, attempt: Attempt, accepts: Accepts, make: Make) -> JobResult:
        info = await sources.describe(self.store, job.bucket, job.key)
        if identity.SOURCE_ETAG in info.metadata:
            return JobResult(events.OWN_OUTPUT)
        existing = await self.store.head(job.bucket, keys.result_key(job.key))
        attempt.replaces = job.part.replaces if job.part else None
        if match := _accepted(existing, attempt.replaces, info.source, accepts):
            if not job.force:
                return JobResult("already current", completion=Completion(info.source, match))
            attempt.replaces = existing.etag if existing else None
        if not await self._is_document(info.source):
            return JobResult("not a document")
        result = await make(info.source, attempt)
        if isinstance(result, NoResult):
            return JobResult(result.reason, stage_seconds=attempt.stage_seconds)
        return await self._publish(result, existing, attempt, accepts)

    async def _publish(
        self, result: EncodedResult, existing: ObjectInfo | None, attempt: Attempt, accepts: Accepts
    ) -> JobResult:
        """Store the result, unless the source has changed or another writer has stored an accepted one."""
        source = result.head.source
        for _ in range(_TRIES):
            await sources.require_unchanged(self.store, source)
            try:
                with attempt.stage("publish"):
                    await self._put(result, existing, attempt.watchdog)
            except ConflictError:
                self.metrics.conflicts.inc()
                # A put that was sent again after its answer was lost looks the same.
                existing = await self.store.head(source.bucket, keys.result_key(source.key))
                if not (match := _accepted(existing, attempt.replaces, source, accepts)):
                    continue
                reason, completion = "stored meanwhile", Completion(source, match)
            else:
                self.metrics.count_result(result.head)
                reason, completion = "stored", Completion(source, ResultHead.of(result.head))
            # While the put was in flight, the source may have gone back to the bytes of the older result, and
            # another consumer may have found that result current.
            with contextlib.suppress(SourceGoneError):
                # A client may remove a source because its result has come; the result is announced as well.
                await sources.require_unchanged(self.store, source)
            return JobResult(reason, result, completion, attempt.stage_seconds)
        raise TransientError(f"the result of s3://{source.bucket}/{source.key} is written again and again")

    async def _put(self, result: EncodedResult, existing: ObjectInfo | None, watchdog: Watchdog) -> None:
        """Put the other outputs, then the result, which is the mark that all of them are there."""
        source, metadata = result.head.source, ResultHead.of(result.head).metadata
        for output in result.outputs:
            body = BytesBody(output.body)
            new = NewObject(source.bucket, output.key, body, metadata, output.content_type)
            await self.store.put(new, watchdog)
        new = NewObject(source.bucket, keys.result_key(source.key), result.body, metadata)
        await self.store.put_result(new, watchdog, replaces=existing.etag if existing else None)

    async def _is_document(self, source: Source) -> bool:
        """By its name; if that promises nothing, by its first bytes."""
        if formats.has_source_extension(source.key):
            return True
        start = await self.store.read_start(source, formats.SNIFF_BYTES)
        return formats.sniff(start) is not None


def _accepted(
    existing: ObjectInfo | None, replaces: str | None, source: Source, accepts: Accepts
) -> ResultHead | None:
    """Return the head of the existing result if it is accepted, and not to be replaced."""
    if existing is None or existing.etag == replaces:
        return None
    head = ResultHead.from_metadata(existing.metadata)
    return head if head is not None and accepts(head, source) else None
