"""Long documents: hand out their pages in parts, and join the parts when all of them are read.

Nobody keeps count of the parts. A consumer that stores pages lists what is stored, and joins it if nothing
is missing. Two that join at once do no harm: the put of the result is conditional.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import structlog

from consumer.domain import events, keys, parts
from consumer.domain.assembly import EncodedResult
from consumer.domain.errors import Code, TransientError
from consumer.domain.events import PartRange
from consumer.domain.identity import ResultHead
from consumer.domain.parts import Identity, PageRange, Piece
from consumer.domain.result import Source, failed_page
from consumer.service.attempt import Attempt
from consumer.service.part_requests import PartRequests, is_of, is_stray
from consumer.service.pieces import PieceLostError, PieceStore
from consumer.service.publisher import NoResult
from consumer.service.results import ResultMaker

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts of long documents."""

    pieces: PieceStore
    requests: PartRequests
    results: ResultMaker

    def are_for(self, source: Source, page_count: int) -> bool:
        """Whether a document is read in parts."""
        return page_count > self.requests.part_pages and self.has_room(source, page_count)

    def has_room(self, source: Source, page_count: int) -> bool:
        """Whether its key leaves room for the keys of pieces."""
        return parts.has_room(source.key, page_count)

    async def read_ranges(self, source: Source, whose: Identity) -> list[PageRange]:
        """List the pages that were read and are stored."""
        return [piece.pages for piece in await self._own(source, whose) if not piece.exhausted]

    async def _own(self, source: Source, whose: Identity) -> list[Piece]:
        """List the pieces of one identity."""
        pieces = await self.pieces.stored(source.bucket, source.key)
        return [piece for piece in pieces if piece.identity == whose]

    async def hand_out(self, source: Source, attempt: Attempt, page_count: int) -> EncodedResult | NoResult:
        """Send a message for each part that has pages to be read; if there is none, join."""
        whose = self.requests.identity(source, attempt, page_count)
        own = await self._own(source, whose)
        read = [piece.pages for piece in own if not piece.exhausted]
        if not await self.requests.send_missing(source, attempt, whose, read):
            return await self._join(source, attempt, whose, own)
        return NoResult("handed out")

    async def give_up(
        self, part: PartRange, source: Source, attempt: Attempt, reason: str
    ) -> EncodedResult | NoResult:
        """Store the missing pages of a part as failed ones; the document ends PARTIAL."""
        if not is_of(part, source):
            return NoResult("superseded")
        attempt.replaces = part.replaces
        whose = self.requests.identity(source, attempt, part.page_count)
        message = f"pages {part.first} to {part.last} were {reason}"
        read = await self.read_ranges(source, whose)
        for gap in parts.missing(part.pages, read):
            pages = (failed_page(number, Code.RETRIES_EXHAUSTED, message) for number in gap.numbers)
            await self.pieces.put_pages(source, whose, pages, attempt.watchdog, exhausted=True)
        return await self.finish(source, attempt, whose, part.pages, is_stray=is_stray(part))

    async def finish(
        self, source: Source, attempt: Attempt, whose: Identity, pages: PageRange, *, is_stray: bool = False
    ) -> EncodedResult | NoResult:
        """After a part: join the document if all of its pages are stored.

        `is_stray`: no consumer with the engine that the part was for seems to be left. Raises TransientError
        if the part itself is not stored: no other message asks for its pages.
        """
        pieces = await self.pieces.stored(source.bucket, source.key)
        own = [piece for piece in pieces if piece.identity == whose]
        if parts.is_complete(whose, own):
            return await self._join(source, attempt, whose, own)
        if parts.missing(pages, [piece.pages for piece in own]):
            if await self.is_joined(source, attempt):
                return NoResult("joined meanwhile")
            raise TransientError(
                f"pages {pages} of s3://{source.bucket}/{source.key} were stored and are gone"
            )
        by_anyone = [piece for piece in pieces if piece.identity.source == whose.source]
        if any(parts.is_complete(piece.identity, by_anyone) for piece in by_anyone):
            # No message for the pages that the others have read is left.
            winner = whose if is_stray else parts.leading(by_anyone)
            return await self._settle_on(winner, source, attempt, by_anyone)
        self.requests.progress.report(source, whose, own)
        return NoResult("part stored")

    async def _settle_on(
        self, winner: Identity, source: Source, attempt: Attempt, by_anyone: Sequence[Piece]
    ) -> NoResult:
        """Ask for the pages that one engine, of those that shared the document, has not read.

        A result has the pages of one engine.
        """
        won = [piece.pages for piece in by_anyone if piece.identity == winner]
        asked = await self.requests.send_missing(source, attempt, winner, won)
        if not asked:
            # A request for any part of it makes a consumer join it.
            asked = parts.ranges(winner.page_count, self.requests.part_pages)[:1]
            await self.requests.send(source, attempt, winner, asked)
        losers = [piece for piece in by_anyone if piece.identity != winner]
        await self.pieces.remove(source.bucket, losers)
        # Another consumer may have settled on another engine, and removed those of this one since they were
        # listed. Of two that do, the one that lists last asks for all that is missing.
        left = [piece.pages for piece in await self._own(source, winner)]
        await self.requests.send_missing(source, attempt, winner, [*left, *asked])
        return NoResult("handed out again")

    async def remove_leftovers(self, bucket: str, key: str, *, is_joined: bool) -> None:
        """Remove the pieces of a source that nobody will join."""
        if await self.pieces.remove_leftovers(bucket, key, is_joined=is_joined):
            await self.requests.queue.send([events.request(bucket, key)])

    async def report_progress(self, source: Source, whose: Identity) -> None:
        """Log how much of a document is stored, once a minute."""
        if self.requests.progress.is_due(source, whose):
            self.requests.progress.report(source, whose, await self._own(source, whose))

    async def _join(
        self, source: Source, attempt: Attempt, whose: Identity, own: Sequence[Piece]
    ) -> EncodedResult | NoResult:
        """Put the pages together, one piece after another."""
        assembly = self.results.begin(attempt)
        with attempt.stage("join"):
            for step in parts.steps(whose.page_count, own):
                try:
                    async for page in self.pieces.read(source.bucket, step):
                        assembly.add(page)
                        attempt.watchdog.mark()
                except PieceLostError as error:
                    return await self._mend(source, attempt, step.piece, error)
        return await self.results.finish(assembly, source, attempt)

    async def _mend(
        self, source: Source, attempt: Attempt, lost: Piece, error: PieceLostError
    ) -> EncodedResult | NoResult:
        """Do without a piece: another consumer has joined them all, or its pages must be read again."""
        if await self.is_joined(source, attempt, exhausted=lost.exhausted):
            return NoResult("joined meanwhile")
        log.warning("piece.lost", bucket=source.bucket, error=str(error))
        await self.pieces.remove(source.bucket, [lost])
        return await self.hand_out(source, attempt, lost.identity.page_count)

    async def is_joined(self, source: Source, attempt: Attempt, *, exhausted: bool = False) -> bool:
        """Whether there is a current result, or `exhausted` any of this source."""
        info = await self.pieces.store.head(source.bucket, keys.result_key(source.key))
        if info is None or info.etag == attempt.replaces:
            return False
        result = ResultHead.from_metadata(info.metadata)
        if result is None:
            return False
        is_current = result.is_current(source, self.results.engine.fingerprint)
        return is_current or (exhausted and result.is_of(source))
