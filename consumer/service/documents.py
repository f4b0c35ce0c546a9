"""Reads a document: download, open, schedule its pages, assemble; a long one is handed out in parts."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from consumer.domain import formats
from consumer.domain.assembly import Assembly, EncodedResult
from consumer.domain.errors import Code, DocumentError
from consumer.domain.parts import PageRange
from consumer.domain.result import PageResult, Source
from consumer.ports import RenderedDocument, Renderer
from consumer.service.attempt import Attempt
from consumer.service.part_requests import StoppedError
from consumer.service.parts import Parts
from consumer.service.pieces import PieceBuffer
from consumer.service.publisher import NoResult
from consumer.service.results import ResultMaker
from consumer.service.scheduler import PageScheduler
from consumer.service.source_cache import SourceCache, sniffed


@dataclass(frozen=True, slots=True)
class DocumentReader:
    """Makes results of sources."""

    sources: SourceCache
    renderer: Renderer
    scheduler: PageScheduler
    parts: Parts
    results: ResultMaker

    async def read(self, source: Source, attempt: Attempt) -> EncodedResult | NoResult:
        """Read the source, or hand it out if it is long; one that can never be read gets a FAILURE result.

        The body lasts as long as the attempt. Raises SourceChangedError, SourceGoneError, TransientError and
        StoppedError.
        """
        try:
            async with self.opened(source, attempt) as document:
                page_count = document.page_count
                if not self.parts.are_for(source, page_count):
                    pages = self.results.begin(attempt)
                    await self._read_all(document, source, attempt, pages)
                    return await self.results.finish(pages, source, attempt)
            return await self.parts.hand_out(source, attempt, page_count)
        except DocumentError as error:
            return self.results.failure(source, attempt, error.code, error.message)

    @asynccontextmanager
    async def opened(self, source: Source, attempt: Attempt) -> AsyncIterator[RenderedDocument]:
        """Download and open a source, for as long as the context lasts; raises DocumentError."""
        # The document waits for its turn behind others: their progress is its own.
        async with self.sources.opened(source, attempt) as path:
            with attempt.watchdog.following(self.scheduler.watchdog):
                async with self.renderer.open(path, _format(path)) as document:
                    if self.parts.are_for(source, document.page_count):
                        self.sources.keep(source)
                    yield document

    async def _read_all(
        self, document: RenderedDocument, source: Source, attempt: Attempt, pages: Assembly
    ) -> None:
        can_go_on = self.parts.has_room(source, document.page_count)
        unstored = PieceBuffer()

        def add(page: PageResult) -> None:
            pages.add(page)
            if can_go_on:
                unstored.add(page)

        try:
            with attempt.stage("read"):
                await self.scheduler.run(document, add)
        except asyncio.CancelledError:
            whose = self.parts.requests.identity(source, attempt, document.page_count)
            if not await self.parts.pieces.put_in_time(source, whose, unstored, attempt.watchdog):
                raise
            rest = PageRange(min(unstored.pages.last + 1, document.page_count), document.page_count)
            raise StoppedError((self.parts.requests.body(source, attempt, whose, rest),)) from None


def _format(path: Path) -> formats.Format:
    match = sniffed(path)
    if match is None:
        raise DocumentError(
            Code.UNSUPPORTED_TYPE, "the file is no PDF, PNG, JPEG, TIFF, BMP or WebP, whatever its name says"
        )
    return match
