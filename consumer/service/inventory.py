"""The sources in a bucket, and the states of their results."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterable
from contextlib import aclosing
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final, Generic, NamedTuple, TypeVar

from consumer.domain import formats, keys, parts
from consumer.domain.identity import SOURCE_ETAG, ResultHead
from consumer.domain.parts import Piece, Progress
from consumer.domain.result import Status
from consumer.ports import ListedObject, Listing, ObjectStore

_Object = TypeVar("_Object", tuple[str, str], ListedObject)
_Source = TypeVar("_Source")
_Seen = TypeVar("_Seen")

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
    """A source and the state of its result. `progress` of one in work, by the pages that are stored.

    `code`: why it failed, if its result tells.
    """

    key: str
    state: State
    progress: Progress | None = None
    code: str | None = None


class SeenResults:
    """Results of an earlier look, by their ETags: another look costs requests for new results alone.

    One entry per result stays in memory.
    """

    def __init__(self) -> None:
        self._seen: dict[str, tuple[str, Status | None, str, str | None]] = {}

    async def look(
        self, store: ObjectStore, bucket: str, source: "ListedSource[tuple[str, str]]"
    ) -> tuple[Status | None, str, str | None]:
        """Return the status of a source's result (None: it is none of ours), its source's ETag, its code."""
        etag = source.result_etag
        seen = self._seen.get(source.key)
        if seen is None or seen[0] != etag:
            head = await result_head(store, bucket, source.key)
            facts = (head.status, head.source_etag, head.code) if head else (None, "", None)
            seen = (etag or "", *facts)
            self._seen[source.key] = seen
        return seen[1:]


async def states(
    store: ObjectStore, bucket: str, prefix: str, part_pages: int, seen: SeenResults | None = None
) -> AsyncGenerator[SourceState]:
    """Yield each source whose key starts with `prefix`, as the listing comes.

    In the order of their keys, but a source comes after those whose keys begin with its own. Only results
    that the listing has cost a request each, and of these only what `seen` has not. Without `seen` memory
    does not grow with the number of sources.
    """

    def look(source: ListedSource[tuple[str, str]]) -> Coroutine[Any, Any, SourceState | None]:
        return _state(store, bucket, source, part_pages, seen or SeenResults())

    async with aclosing(windowed(paired(store.list(bucket, prefix)), look)) as found:
        async for each in found:
            if each is not None:
                yield each


async def windowed(
    sources: AsyncGenerator[_Source], look: Callable[[_Source], Coroutine[Any, Any, _Seen]]
) -> AsyncGenerator[_Seen]:
    """Look at sources, `PARALLEL_HEADS` at the same time; yields what was seen, in their order."""
    window: deque[asyncio.Task[_Seen]] = deque()
    try:
        async with aclosing(sources):
            async for source in sources:
                if len(window) == PARALLEL_HEADS:
                    yield await window[0]
                    window.popleft()
                window.append(asyncio.create_task(look(source)))
        while window:
            yield await window[0]
            window.popleft()
    finally:
        for task in window:
            task.cancel()
        await asyncio.gather(*window, return_exceptions=True)


@dataclass(eq=False)
class ListedSource(Generic[_Object]):
    """A source in the listing, and what the listing has of it so far.

    `may_be_output`: it is named like an output of another source, whose name has no known extension; only its
    metadata tell.
    """

    object: _Object
    may_be_output: bool = False
    has_result: bool = False
    result_etag: str | None = None
    pieces: list[Piece] = field(default_factory=list)

    @property
    def key(self) -> str:
        """Key of the source."""
        return self.object[0]

    @property
    def etag(self) -> str:
        """ETag of the source, without quotation marks."""
        return self.object[1]

    @property
    def is_source(self) -> bool:
        """Whether it is one by its name, or has been read: any object with the bytes of a document is."""
        return formats.has_source_extension(self.key) or self.has_result or bool(self.pieces)

    def note(self, output_key: str, etag: str) -> None:
        """Note an output, if it is one of this source."""
        if output_key == keys.result_key(self.key):
            self.has_result, self.result_etag = True, etag
        elif piece := Piece.parse(self.key, output_key):
            self.pieces.append(piece)


async def _state(
    store: ObjectStore,
    bucket: str,
    source: ListedSource[tuple[str, str]],
    part_pages: int,
    seen: SeenResults,
) -> SourceState | None:
    if await is_output(store, bucket, source):
        return None
    look = seen.look(store, bucket, source) if source.has_result else None
    status, etag, code = await look if look else (None, "", None)
    if status is not None and etag == source.etag:
        return SourceState(source.key, _STATES[status], code=code)
    if source.pieces:
        return SourceState(source.key, State.WORKING, _progress(source.pieces, source.etag, part_pages))
    return SourceState(source.key, State.PENDING if status is None else State.STALE)


async def paired(objects: AsyncGenerator[_Object]) -> AsyncGenerator[ListedSource[_Object]]:
    """Yield each source as soon as the listing, which is in the order of keys, has passed its outputs.

    `objects`: the listing, each with its key and its ETag first. A source without a known extension is one
    if it has been read.
    """
    # Keys between a source and its outputs begin with its own, so each of these begins with the one before.
    waiting: list[ListedSource[_Object]] = []
    async with aclosing(objects):
        async for each in objects:
            key, etag = each[0], each[1]
            while waiting and not _may_come(waiting[-1].key, key):
                source = waiting.pop()
                if source.is_source:
                    yield source
            for source in waiting:
                source.note(key, etag)
            if not keys.is_own_output(key):
                owners = (source for source in waiting if keys.may_be_output_of(source.key, key))
                waiting.append(ListedSource(each, may_be_output=any(owner.is_source for owner in owners)))
    while waiting:
        source = waiting.pop()
        if source.is_source:
            yield source


async def is_output(store: Listing | ObjectStore, bucket: str, source: ListedSource[Any]) -> bool:
    """Whether a source in a listing is an output of another; asks for its metadata only if it may be one."""
    head = await store.head(bucket, source.key) if source.may_be_output else None
    return head is not None and SOURCE_ETAG in head.metadata


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
