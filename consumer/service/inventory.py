"""The sources in a bucket, and the states of their results."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterable
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


async def states(store: ObjectStore, bucket: str, prefix: str, part_pages: int) -> AsyncIterator[SourceState]:
    """Yield each source whose key starts with `prefix` and ends like a document, in the order of their keys.

    Only results that the listing has cost a request each.
    """
    sources, outputs, pieces = await _listed(store, bucket, prefix)

    async def state(key: str, etag: str) -> SourceState:
        has_result = keys.result_key(key) in outputs
        result = await result_head(store, bucket, key) if has_result else None
        if result is not None and result.source_etag == etag:
            return SourceState(key, _STATES[result.status])
        if key in pieces:
            return SourceState(key, State.WORKING, _progress(pieces[key], etag, part_pages))
        return SourceState(key, State.PENDING if result is None else State.STALE)

    window: deque[asyncio.Task[SourceState]] = deque()
    try:
        for key, etag in sources:
            if len(window) == PARALLEL_HEADS:
                yield await window[0]
                window.popleft()
            window.append(asyncio.create_task(state(key, etag)))
        while window:
            yield await window[0]
            window.popleft()
    finally:
        for task in window:
            task.cancel()
        await asyncio.gather(*window, return_exceptions=True)


async def _listed(
    store: ObjectStore, bucket: str, prefix: str
) -> tuple[list[tuple[str, str]], set[str], dict[str, list[Piece]]]:
    """List sources with their ETags, outputs, and the pieces of each source."""
    sources: list[tuple[str, str]] = []
    outputs: set[str] = set()
    pieces: dict[str, list[Piece]] = {}
    async for key, etag in store.list(bucket, prefix):
        if (source_key := parts.source_key(key)) and (piece := Piece.parse(source_key, key)):
            pieces.setdefault(source_key, []).append(piece)
        elif keys.is_own_output(key):
            outputs.add(key)
        elif formats.has_source_extension(key):
            sources.append((key, etag))
    return sources, outputs, pieces


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
