"""The sources in a bucket, and the states of their results."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Iterable
from contextlib import aclosing
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, NamedTuple

from consumer.domain import formats, keys, parts
from consumer.domain.identity import ResultHead
from consumer.domain.parts import Piece, Progress
from consumer.domain.result import Status
from consumer.ports import ObjectStore

#: HEAD requests at the same time; the store should have as many connections.
PARALLEL_HEADS: Final = 16


class State(StrEnum):
    """State of a source's result.

    WORKING: pages of a long document are stored. STALE: the source has changed since.
    """

    PENDING = "pending"
    WORKING = "working"
    DONE = "done"
    PARTIAL = "partial"
    FAILED = "failed"
    STALE = "stale"


_STATES: Final = {Status.SUCCESS: State.DONE, Status.PARTIAL: State.PARTIAL, Status.FAILURE: State.FAILED}


async def result_head(store: ObjectStore, bucket: str, source_key: str) -> ResultHead | None:
    """Return the metadata of a source's result; None if there is none."""
    head = await store.head(bucket, keys.result_key(source_key))
    return ResultHead.from_metadata(head.metadata) if head else None


class SourceState(NamedTuple):
    """A source and the state of its result. `progress` of one in work, by the pages that are stored."""

    key: str
    state: State
    progress: Progress | None = None


async def states(
    store: ObjectStore, bucket: str, prefix: str, part_pages: int
) -> AsyncGenerator[SourceState]:
    """Yield each source whose key starts with `prefix` and ends like a document, as the listing comes.

    In the order of their keys, but a source comes after those whose keys begin with its own. Only results
    that the listing has cost a request each. Memory does not grow with the number of sources.
    """
    window: deque[asyncio.Task[SourceState]] = deque()
    try:
        async with aclosing(_listed(store, bucket, prefix)) as sources:
            async for source in sources:
                if len(window) == PARALLEL_HEADS:
                    yield await window[0]
                    window.popleft()
                window.append(asyncio.create_task(_state(store, bucket, source, part_pages)))
        while window:
            yield await window[0]
            window.popleft()
    finally:
        for task in window:
            task.cancel()
        await asyncio.gather(*window, return_exceptions=True)


@dataclass(eq=False)
class _Listed:
    """A source in the listing, and what the listing has of it so far."""

    key: str
    etag: str
    has_result: bool = False
    pieces: list[Piece] = field(default_factory=list)

    def note(self, output_key: str) -> None:
        """Note an output, if it is one of this source."""
        if output_key == keys.result_key(self.key):
            self.has_result = True
        elif piece := Piece.parse(self.key, output_key):
            self.pieces.append(piece)


async def _state(store: ObjectStore, bucket: str, source: _Listed, part_pages: int) -> SourceState:
    result = await result_head(store, bucket, source.key) if source.has_result else None
    if result is not None and result.source_etag == source.etag:
        return SourceState(source.key, _STATES[result.status])
    if source.pieces:
        return SourceState(source.key, State.WORKING, _progress(source.pieces, source.etag, part_pages))
    return SourceState(source.key, State.PENDING if result is None else State.STALE)


async def _listed(store: ObjectStore, bucket: str, prefix: str) -> AsyncGenerator[_Listed]:
    """Yield each source as soon as the listing, which is in the order of keys, has passed its outputs."""
    # Keys between a source and its outputs begin with its own, so each of these begins with the one before.
    waiting: list[_Listed] = []
    async with aclosing(store.list(bucket, prefix)) as objects:
        async for key, etag in objects:
            while waiting and not _may_come(waiting[-1].key, key):
                yield waiting.pop()
            if keys.is_own_output(key):
                for source in waiting:
                    source.note(key)
            elif formats.has_source_extension(key):
                waiting.append(_Listed(key, etag))
    while waiting:
        yield waiting.pop()


def _may_come(source_key: str, key: str) -> bool:
    """Whether outputs of the source may follow `key` in a listing, which is in the order of UTF-8."""
    return key.encode("utf-8", "surrogatepass") < f"{source_key}.ocr0".encode("utf-8", "surrogatepass")


def _progress(pieces: Iterable[Piece], etag: str, part_pages: int) -> Progress:
    """Tell the progress of the source as it is now; of a version that cannot be told, the furthest."""
    by_identity: dict[parts.Identity, list[parts.PageRange]] = {}
    for piece in pieces:
        by_identity.setdefault(piece.identity, []).append(piece.pages)
    # The listing does not tell versions.
    current = {whose for whose in by_identity if whose.is_of_object(etag, None)}
    found = [
        Progress.of(whose.page_count, by_identity[whose], part_pages) for whose in current or by_identity
    ]
    return max(found, key=lambda progress: progress.pages_done)
