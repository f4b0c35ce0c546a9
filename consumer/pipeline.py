"""One source, one stored result: from a job to the document next to its source."""

import contextlib
import os
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from consumer.domain import assembly, formats, identity, keys, result
from consumer.domain.assembly import StoredResult
from consumer.domain.errors import (
    Code,
    ConflictError,
    DocumentError,
    NoRoomError,
    PassingError,
    SourceChangedError,
    SourceGoneError,
)
from consumer.domain.events import Job
from consumer.domain.identity import ResultHead
from consumer.domain.result import Engine, Source
from consumer.pages import PageScheduler
from consumer.ports import Clock, ObjectHead, ObjectStore, Progress, Renderer
from consumer.room import Room

#: How often a source that is overwritten while it is read, or a result that others write, is tried at once.
_TRIES: Final = 5


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of a job; `result` is what was stored, if anything was."""

    reason: str
    result: StoredResult | None = None


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
        room: Room,
        *,
        work_dir: Path,
        max_file_bytes: int,
        clock: Clock,
    ) -> None:
        self._store = store
        self._renderer = renderer
        self._scheduler = scheduler
        self._engine = engine
        self._room = room
        self._work_dir = work_dir
        self._max_file_bytes = max_file_bytes
        self._clock = clock

    async def process(self, job: Job, queued_at: datetime | None, progress: Progress) -> Answer:
        """Make sure that the source, as it is when this returns, has a current result.

        Raises PassingError where that is not possible now.
        """
        return await self._until_steady(job, lambda: self._answer(job, queued_at, progress), progress)

    async def give_up(self, job: Job, queued_at: datetime | None, why: str, progress: Progress) -> Answer:
        """Make sure that the source has a result, be it one that says that nobody will try any more.

        A result of the same source, by whatever engine, is worth more than that. Raises PassingError.
        """
        return await self._until_steady(job, lambda: self._give_up(job, queued_at, why), progress)

    async def check(self, bucket: str) -> None:
        """Raise PassingError where a bucket cannot be used."""
        await self._store.check_bucket(bucket)

    async def _until_steady(
        self, job: Job, attempt: Callable[[], Awaitable[Answer]], progress: Progress
    ) -> Answer:
        """Try again while the source is overwritten meanwhile."""
        for _ in range(_TRIES):
            try:
                return await attempt()
            except SourceChangedError:
                progress()
            except SourceGoneError:
                return Answer("source gone")
        raise PassingError(f"s3://{job.bucket}/{job.key} is overwritten again and again")

    async def _answer(self, job: Job, queued_at: datetime | None, progress: Progress) -> Answer:
        started_at = self._clock.now()
        source = await self._look(job.bucket, job.key)
        if identity.SOURCE_ETAG in source.metadata:
            return Answer("own output")
        there = await self._store.head(job.bucket, keys.result_key(job.key))
        if not job.force and self._is_current(there, source.source):
            return Answer("already current")
        if not await self._is_source(source.source):
            return Answer("not a document")
        read = await self._read(source.source, queued_at, started_at, progress)
        return await self._publish(read, there, self._is_current)

    async def _give_up(self, job: Job, queued_at: datetime | None, why: str) -> Answer:
        now = self._clock.now()
        source = await self._look(job.bucket, job.key)
        if identity.SOURCE_ETAG in source.metadata:
            return Answer("own output")
        there = await self._store.head(job.bucket, keys.result_key(job.key))
        if self._is_of(there, source.source):
            return Answer("given up, a result is there")
        if not await self._is_source(source.source):
            return Answer("not a document")
        timing = result.Timing(queued_at=queued_at, started_at=now, finished_at=now)
        failure = assembly.failure(source.source, self._engine, Code.RETRIES_EXHAUSTED, why, timing)
        return await self._publish(failure, there, self._is_of)

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

    def _is_current(self, there: ObjectHead | None, source: Source) -> bool:
        head = _result_head(there)
        return head is not None and head.is_current(source, self._engine.fingerprint)

    def _is_of(self, there: ObjectHead | None, source: Source) -> bool:
        head = _result_head(there)
        return head is not None and head.is_of(source)

    async def _is_source(self, source: Source) -> bool:
        """By its name; where that promises nothing, by a look at the first bytes."""
        if formats.has_source_extension(source.key):
            return True
        head = await self._store.read_start(source, formats.SNIFF_BYTES)
        return formats.sniff(head) is not None

    async def _read(
        self, source: Source, queued_at: datetime | None, started_at: datetime, progress: Progress
    ) -> StoredResult:
        def timing() -> result.Timing:
            finished_at = self._clock.now()
            return result.Timing(queued_at=queued_at, started_at=started_at, finished_at=finished_at)

        try:
            async with self._downloaded(source, progress) as path:
                with self._scheduler.waiting(progress):
                    async with self._renderer.open(path, _sniffed(path)) as opened:
                        pages = await self._scheduler.read(opened, progress)
                return assembly.assemble(source, self._engine, pages, timing())
        except DocumentError as error:
            return assembly.failure(source, self._engine, error.code, error.message, timing())

    @asynccontextmanager
    async def _downloaded(self, source: Source, progress: Progress) -> AsyncIterator[Path]:
        if source.size_bytes == 0:
            raise DocumentError(Code.EMPTY_FILE, "the file has no bytes: upload it again")
        if source.size_bytes > self._max_file_bytes:
            raise DocumentError(
                Code.TOO_LARGE,
                f"the file has {source.size_bytes} bytes and BUCKET_OCR_MAX_FILE_BYTES "
                f"allows {self._max_file_bytes}: raise it or split the document",
            )
        path = self._work_dir / f"{uuid.uuid4().hex}.source"
        with self._room.used():
            try:
                await self._room.make(lambda: self._download(source, path, progress), progress)
                yield path
            finally:
                _remove(path)

    async def _download(self, source: Source, path: Path, progress: Progress) -> None:
        self._room.require(source.size_bytes)
        try:
            await self._store.download(source, path, progress)
        except NoRoomError:
            # Who waits for room shall take none.
            _remove(path)
            raise

    async def _publish(
        self,
        read: StoredResult,
        there: ObjectHead | None,
        suffices: Callable[[ObjectHead | None, Source], bool],
    ) -> Answer:
        """Store the result, unless the source has changed or somebody else has stored one that suffices."""
        source = read.head.source
        for _ in range(_TRIES):
            await self._require_unchanged(source)
            try:
                await self._store.put_result(
                    source.bucket,
                    keys.result_key(source.key),
                    read.body,
                    identity.metadata(read.head),
                    replaces=there.source.etag if there else None,
                )
            except ConflictError:
                # Also our own put looks like this when its answer was lost and it was sent again.
                there = await self._store.head(source.bucket, keys.result_key(source.key))
                if not suffices(there, source):
                    continue
                answer = Answer("stored meanwhile", read)
            else:
                answer = Answer("stored", read)
            # While the put was under way, the source may have gone back to what the older result was of, and
            # somebody may have found that one current.
            await self._require_unchanged(source)
            return answer
        raise PassingError(f"the result of s3://{source.bucket}/{source.key} is written again and again")


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
