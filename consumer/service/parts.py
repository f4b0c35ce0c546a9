"""Long documents: hand out their pages in parts, and join the parts when all of them are read.

Nobody keeps count of the parts. Whoever stores pages lists what is stored, and joins it if nothing is
missing. Two that join at once do no harm: the put of the result is conditional.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import structlog

from consumer.domain import events, keys, parts
from consumer.domain.assembly import EncodedResult
from consumer.domain.errors import BucketOcrError, Code, TransientError
from consumer.domain.events import PartRange
from consumer.domain.identity import ResultHead
from consumer.domain.parts import Identity, PageRange, Piece
from consumer.domain.result import Source, failed_page
from consumer.ports import Queue
from consumer.service.attempt import Attempt
from consumer.service.pieces import IsCurrent, PieceBuffer, PieceLostError, PieceStore
from consumer.service.progress import ProgressLog
from consumer.service.publisher import NoResult
from consumer.service.results import ResultMaker

#: The messages of parts become visible bit by bit, so that a letter behind them does not wait for all.
_PARTS_PER_SECOND: Final = 10

#: SQS allows no longer delay, in seconds.
_MAX_DELAY_S: Final = 900

log = structlog.get_logger(__name__)


class StoppedError(BucketOcrError):
    """The work was stopped, and its pages are stored; `continuation`: bodies of messages for the rest."""

    def __init__(self, continuation: tuple[str, ...]) -> None:
        super().__init__("the work was stopped")
        self.continuation = continuation


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts of long documents. A part has `part_pages` pages."""

    pieces: PieceStore
    queue: Queue
    progress: ProgressLog
    results: ResultMaker
    part_pages: int

    def are_for(self, source: Source, page_count: int) -> bool:
        """Whether a document is read in parts."""
        return page_count > self.part_pages and self.has_room(source, page_count)

    def has_room(self, source: Source, page_count: int) -> bool:
        """Whether its key leaves room for the keys of pieces."""
        return parts.has_room(source.key, page_count)

    def identity(self, source: Source, page_count: int) -> Identity:
        """Identity of the pages that this consumer reads."""
        return Identity.of(source.etag, source.version_id, self.results.engine.fingerprint, page_count)

    async def read_ranges(self, source: Source, whose: Identity) -> list[PageRange]:
        """List the pages that were read and are stored."""
        pieces = await self.pieces.stored(source.bucket, source.key)
        return [piece.pages for piece in pieces if piece.identity == whose and not piece.exhausted]

    async def hand_out(self, source: Source, attempt: Attempt, page_count: int) -> EncodedResult | NoResult:
        """Send a message for each part that has pages to be read; if there is none, join."""
        whose = self.identity(source, page_count)
        pieces = await self.pieces.stored(source.bucket, source.key)
        own = [piece for piece in pieces if piece.identity == whose]
        if not await self._send(source, whose, own):
            return await self._join(source, attempt, whose, own)
        return NoResult("handed out")

    async def _send(self, source: Source, whose: Identity, own: Iterable[Piece]) -> bool:
        """Send messages for the parts with missing pages; returns whether there were any."""
        read = [piece.pages for piece in own if not piece.exhausted]
        wanted = [
            pages for pages in parts.ranges(whose.page_count, self.part_pages) if parts.missing(pages, read)
        ]
        if wanted:
            for start in range(0, len(wanted), _PARTS_PER_SECOND):
                bodies = [
                    self.request(source, whose, pages) for pages in wanted[start : start + _PARTS_PER_SECOND]
                ]
                await self.queue.send(bodies, min(start // _PARTS_PER_SECOND, _MAX_DELAY_S))
            self.progress.handed_out(source, whose, len(wanted))
        return bool(wanted)

    def request(self, source: Source, whose: Identity, pages: PageRange) -> str:
        """Write the body of a message for these pages."""
        part = PartRange(pages.first, pages.last, whose.page_count, source.etag, source.version_id)
        return events.part_request(source.bucket, source.key, part)

    async def give_up(
        self, part: PartRange, source: Source, attempt: Attempt, reason: str
    ) -> EncodedResult | NoResult:
        """Store the missing pages of a part as failed ones; the document ends PARTIAL."""
        if not is_of(part, source):
            return NoResult("superseded")
        whose = self.identity(source, part.page_count)
        message = f"pages {part.first} to {part.last} were {reason}"
        read = await self.read_ranges(source, whose)
        for gap in parts.missing(PageRange(part.first, part.last), read):
            buffer = PieceBuffer()
            for page_number in range(gap.first, gap.last + 1):
                buffer.add(failed_page(page_number, Code.RETRIES_EXHAUSTED, message))
            await self.pieces.put(source, whose, buffer, attempt.watchdog, exhausted=True)
        return await self.finish(source, attempt, whose, PageRange(part.first, part.last))

    async def finish(
        self, source: Source, attempt: Attempt, whose: Identity, part: PageRange
    ) -> EncodedResult | NoResult:
        """After a part: join the document if all of its pages are stored.

        Raises TransientError if the part itself is not: no other message asks for its pages.
        """
        pieces = await self.pieces.stored(source.bucket, source.key)
        own = [piece for piece in pieces if piece.identity == whose]
        if _is_complete(whose, own):
            return await self._join(source, attempt, whose, own)
        if parts.missing(part, [piece.pages for piece in own]):
            if await self.is_joined(source):
                return NoResult("joined meanwhile")
            raise TransientError(
                f"pages {part} of s3://{source.bucket}/{source.key} were stored and are gone"
            )
        # Consumers of two releases have shared the document. Their pages must not be mixed, and no message
        # for those of the others is left.
        others = [
            piece
            for piece in pieces
            if (piece.identity.source, piece.identity.page_count) == (whose.source, whose.page_count)
            and piece.identity != whose
        ]
        if others and _is_complete(whose, [*own, *others]):
            await self._send(source, whose, own)
            await self.pieces.remove(source.bucket, others)
            return NoResult("handed out again")
        self.progress.report(source, whose, own)
        return NoResult("part stored")

    async def remove_leftovers(self, bucket: str, key: str, is_current: IsCurrent) -> None:
        """Remove the pieces of a source that nobody will join."""
        if await self.pieces.remove_leftovers(bucket, key, is_current):
            await self.queue.send([events.request(bucket, key)])

    async def report_progress(self, source: Source, whose: Identity) -> None:
        """Log how much of a document is stored, once a minute."""
        if self.progress.is_due(source, whose):
            pieces = await self.pieces.stored(source.bucket, source.key)
            self.progress.report(source, whose, [piece for piece in pieces if piece.identity == whose])

    async def _join(
        self, source: Source, attempt: Attempt, whose: Identity, own: Sequence[Piece]
    ) -> EncodedResult | NoResult:
        """Put the pages together, one piece after another."""
        assembly = self.results.begin(attempt)
        with attempt.stage("join"):
            for step in parts.steps(whose.page_count, own):
                try:
                    pages = await self.pieces.read(source.bucket, step)
                except PieceLostError as error:
                    return await self._mend(source, attempt, step.piece, error)
                for page in pages:
                    assembly.add(page)
                attempt.watchdog.mark()
        return self.results.finish(assembly, source, attempt)

    async def _mend(
        self, source: Source, attempt: Attempt, lost: Piece, error: PieceLostError
    ) -> EncodedResult | NoResult:
        """Do without a piece: another consumer has joined them all, or its pages must be read again."""
        if await self.is_joined(source, exhausted=lost.exhausted):
            return NoResult("joined meanwhile")
        log.warning("piece.lost", bucket=source.bucket, error=str(error))
        await self.pieces.remove(source.bucket, [lost])
        return await self.hand_out(source, attempt, lost.identity.page_count)

    async def is_joined(self, source: Source, *, exhausted: bool = False) -> bool:
        """Whether there is a current result, or `exhausted` any of this source."""
        info = await self.pieces.store.head(source.bucket, keys.result_key(source.key))
        result = ResultHead.from_metadata(info.metadata) if info else None
        if result is None:
            return False
        is_current = result.is_current(source, self.results.engine.fingerprint)
        return is_current or (exhausted and result.is_of(source))


def is_of(part: PartRange, source: Source) -> bool:
    """Whether a part is one of this very object; a request without a version is of any."""
    return part.etag == source.etag and part.version_id in {None, source.version_id}


def _is_complete(whose: Identity, pieces: Iterable[Piece]) -> bool:
    return not parts.missing(PageRange(1, whose.page_count), [piece.pages for piece in pieces])
