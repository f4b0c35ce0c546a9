"""Reads a part of a long document, and stores its pages as it goes on, so that a crash costs seconds."""

import asyncio
from dataclasses import dataclass, field
from typing import Final

from consumer.clock import Clock
from consumer.domain import parts as pages_of
from consumer.domain.assembly import EncodedResult
from consumer.domain.errors import DocumentError, SourceChangedError, SourceGoneError
from consumer.domain.events import PartRange
from consumer.domain.parts import Identity, PageRange
from consumer.domain.result import PageResult, Source
from consumer.ports import RenderedDocument
from consumer.service import sources
from consumer.service.attempt import Attempt
from consumer.service.documents import DocumentReader
from consumer.service.parts import is_of
from consumer.service.pieces import PieceBuffer
from consumer.service.publisher import NoResult

#: Pages are stored, and the source is described, so often.
CHECKPOINT_S: Final = 5.0

#: A consumer that was started lately does so more often: after this share of its age. So one that is
#: killed loses a few per cent of its work, however short its life was.
_AGE_SHARE: Final = 0.05
_LEAST_CHECKPOINT_S: Final = 1.0


@dataclass(slots=True)
class _Unstored:
    """The pages that are read and not stored yet. `storing`: those that are on their way."""

    buffer: PieceBuffer = field(default_factory=PieceBuffer)
    storing: PieceBuffer = field(default_factory=PieceBuffer)

    def add(self, page: PageResult) -> None:
        self.buffer.add(page)

    def take(self) -> PieceBuffer:
        self.storing, self.buffer = self.buffer, PieceBuffer()
        return self.storing


@dataclass(frozen=True, slots=True)
class PartReader:
    """Reads parts of the documents that `documents` has handed out; `started_at`: when this consumer was."""

    documents: DocumentReader
    clock: Clock
    started_at: float

    async def read(self, part: PartRange, source: Source, attempt: Attempt) -> EncodedResult | NoResult:
        """Read the pages of a part that are not stored; if that were the last ones, make the result.

        Raises SourceChangedError, SourceGoneError and TransientError.
        """
        if not is_of(part, source):
            return NoResult("superseded")
        parts = self.documents.parts
        whose = parts.identity(source, part.page_count)
        wanted = PageRange(part.first, part.last)
        if gaps := pages_of.missing(wanted, await parts.read_ranges(source, whose)):
            if await parts.is_joined(source):
                # The result was looked at before the listing, and its pieces were removed in between.
                return NoResult("joined meanwhile")
            try:
                async with self.documents.opened(source, attempt) as document:
                    page_count = document.page_count
                    if page_count == part.page_count:
                        with attempt.stage("read"):
                            for gap in gaps:
                                await self._read_gap(document, source, attempt, gap)
            except DocumentError as error:
                return self.documents.results.failure(source, attempt, error.code, error.message)
            if page_count != part.page_count:
                # Who has asked for the part knew another document.
                return await self.documents.read(source, attempt)
        return await parts.finish(source, attempt, whose, wanted)

    @property
    def _checkpoint_s(self) -> float:
        age_s = self.clock.monotonic() - self.started_at
        return min(CHECKPOINT_S, max(_LEAST_CHECKPOINT_S, _AGE_SHARE * age_s))

    async def _read_gap(
        self, document: RenderedDocument, source: Source, attempt: Attempt, gap: PageRange
    ) -> None:
        unstored = _Unstored()
        whose = self.documents.parts.identity(source, document.page_count)
        reading = asyncio.create_task(self.documents.scheduler.run(document, unstored.add, gap))
        try:
            is_read = False
            while not is_read:
                # The last pages may come while others are being stored.
                is_read = bool((await asyncio.wait([reading], timeout=self._checkpoint_s))[0])
                await self._checkpoint(unstored, source, attempt, whose)
            await reading
        except (SourceChangedError, SourceGoneError):
            await _end(reading)
            raise
        except BaseException:
            await _end(reading)
            # Pages on their way may be stored: then they are refused, and that is all.
            put = self.documents.parts.pieces.put_in_time
            left = (unstored.storing, unstored.take())
            await asyncio.gather(*(put(source, whose, buffer, attempt.watchdog) for buffer in left))
            raise

    async def _checkpoint(
        self, unstored: _Unstored, source: Source, attempt: Attempt, whose: Identity
    ) -> None:
        parts = self.documents.parts
        if (buffer := unstored.take()).page_count:
            await parts.pieces.put(source, whose, buffer, attempt.watchdog)
            unstored.storing = PieceBuffer()
        await sources.require_unchanged(parts.pieces.store, source)
        await parts.report_progress(source, whose)


async def _end(reading: asyncio.Task[None]) -> None:
    reading.cancel()
    await asyncio.wait([reading])
    if not reading.cancelled():
        # If it has failed, it is the error that is being raised, or comes after it.
        reading.exception()
