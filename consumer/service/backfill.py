"""Finds the sources that have no current result, and queues them."""

import hashlib
import json
import re
from collections.abc import AsyncGenerator, Iterable
from contextlib import aclosing
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Final, NamedTuple

from consumer.domain import backfill, events, formats, keys
from consumer.domain.backfill import Estimate, Reason, Selection
from consumer.domain.errors import HostError
from consumer.domain.identity import ResultHead
from consumer.domain.result import Status
from consumer.ports import ListedObject, Listing, Queue
from consumer.service import inventory
from consumer.service.inventory import ListedSource
from consumer.service.pace import Pace
from consumer.service.page_sample import PageSample

#: Messages in a request.
_BATCH: Final = 10

#: A line of the journal: a digest, or the beginning of one.
_LINE: Final = re.compile(rb"[0-9a-f]{0,32}\n?")
_LINE_BYTES: Final = 40


class Candidate(NamedTuple):
    """A source, and why it is to be read; `reason` None: its result is current.

    `pages`: if its result tells.
    """

    key: str
    etag: str
    reason: Reason | None
    pages: int | None = None


@dataclass(frozen=True, slots=True)
class Planner:
    """Judges sources of a bucket. `fingerprint`, `force`: see `domain.backfill.reason`.

    `sample` gets those that are queued and of which nothing tells how many pages they have.
    """

    store: Listing
    bucket: str
    selection: Selection
    fingerprint: str | None
    force: bool
    sample: PageSample
    estimate: Estimate = field(default_factory=Estimate)

    async def under(self, prefix: str) -> AsyncGenerator[Candidate]:
        """Yield the sources that are listed under a prefix; only existing results cost a request."""
        listed = self._chosen(inventory.paired(self.store.listed(self.bucket, prefix)))
        async with aclosing(inventory.windowed(listed, self._judge_listed)) as found:
            async for each in found:
                if each is not None:
                    yield each

    def count(self, queued: Candidate) -> None:
        """Count a source that is queued in the estimate."""
        is_known = self.estimate.note_queued(queued.key, queued.pages)
        if not is_known:
            self.sample.offer(queued.key)

    async def of(self, names: Iterable[str]) -> AsyncGenerator[Candidate]:
        """Yield those of these keys that are sources; each costs two requests."""

        async def sources() -> AsyncGenerator[str]:
            for key in names:
                if formats.has_source_extension(key) and not keys.is_own_output(key):
                    yield key

        async with aclosing(inventory.windowed(sources(), self._look)) as found:
            async for each in found:
                if each is not None:
                    yield each

    async def _chosen(
        self, sources: AsyncGenerator[ListedSource[ListedObject]]
    ) -> AsyncGenerator[ListedSource[ListedObject]]:
        async with aclosing(sources):
            async for source in sources:
                if self.selection.has(source.key, source.object.last_modified):
                    yield source

    async def _look(self, key: str) -> Candidate | None:
        info = await self.store.head(self.bucket, key)
        if info is None or not self.selection.has(key, info.source.last_modified):
            return None
        source = info.source
        listed = ListedObject(key, source.etag, source.size_bytes, source.last_modified)
        return await self._judge(ListedSource(listed, has_result=True))

    async def _judge_listed(self, source: ListedSource[ListedObject]) -> Candidate | None:
        if await inventory.is_output(self.store, self.bucket, source):
            return None
        return await self._judge(source)

    async def _judge(self, source: ListedSource[ListedObject]) -> Candidate:
        head = await self.store.head(self.bucket, keys.result_key(source.key)) if source.has_result else None
        result = ResultHead.from_metadata(head.metadata) if head else None
        pages = result.page_count if result and result.status is not Status.FAILURE else None
        if head is not None and pages is not None:
            self.estimate.note_result(source.key, pages, head.source.last_modified)
        why = backfill.reason(source.etag, result, self.fingerprint, force=self.force)
        return Candidate(source.key, source.etag, why, None if why is Reason.CHANGED else pages)


class Journal:
    """A file with a line for each source that was queued: those in it are not queued again.

    Raises OSError if it cannot be opened, ValueError if it is something else.
    """

    def __init__(self, path: Path | None) -> None:
        self._queued: set[bytes] = set()
        self._file: IO[bytes] | None = None
        if path is None:
            return
        if path.exists() and not path.is_file():
            raise ValueError(f"{path} is no file")
        with path.open("a+b") as file:
            file.seek(0)
            while line := file.readline(_LINE_BYTES):
                # A line that was cut off by a crash stands for nothing.
                if not _LINE.fullmatch(line):
                    raise ValueError(f"{path} is no journal of a backfill")
                self._queued.add(line.rstrip())
        self._file = path.open("ab")
        # So that the next line does not continue one that was cut off.
        self._file.write(b"\n")

    def has(self, candidate: Candidate) -> bool:
        """Whether this very object was queued before."""
        return _mark(candidate) in self._queued

    def add(self, candidates: Iterable[Candidate]) -> None:
        """Note sources that were queued; raises HostError."""
        if self._file is None:
            return
        try:
            self._file.write(b"".join(_mark(each) + b"\n" for each in candidates))
            self._file.flush()
        except OSError as error:
            raise HostError(
                f"the last messages were sent, and the journal cannot be written: {error}"
            ) from error

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()


def _mark(candidate: Candidate) -> bytes:
    name = json.dumps([candidate.key, candidate.etag]).encode()
    return hashlib.blake2b(name, digest_size=16).hexdigest().encode()


async def send(
    candidates: Iterable[Candidate], bucket: str, queue: Queue, journal: Journal, pace: Pace
) -> AsyncGenerator[int]:
    """Queue sources, and yield how many at a time. One may be queued twice if this is killed."""
    batch: list[Candidate] = []
    for candidate in candidates:
        batch.append(candidate)
        if len(batch) == _BATCH:
            yield await _send(batch, bucket, queue, journal, pace)
            batch = []
    if batch:
        yield await _send(batch, bucket, queue, journal, pace)


async def _send(batch: list[Candidate], bucket: str, queue: Queue, journal: Journal, pace: Pace) -> int:
    bodies = [events.request(bucket, each.key, force=each.reason is Reason.FORCED) for each in batch]
    await queue.send(bodies)
    journal.add(batch)
    await pace.done(len(batch))
    return len(batch)
