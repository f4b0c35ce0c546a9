"""Pieces of long documents in the bucket: pages that are read before the whole document is.

A piece is gzip of a line of JSON for each page, a `PageResult`.
"""

import asyncio
import gzip
import io
import zlib
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import structlog
from pydantic import ValidationError

from consumer.clock import Watchdog
from consumer.domain import identity, keys, parts
from consumer.domain.body import BytesBody
from consumer.domain.errors import BucketOcrError, ConflictError, SourceGoneError
from consumer.domain.identity import ResultHead
from consumer.domain.parts import Identity, PageRange, Piece, Step
from consumer.domain.result import PageResult, Source
from consumer.ports import NewObject, ObjectStore
from consumer.service import sources

#: The lifecycle rule of the bucket removes pieces that nobody has removed.
TAGS: Final = {"bucket-ocr": "part"}

#: Longest time to store pages of work that was stopped; its message must be released after it.
_STOP_S: Final = 1.5

#: A page in a piece is shorter: a hundred thousand lines take 30 MB.
_LONGEST_PAGE_BYTES: Final = 64 * 1024 * 1024

log = structlog.get_logger(__name__)


class PieceLostError(BucketOcrError):
    """A piece is gone, or is none of ours."""


class PieceBuffer:
    """Consecutive pages that are read and not stored yet. They are compressed as they come."""

    def __init__(self) -> None:
        # The container of gzip, and its fastest level: this runs between two steps of the event loop.
        self._compressor = zlib.compressobj(level=1, wbits=31)
        self._chunks: list[bytes] = []
        self._is_finished = False
        self._first_page = 0
        self.page_count = 0

    @property
    def pages(self) -> PageRange:
        """The pages; there must be one."""
        return PageRange(self._first_page, self._first_page + self.page_count - 1)

    def add(self, page: PageResult) -> None:
        """Take the next page."""
        if not self.page_count:
            self._first_page = page.page.page_number
        self.page_count += 1
        self._chunks.append(self._compressor.compress(page.model_dump_json().encode() + b"\n"))

    def finish(self) -> bytes:
        """Return the piece's body, as often as it is asked for; no page may be added then."""
        if not self._is_finished:
            self._chunks.append(self._compressor.flush())
            self._is_finished = True
        return b"".join(self._chunks)


@dataclass(frozen=True, slots=True)
class PieceStore:
    """The pieces of all documents. `fingerprint`: of the engine of this consumer."""

    store: ObjectStore
    fingerprint: str
    most_pages: int

    async def stored(self, bucket: str, key: str) -> list[Piece]:
        """List the pieces of a source, of whatever identity.

        Those of documents of more than `most_pages` pages are left out: clients can put objects of any name.
        """
        listing = self.store.list(bucket, parts.folder(key))
        found = [Piece.parse(key, name) async for name, _ in listing]
        return [piece for piece in found if piece and piece.identity.page_count <= self.most_pages]

    async def put(
        self,
        source: Source,
        whose: Identity,
        buffer: PieceBuffer,
        watchdog: Watchdog,
        *,
        exhausted: bool = False,
    ) -> None:
        """Store pages, unless they are stored."""
        piece = Piece.named(source.key, whose, buffer.pages, exhausted=exhausted)
        metadata = {identity.SOURCE_ETAG: source.etag}
        body = BytesBody(buffer.finish())
        try:
            await self.store.put_new(
                NewObject(source.bucket, piece.key, body, metadata, "application/gzip"), watchdog, TAGS
            )
        except ConflictError:
            log.debug("piece.exists", key=piece.key)

    async def put_pages(
        self,
        source: Source,
        whose: Identity,
        pages: Iterable[PageResult],
        watchdog: Watchdog,
        *,
        exhausted: bool = False,
    ) -> None:
        """Store consecutive pages, unless they are stored."""
        buffer = PieceBuffer()
        for page in pages:
            buffer.add(page)
        await self.put(source, whose, buffer, watchdog, exhausted=exhausted)

    async def put_in_time(
        self, source: Source, whose: Identity, buffer: PieceBuffer, watchdog: Watchdog
    ) -> bool:
        """Store pages if that takes a moment only; returns whether they are stored. For work that ends."""
        if not buffer.page_count:
            return False
        putting = asyncio.create_task(self.put(source, whose, buffer, watchdog))
        await asyncio.wait([putting], timeout=_STOP_S)
        if not putting.done():
            putting.cancel()
            await asyncio.wait([putting])
        return not putting.cancelled() and putting.exception() is None

    async def read(self, bucket: str, step: Step) -> AsyncIterator[PageResult]:
        """Yield pages of a piece, one at a time: many would fill the memory. Raises PieceLostError."""
        body = await self.store.read(bucket, step.piece.key)
        if body is None:
            raise PieceLostError(f"{step.piece.key} is gone")
        pages = _decoded(body, step)
        # In a thread: a page of thousands of lines takes a while.
        while (page := await asyncio.to_thread(next, pages, None)) is not None:
            yield page

    async def remove(self, bucket: str, pieces: Sequence[Piece]) -> None:
        """Remove pieces."""
        await self.store.delete(bucket, [piece.key for piece in pieces])

    async def remove_leftovers(self, bucket: str, key: str, *, is_joined: bool) -> bool:
        """Remove the pieces that nobody will join: of older sources, and of a source with a current result.

        Those of other engines stay, which may be at work on them. If pages of a joined document were not
        read, the other pages stay: the next try needs them. `is_joined`: this consumer has just joined it.
        Returns whether pieces are wanted now that they are removed: then it must be asked for again.
        """
        if not (pieces := await self.stored(bucket, key)):
            return False
        # Looked at after the listing: a source that is newer than this one has pieces that are not listed.
        before = await self._look(bucket, key)
        leftovers = [
            piece for piece in pieces if before.is_leftover(piece) or (is_joined and piece.exhausted)
        ]
        if not leftovers:
            return False
        await self.remove(bucket, leftovers)
        # The source may have gone back to its former bytes before they were removed.
        after = await self._look(bucket, key)
        return not all(piece.exhausted or after.is_leftover(piece) for piece in leftovers)

    async def _look(self, bucket: str, key: str) -> "_State":
        try:
            source = (await sources.describe(self.store, bucket, key)).source
        except SourceGoneError:
            return _State(parts.engine_digest(self.fingerprint))
        existing = await self.store.head(bucket, keys.result_key(key))
        result = ResultHead.from_metadata(existing.metadata) if existing else None
        is_current = result is not None and result.is_current(source, self.fingerprint)
        current_etag = existing.etag if existing and is_current else None
        return _State(parts.engine_digest(self.fingerprint), source, current_etag)


@dataclass(frozen=True, slots=True)
class _State:
    """The source, None if it is gone, and the ETag of its result by this engine, None if that is not current.

    `engine`: digest of this engine.
    """

    engine: str
    source: Source | None = None
    current_etag: str | None = None

    def is_leftover(self, piece: Piece) -> bool:
        """Whether nobody will join the piece."""
        whose = piece.identity
        if self.source is None or not whose.is_of_object(self.source.etag, self.source.version_id):
            return True
        if self.current_etag is None or whose.engine != self.engine:
            return False
        return whose.replaces != parts.result_digest(self.current_etag)


def _decoded(body: bytes, step: Step) -> Iterator[PageResult]:
    """Yield the pages of a step; raises PieceLostError."""
    try:
        with gzip.open(io.BytesIO(body)) as file:
            # Line by line: clients can overwrite pieces, and a small one may unpack to any size.
            for page_number in range(step.piece.pages.first, step.pages.last + 1):
                line = file.readline(_LONGEST_PAGE_BYTES)
                if page_number < step.pages.first:
                    continue
                page = PageResult.model_validate_json(line)
                if page.page.page_number != page_number:
                    raise PieceLostError(f"{step.piece.key} has other pages")
                yield page
    except (OSError, EOFError, zlib.error, ValidationError) as error:
        raise PieceLostError(f"{step.piece.key} is no piece: {type(error).__name__}") from error
