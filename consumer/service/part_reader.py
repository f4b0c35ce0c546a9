"""Reads a part of a long document, and stores its pages as it goes on, so that a crash costs seconds."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from consumer.clock import Clock
from consumer.domain import parts as pages_of
from consumer.domain.assembly import EncodedResult
from consumer.domain.errors import (
    Code,
    DocumentError,
    ForbiddenError,
    SourceChangedError,
    SourceGoneError,
)
from consumer.domain.events import PartRange
from consumer.domain.parts import Identity, PageRange
from consumer.domain.result import PageResult, Source
from consumer.ports import RenderedDocument
from consumer.service import sources
from consumer.service.attempt import Attempt
from consumer.service.documents import DocumentReader
from consumer.service.part_requests import is_of, is_stray, pass_on, renew
from consumer.service.pieces import PieceBuffer
from consumer.service.publisher import NoResult

#: Pages are stored, and the source is described, so often.
CHECKPOINT_S: Final = 5.0

#: A consumer that was started lately does so more often: after this share of its age. So one that is
#: killed loses a few per cent of its work, however short its life was.
_AGE_SHARE: Final = 0.05
_LEAST_CHECKPOINT_S: Final = 1.0

#: After so many parts in a row of which the rest was not tried, the other parts of a document are not tried.
_HOPELESS_PARTS: Final = 3

#: The host may be well again after so long.
_FORGET_S: Final = 3600.0

#: So many documents with such a part are remembered.
_REMEMBERED: Final = 1000


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


class HopelessDocuments:
    """Documents in which the rest of part after part was not tried. A long one has hundreds of parts.

    Times are in seconds, of a monotonic clock.
    """

    def __init__(self) -> None:
        # Parts in a row, the last one's code, and when it was read; the latest document is the last.
        self._hung: dict[Identity, tuple[int, Code, float]] = {}

    def note(self, whose: Identity, code: Code | None, now_s: float) -> None:
        """Note how the reading of a part has ended: with `code`, its rest was not tried; None: it was."""
        count, _, at_s = self._hung.pop(whose, (0, code, now_s))
        if code is not None:
            self._hung[whose] = (count + 1 if now_s < at_s + _FORGET_S else 1), code, now_s
        if len(self._hung) > _REMEMBERED:
            del self._hung[next(iter(self._hung))]

    def code(self, whose: Identity, now_s: float) -> Code | None:
        """Return why further parts are not worth a try; None if they are."""
        match self._hung.get(whose):
            case (count, code, at_s) if count >= _HOPELESS_PARTS and now_s < at_s + _FORGET_S:
                return code
        return None


@dataclass(frozen=True, slots=True)
class PartReader:
    """Reads parts of the documents that `documents` has handed out; `started_at`: when this consumer was."""

    documents: DocumentReader
    clock: Clock
    started_at: float
    _hopeless: HopelessDocuments = field(default_factory=HopelessDocuments, init=False)

    async def read(
        self, part: PartRange, source: Source, attempt: Attempt, *, is_again: bool = False
    ) -> EncodedResult | NoResult:
        """Read the pages of a part that are not stored; if that were the last ones, make the result.

        `is_again`: the message was received before. Raises SourceChangedError, SourceGoneError,
        TransientError and PassedOnError.
        """
        parts = self.documents.parts
        if not is_of(part, source):
            return NoResult("superseded")
        attempt.started_at = part.started_at or attempt.started_at
        whose = parts.requests.identity(source, attempt, part.page_count)
        await self._store_unstored(source, attempt, whose)
        if gaps := pages_of.missing(part.pages, await parts.read_ranges(source, whose)):
            if await parts.is_joined(source, attempt):
                # The result was looked at before the listing, and its pieces were removed in between.
                return NoResult("joined meanwhile")
            if is_again and gaps != [part.pages]:
                # Pages were stored since it was sent. If its consumer was killed then, it has not failed.
                renew(source.bucket, source.key, part, gaps)
            try:
                read = await self._read_missing(part, source, attempt, gaps)
            except DocumentError as error:
                return self.documents.results.failure(source, attempt, error.code, error.message)
            if read is None:
                return NoResult("no such pages")
            part, whose = read, parts.requests.identity(source, attempt, read.page_count)
            await self._store_unstored(source, attempt, whose)
        return await parts.finish(source, attempt, whose, part.pages, is_stray=is_stray(part))

    async def _store_unstored(self, source: Source, attempt: Attempt, whose: Identity) -> None:
        """Store the pages that were read and refused."""
        while attempt.unstored:
            of, buffer = attempt.unstored[0]
            if of == whose:
                await self.documents.parts.pieces.put(source, whose, buffer, attempt.watchdog)
            del attempt.unstored[0]

    async def _read_missing(
        self, part: PartRange, source: Source, attempt: Attempt, gaps: Sequence[PageRange]
    ) -> PartRange | None:
        """Read the pages; returns the part that they are here, None if the document has no such pages."""
        parts = self.documents.parts
        whose = parts.requests.identity(source, attempt, part.page_count)
        if code := self._hopeless.code(whose, self.clock.monotonic()):
            reason = f"in {_HOPELESS_PARTS} parts in a row, page after page took too long"
            for gap in gaps:
                pages = (self.documents.scheduler.not_tried(n, code, reason) for n in gap.numbers)
                await parts.pieces.put_pages(source, whose, pages, attempt.watchdog)
            return part
        async with self.documents.opened(source, attempt) as document:
            if document.page_count != part.page_count:
                pass_on(source.bucket, source.key, part, f"the document has {document.page_count} pages here")
                if (counted := _counted(part, document.page_count)) is None:
                    return None
                part, whose = counted, parts.requests.identity(source, attempt, document.page_count)
                gaps = pages_of.missing(part.pages, await parts.read_ranges(source, whose))
            with attempt.stage("read"):
                codes = [await self._read_gap(document, source, attempt, whose, gap) for gap in gaps]
            self._hopeless.note(whose, next(filter(None, codes), None), self.clock.monotonic())
        return part

    @property
    def _checkpoint_s(self) -> float:
        age_s = self.clock.monotonic() - self.started_at
        return min(CHECKPOINT_S, max(_LEAST_CHECKPOINT_S, _AGE_SHARE * age_s))

    async def _read_gap(
        self, document: RenderedDocument, source: Source, attempt: Attempt, whose: Identity, gap: PageRange
    ) -> Code | None:
        """Read pages and store them as they come; returns the code of those that hung, see `run`."""
        unstored = _Unstored()
        reading = asyncio.create_task(self.documents.scheduler.run(document, unstored.add, gap))
        try:
            is_read = False
            while not is_read:
                # The last pages may come while others are being stored.
                is_read = bool((await asyncio.wait([reading], timeout=self._checkpoint_s))[0])
                await self._checkpoint(unstored, source, attempt, whose)
            return await reading
        except (SourceChangedError, SourceGoneError):
            await _end(reading)
            raise
        except BaseException:
            await _end(reading)
            # Pages on their way may be stored: then they are refused, and that is all.
            put = self.documents.parts.pieces.put_in_time
            left = (unstored.storing, unstored.take())
            are_stored = await asyncio.gather(*(put(source, whose, each, attempt.watchdog) for each in left))
            attempt.unstored += [
                (whose, buffer)
                for buffer, is_stored in zip(left, are_stored, strict=True)
                if buffer.page_count and not is_stored
            ]
            raise

    async def _checkpoint(
        self, unstored: _Unstored, source: Source, attempt: Attempt, whose: Identity
    ) -> None:
        parts = self.documents.parts
        if (buffer := unstored.take()).page_count:
            try:
                await parts.pieces.put(source, whose, buffer, attempt.watchdog)
            except ForbiddenError:
                # The engines have begun with the next pages, which would be read again.
                attempt.unstored.append((whose, buffer))
            unstored.storing = PieceBuffer()
        await sources.require_unchanged(parts.pieces.store, source)
        await parts.report_progress(source, whose)


def _counted(part: PartRange, page_count: int) -> PartRange | None:
    """Return the part of a document with this number of pages; the last part has all that are left."""
    last = page_count if part.last == part.page_count else min(part.last, page_count)
    return replace(part, last=last, page_count=page_count) if part.first <= last else None


async def _end(reading: asyncio.Task[Code | None]) -> None:
    reading.cancel()
    await asyncio.wait([reading])
    if not reading.cancelled():
        # If it has failed, it is the error that is being raised, or comes after it.
        reading.exception()
