"""Keeps the result of a source current: looks at what exists, and stores what is made.

The conditional put of the result is the fence on which correctness rests: the existing result is described,
then the source, then the result is put, in this order. So it is with every other output; see `output_store`.
"""

import contextlib
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final

import structlog

from consumer.clock import Clock, Watchdog
from consumer.domain import events, formats, identity, keys
from consumer.domain.assembly import EncodedResult
from consumer.domain.completion import Completion
from consumer.domain.errors import (
    BucketOcrError,
    ConflictError,
    SourceChangedError,
    SourceGoneError,
    TransientError,
)
from consumer.domain.events import Job
from consumer.domain.identity import ResultHead
from consumer.domain.outputs import Listing
from consumer.domain.result import Source
from consumer.domain.stored_result import ResultLostError
from consumer.metrics import Metrics
from consumer.ports import NewObject, ObjectInfo, ObjectStore
from consumer.service import sources
from consumer.service.attempt import Attempt
from consumer.service.output_store import OutputStore
from consumer.service.outputs import OutputMaker

#: Tries at once if the source or its result changes in the meantime.
_TRIES: Final = 5

log = structlog.get_logger(__name__)

#: Whether an existing result of the source makes work on it needless.
Accepts = Callable[[ResultHead, Source], bool]


@dataclass(frozen=True, slots=True)
class NoResult:
    """There is no result to be stored now: others will make it, or nobody needs it."""

    reason: str


class _OutputsChangedError(BucketOcrError):
    """Another consumer has put outputs since, or its result has other ones."""


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
    outputs: OutputMaker

    async def ensure_result(  # noqa: PLR0913
        self,
        job: Job,
        queued_at: datetime | None,
        watchdog: Watchdog,
        *,
        accepts: Accepts,
        make: Make,
        is_read: bool = True,
    ) -> JobResult:
        """Make sure that the source, as it is when this returns, has a result that `accepts` accepts.

        `make` makes it if there is none; `is_read`: from what the source holds. Raises TransientError if that
        is not possible now, and DocumentError if the source is to be read and cannot be.
        """
        for _ in range(_TRIES):
            attempt = Attempt(queued_at, watchdog, self.clock, self.metrics, is_read=is_read)
            try:
                with attempt.files:
                    return await self._try(job, attempt, accepts, make)
            except SourceChangedError:
                watchdog.mark()
            except _OutputsChangedError:
                # Its result is current: what it lacks is made from it.
                job = replace(job, force=False)
            except SourceGoneError:
                return JobResult("source gone")
        raise TransientError(f"s3://{job.bucket}/{job.key}, or an output, is overwritten again and again")

    async def _try(self, job: Job, attempt: Attempt, accepts: Accepts, make: Make) -> JobResult:
        info = await sources.describe(self.store, job.bucket, job.key, is_read=attempt.is_read)
        if identity.SOURCE_ETAG in info.metadata:
            return JobResult(events.OWN_OUTPUT)
        if info.unreadable is not None and attempt.is_read:
            raise info.unreadable
        existing = await self.store.head(job.bucket, keys.result_key(job.key))
        attempt.replaces = job.part.replaces if job.part else None
        if match := _accepted(existing, attempt.replaces, info.source, accepts):
            lacking = frozenset() if job.force else await self._stored_outputs.lacking(info.source, match)
            if not job.force and not lacking:
                return JobResult("already current", completion=Completion(info.source, match))
            attempt.replaces = existing.etag if existing else None
            if existing is not None and lacking:
                make = self._completing(existing, match, lacking, make)
        elif not await self._is_document(info):
            return JobResult("not a document")
        result = await make(info.source, attempt)
        if isinstance(result, NoResult):
            return JobResult(result.reason, stage_seconds=attempt.stage_seconds)
        return await self._publish(result, existing, attempt, accepts)

    def _completing(
        self, existing: ObjectInfo, head: ResultHead, lacking: Collection[str], otherwise: Make
    ) -> Make:
        """Make what a current result lacks from that result; if it cannot be read, from the source."""

        async def make(source: Source, attempt: Attempt) -> EncodedResult | NoResult:
            try:
                return await self.outputs.complete(source, existing, head, lacking, attempt)
            except ResultLostError as error:
                log.warning("result.lost", bucket=source.bucket, key=existing.source.key, error=str(error))
                return await otherwise(source, attempt)

        return make

    async def _publish(
        self, result: EncodedResult, existing: ObjectInfo | None, attempt: Attempt, accepts: Accepts
    ) -> JobResult:
        """Store the result, unless the source has changed or another writer has stored an accepted one."""
        source, own = result.head.source, dict[str, str]()
        for _ in range(_TRIES):
            there = await self._stored_outputs.listing(source) if result.outputs else Listing()
            await sources.require_unchanged(self.store, source, is_read=attempt.is_read)
            try:
                with attempt.stage("publish"):
                    head = await self._put(result, existing, there, own, attempt.watchdog)
            except ConflictError:
                self.metrics.conflicts.inc()
                # A put that was sent again after its answer was lost looks the same.
                existing = await self.store.head(source.bucket, keys.result_key(source.key))
                if not (match := _accepted(existing, attempt.replaces, source, accepts)):
                    continue
                reason, head = "stored meanwhile", match
            else:
                self.metrics.count_result(result.head, self.clock.now())
                reason = "stored"
            # While the put was in flight, the source may have gone back to the bytes of the older result, and
            # another consumer may have found that result current.
            with contextlib.suppress(SourceGoneError):
                # A client may remove a source because its result has come; the result is announced as well.
                await sources.require_unchanged(self.store, source, is_read=attempt.is_read)
            if await self._stored_outputs.lacking(source, head):
                raise _OutputsChangedError(source.key)
            return JobResult(reason, result, Completion(source, head), attempt.stage_seconds)
        raise TransientError(f"the result of s3://{source.bucket}/{source.key} is written again and again")

    async def _put(
        self,
        result: EncodedResult,
        existing: ObjectInfo | None,
        there: Listing,
        own: dict[str, str],
        watchdog: Watchdog,
    ) -> ResultHead:
        """Put the other outputs, then the result, which is the mark that all of them are there."""
        source, head = result.head.source, ResultHead.of(result.head)
        record = await self._stored_outputs.put(result, there, own, watchdog)
        if record.digests:
            head = head.model_copy(update={"outputs": str(record)})
        new = NewObject(source.bucket, keys.result_key(source.key), result.body, head.metadata)
        await self.store.put(new, watchdog, replaces=existing.etag if existing else None)
        if result.head.outputs:
            await self._stored_outputs.remove_stale(result)
        return head

    @property
    def _stored_outputs(self) -> OutputStore:
        return OutputStore(self.store, self.outputs.wanted)

    async def _is_document(self, info: ObjectInfo) -> bool:
        """By its name; if that promises nothing, by its first bytes."""
        if formats.has_source_extension(info.source.key):
            return True
        if info.unreadable is not None:
            return False
        start = await self.store.read_start(info.source, formats.SNIFF_BYTES)
        return formats.sniff(start) is not None


def _accepted(
    existing: ObjectInfo | None, replaces: str | None, source: Source, accepts: Accepts
) -> ResultHead | None:
    """Return the head of the existing result if it is accepted, and not to be replaced."""
    if existing is None or existing.etag == replaces:
        return None
    head = ResultHead.from_metadata(existing.metadata)
    return head if head is not None and accepts(head, source) else None
