"""One source, one stored result: from a job to the document next to its source."""

import contextlib
import os
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Final

from consumer.domain import assembly, formats, identity, keys, result
from consumer.domain.assembly import EncodedResult
from consumer.domain.completion import Completion
from consumer.domain.errors import (
    Code,
    ConflictError,
    DiskFullError,
    DocumentError,
    SourceChangedError,
    SourceGoneError,
    TransientError,
)
from consumer.domain.events import Job
from consumer.domain.identity import ResultHead
from consumer.domain.result import Engine, Source
from consumer.metrics import Metrics
from consumer.ports import Clock, ObjectHead, ObjectStore, Progress, Renderer
from consumer.service.disk_space import DiskSpace
from consumer.service.scheduler import PageScheduler

#: How often a source that is overwritten while it is read, or a result that others write, is tried at once.
_TRIES: Final = 5


@dataclass(frozen=True, slots=True)
class JobResult:
    """What became of a job.

    `result` is what was stored, if anything was; `seconds`, how long that took by stage. `completion` tells
    of the result that is there, if one is.
    """

    reason: str
    result: EncodedResult | None = None
    completion: Completion | None = None
    seconds: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Attempt:
    """One try at a job: when it began, whom it tells of its progress, and how long its stages took."""

    queued_at: datetime | None
    started_at: datetime
    progress: Progress
    seconds: dict[str, float] = field(default_factory=dict)


class Pipeline:
    """Makes sure that sources have current results.

    `engine` is written into every result and its fingerprint decides what is current.
    """

    def __init__(  # noqa: PLR0913 - the one place where all ports meet
        self,
        store: ObjectStore,
        renderer: Renderer,
        scheduler: PageScheduler,
        engine: Engine,
        disk_space: DiskSpace,
        *,
        work_dir: Path,
        max_file_bytes: int,
        clock: Clock,
        metrics: Metrics,
    ) -> None:
        self._store = store
        self._renderer = renderer
        self._scheduler = scheduler
        self._engine = engine
        self._disk_space = disk_space
        self._work_dir = work_dir
        self._max_file_bytes = max_file_bytes
        self._clock = clock
        self._metrics = metrics

    async def process(self, job: Job, queued_at: datetime | None, progress: Progress) -> JobResult:
        """Make sure that the source, as it is when this returns, has a current result.

        Raises PassingError where that is not possible now.
        """
        return await self._until_steady(job, queued_at, progress, self._answer)

    async def write_exhausted_result(
        self, job: Job, queued_at: datetime | None, why: str, progress: Progress
    ) -> JobResult:
        """Make sure that the source has a result, be it one that says that nobody will try any more.

        A result of the same source, by whatever engine, is worth more than that. Raises PassingError.
        """
        return await self._until_steady(
            job, queued_at, progress, lambda job, attempt: self._write_exhausted_result(job, attempt, why)
        )

    async def check(self, bucket: str) -> None:
        """Raise PassingError where a bucket cannot be used."""
        await self._store.check_bucket(bucket)

    async def _until_steady(
        self,
        job: Job,
        queued_at: datetime | None,
        progress: Progress,
        work: Callable[[Job, _Attempt], Awaitable[JobResult]],
    ) -> JobResult:
        """Try again while the source is overwritten meanwhile."""
        for _ in range(_TRIES):
            try:
                return await work(job, _Attempt(queued_at, self._clock.now(), progress))
            except SourceChangedError:
                progress()
            except SourceGoneError:
                return JobResult("source gone")
        raise TransientError(f"s3://{job.bucket}/{job.key} is overwritten again and again")

    async def _answer(self, job: Job, attempt: _Attempt) -> JobResult:
        source = await self._look(job.bucket, job.key)
        if identity.SOURCE_ETAG in source.metadata:
            return JobResult("own output")
        there = await self._store.head(job.bucket, keys.result_key(job.key))
        if not job.force and (current := self._current(there, source.source)):
            return JobResult("already current", completion=Completion.found(source.source, current))
        if not await self._is_source(source.source):
            return JobResult("not a document")
        read = await self._read(source.source, attempt)
        return await self._publish(read, there, attempt, self._current)

    async def _write_exhausted_result(self, job: Job, attempt: _Attempt, why: str) -> JobResult:
        source = await self._look(job.bucket, job.key)
        if identity.SOURCE_ETAG in source.metadata:
            return JobResult("own output")
        there = await self._store.head(job.bucket, keys.result_key(job.key))
        if found := self._made_of(there, source.source):
            return JobResult("given up, a result is there", completion=Completion.found(source.source, found))
        if not await self._is_source(source.source):
            return JobResult("not a document")
        timing = self._timing(attempt)
        failure = assembly.failure(source.source, self._engine, Code.RETRIES_EXHAUSTED, why, timing)
        return await self._publish(failure, there, attempt, self._made_of)

    async def _look(self, bucket: str, key: str) -> ObjectHead:
        head = await self._store.head(bucket, key)
        if head is None:
            # A HEAD is answered by 404 for a bucket that is not there (a wrong endpoint, a typo) as well;
            # taking that for "deleted" would empty the queue without a word.
            await self._store.check_bucket(bucket)
            raise SourceGoneError(key)
        return head

    async def _require_unchanged(self, source: Source) -> None:
        now = (await self._look(source.bucket, source.key)).source
        if (now.etag, now.version_id) != (source.etag, source.version_id):
            raise SourceChangedError(source.key)

    def _current(self, there: ObjectHead | None, source: Source) -> ResultHead | None:
        """Return what is there, if reading the source would give the same."""
        head = _result_head(there)
        return head if head is not None and head.is_current(source, self._engine.fingerprint) else None

    def _made_of(self, there: ObjectHead | None, source: Source) -> ResultHead | None:
        """Return what is there, if it was made of this source, by whatever engine."""
        head = _result_head(there)
        return head if head is not None and head.is_of(source) else None

    async def _is_source(self, source: Source) -> bool:
        """By its name; where that promises nothing, by a look at the first bytes."""
        if formats.has_source_extension(source.key):
            return True
        head = await self._store.read_start(source, formats.SNIFF_BYTES)
        return formats.sniff(head) is not None

    def _timing(self, attempt: _Attempt) -> result.Timing:
        now = self._clock.now()
        return result.Timing(queued_at=attempt.queued_at, started_at=attempt.started_at, finished_at=now)

    @contextmanager
    def _timed(self, stage: str, attempt: _Attempt) -> Iterator[None]:
        """Note how long a stage takes; of one that fails, nothing."""
        began = self._clock.monotonic()
        yield
        attempt.seconds[stage] = self._clock.monotonic() - began
        self._metrics.stage(stage, attempt.seconds[stage])

    async def _read(self, source: Source, attempt: _Attempt) -> EncodedResult:
        try:
            async with self._downloaded(source, attempt) as path:
                with self._scheduler.waiting(attempt.progress):
                    async with self._renderer.open(path, _sniffed(path)) as opened:
                        pages = await self._scheduler.read(opened, attempt.progress)
                return assembly.assemble(source, self._engine, pages, self._timing(attempt))
        except DocumentError as error:
            return assembly.failure(source, self._engine, error.code, error.message, self._timing(attempt))

    @asynccontextmanager
    async def _downloaded(self, source: Source, attempt: _Attempt) -> AsyncIterator[Path]:
        if source.size_bytes == 0:
            raise DocumentError(Code.EMPTY_FILE, "the file has no bytes: upload it again")
        if source.size_bytes > self._max_file_bytes:
            raise DocumentError(
                Code.TOO_LARGE,
                f"the file has {source.size_bytes} bytes and BUCKET_OCR_MAX_FILE_BYTES "
                f"allows {self._max_file_bytes}: raise it or split the document",
            )
        path = self._work_dir / f"{uuid.uuid4().hex}.source"
        with self._disk_space.held():
            try:
                await self._disk_space.run_when_free(
                    lambda: self._download(source, path, attempt), attempt.progress
                )
                yield path
            finally:
                _remove(path)

    async def _download(self, source: Source, path: Path, attempt: _Attempt) -> None:
        self._disk_space.check_fits(source.size_bytes)
        try:
            with self._timed("download", attempt):
                await self._store.download(source, path, attempt.progress)
        except DiskFullError:
            # Who waits for room shall take none.
            _remove(path)
            raise

    async def _publish(
        self,
        read: EncodedResult,
        there: ObjectHead | None,
        attempt: _Attempt,
        suffices: Callable[[ObjectHead | None, Source], ResultHead | None],
    ) -> JobResult:
        """Store the result, unless the source has changed or somebody else has stored one that suffices."""
        source = read.head.source
        for _ in range(_TRIES):
            await self._require_unchanged(source)
            try:
                with self._timed("publish", attempt):
                    await self._store.put_result(
                        source.bucket,
                        keys.result_key(source.key),
                        read.body,
                        identity.metadata(read.head),
                        replaces=there.source.etag if there else None,
                    )
            except ConflictError:
                self._metrics.conflict()
                # Also our own put looks like this when its answer was lost and it was sent again.
                there = await self._store.head(source.bucket, keys.result_key(source.key))
                if not (found := suffices(there, source)):
                    continue
                answer = JobResult("stored meanwhile", read, Completion.found(source, found), attempt.seconds)
            else:
                self._metrics.stored(read.head)
                answer = JobResult("stored", read, Completion.of(read.head), attempt.seconds)
            # While the put was under way, the source may have gone back to what the older result was of, and
            # somebody may have found that one current.
            with contextlib.suppress(SourceGoneError):
                # Whoever takes it away because its result has come shall be told of that all the same.
                await self._require_unchanged(source)
            return answer
        raise TransientError(f"the result of s3://{source.bucket}/{source.key} is written again and again")


def _result_head(there: ObjectHead | None) -> ResultHead | None:
    return ResultHead.from_metadata(there.source.etag, there.metadata) if there else None


def _remove(path: Path) -> None:
    with contextlib.suppress(FileNotFoundError):
        # A renderer may have the file open for a while; its room is wanted now.
        os.truncate(path, 0)
        path.unlink()


def _sniffed(path: Path) -> formats.Format:
    with path.open("rb") as file:
        found = formats.sniff(file.read(formats.SNIFF_BYTES))
    if found is None:
        raise DocumentError(
            Code.UNSUPPORTED_TYPE,
            "the file is no PDF, PNG, JPEG, TIFF, BMP or WebP, whatever its name says",
        )
    return found
