"""The sources in a bucket, and the states of their results."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from enum import StrEnum
from typing import Final

from consumer.domain import formats, keys
from consumer.domain.identity import ResultHead
from consumer.domain.result import Status
from consumer.ports import ObjectStore

#: HEAD requests at the same time; the store should have as many connections.
PARALLEL_HEADS: Final = 16


class State(StrEnum):
    """State of a source's result. STALE: the source has changed since."""

    PENDING = "pending"
    DONE = "done"
    PARTIAL = "partial"
    FAILED = "failed"
    STALE = "stale"


_STATES: Final = {Status.SUCCESS: State.DONE, Status.PARTIAL: State.PARTIAL, Status.FAILURE: State.FAILED}


async def result_head(store: ObjectStore, bucket: str, source_key: str) -> ResultHead | None:
    """Return the metadata of a source's result; None if there is none."""
    head = await store.head(bucket, keys.result_key(source_key))
    return ResultHead.from_metadata(head.metadata) if head else None


async def states(store: ObjectStore, bucket: str, prefix: str) -> AsyncIterator[tuple[str, State]]:
    """Yield each source whose key starts with `prefix` and ends like a document, in the order of their keys.

    Only results that the listing has cost a request each.
    """
    sources: list[tuple[str, str]] = []
    outputs: set[str] = set()
    async for key, etag in store.list(bucket, prefix):
        if keys.is_own_output(key):
            outputs.add(key)
        elif formats.has_source_extension(key):
            sources.append((key, etag))

    async def state(key: str, etag: str) -> State:
        has_result = keys.result_key(key) in outputs
        result = await result_head(store, bucket, key) if has_result else None
        if result is None:
            return State.PENDING
        return _STATES[result.status] if result.source_etag == etag else State.STALE

    window: deque[tuple[str, asyncio.Task[State]]] = deque()
    try:
        for key, etag in sources:
            if len(window) == PARALLEL_HEADS:
                yield window[0][0], await window[0][1]
                window.popleft()
            window.append((key, asyncio.create_task(state(key, etag))))
        while window:
            yield window[0][0], await window[0][1]
            window.popleft()
    finally:
        for _, task in window:
            task.cancel()
        await asyncio.gather(*(task for _, task in window), return_exceptions=True)
