"""The window of pages that are rendered and not yet read: it bounds memory and disk."""

import asyncio

from consumer.metrics import Metrics


class PageWindow:
    """A place for each of at most `size` pages, of all documents together.

    Parts of documents leave one place free, so that a letter is rendered at once.
    """

    def __init__(self, size: int, metrics: Metrics) -> None:
        self._metrics = metrics
        self._places = asyncio.Semaphore(size)
        self._part_places = asyncio.Semaphore(max(1, size - 1))
        metrics.ready_pages_limit.set(size)

    async def enter(self, *, is_part: bool) -> None:
        """Wait until a page may be rendered."""
        if is_part:
            await self._part_places.acquire()
        try:
            await self._places.acquire()
        except BaseException:
            if is_part:
                self._part_places.release()
            raise
        self._metrics.ready_pages.inc()

    def leave(self, *, is_part: bool) -> None:
        """Let another page be rendered."""
        self._metrics.ready_pages.dec()
        self._places.release()
        if is_part:
            self._part_places.release()
