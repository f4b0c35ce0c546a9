"""Parts of a long document: which pages are stored, under which keys, and which are missing.

The pages of a long document are stored in pieces: `KEY.ocr/parts/<identity>/<first>-<last>.json.gz`. A piece
may hold any range of pages, and pieces may overlap: a part is stored as it is read, and two consumers may
read the same pages. A document is complete when its pieces together hold all of its pages.
"""

import hashlib
import re
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Self

from consumer.domain import keys

#: No document has more pages; a greater number would make endless work.
MOST_PAGES: Final = 1_000_000

#: Digits in an identity: of a source; of an engine, and of a result that is to be replaced.
_SOURCE_DIGITS, _ENGINE_DIGITS = 10, 6

_NAME: Final = re.compile(
    rf"(?P<source>[0-9a-f]{{{_SOURCE_DIGITS}}})(?P<engine>[0-9a-f]{{{_ENGINE_DIGITS}}})"
    rf"(?P<replaces>[0-9a-f]{{{_ENGINE_DIGITS}}})?-(?P<page_count>[1-9]\d{{0,6}})"
    r"/(?P<first>[1-9]\d{0,6})-(?P<last>[1-9]\d{0,6})(?P<exhausted>\.exhausted)?\.json\.gz",
    re.ASCII,
)


@dataclass(frozen=True, slots=True, order=True)
class PageRange:
    """Pages `first` to `last`, from 1."""

    first: int
    last: int

    @property
    def count(self) -> int:
        """Number of its pages."""
        return self.last - self.first + 1

    @property
    def numbers(self) -> range:
        """Its page numbers."""
        return range(self.first, self.last + 1)

    def __str__(self) -> str:
        return f"{self.first}-{self.last}"


@dataclass(frozen=True, slots=True)
class Identity:
    """What pages must have in common to be joined: the very object, the engine, and the number of pages.

    `source` and `engine` are digests. So is `replaces`, of the result that is to be replaced although it is
    current: the pages that were read for that one must not count. It is empty if there is no such result.
    """

    source: str
    engine: str
    page_count: int
    replaces: str = ""

    @classmethod
    def of(
        cls,
        etag: str,
        version_id: str | None,
        fingerprint: str,
        page_count: int,
        replaces: str | None = None,
    ) -> Self:
        """Identity of the pages of an object, read by an engine with this fingerprint.

        `replaces`: ETag of the result that is to be replaced although it is current.
        """
        source, engine = _source_digest(etag, version_id), engine_digest(fingerprint)
        return cls(source, engine, page_count, result_digest(replaces) if replaces else "")

    def __str__(self) -> str:
        return f"{self.source}{self.engine}{self.replaces}-{self.page_count}"

    def is_of_object(self, etag: str, version_id: str | None) -> bool:
        """Whether the pages are those of this very object, by any engine."""
        return self.source == _source_digest(etag, version_id)


@dataclass(frozen=True, slots=True)
class Piece:
    """A stored range of pages. `exhausted`: they were not read, and hold nothing but the reason."""

    key: str
    identity: Identity
    pages: PageRange
    exhausted: bool = False

    @classmethod
    def named(cls, source_key: str, identity: Identity, pages: PageRange, *, exhausted: bool = False) -> Self:
        """Name the piece of a source for these pages."""
        ending = ".exhausted.json.gz" if exhausted else ".json.gz"
        return cls(f"{folder(source_key)}{identity}/{pages}{ending}", identity, pages, exhausted)

    @classmethod
    def parse(cls, source_key: str, key: str) -> Self | None:
        """Read the key of a piece of this source; None if it is none."""
        match = _NAME.fullmatch(key.removeprefix(folder(source_key)))
        if match is None:
            return None
        pages = PageRange(int(match["first"]), int(match["last"]))
        page_count, replaces = int(match["page_count"]), match["replaces"] or ""
        identity = Identity(match["source"], match["engine"], page_count, replaces)
        if not pages.first <= pages.last <= identity.page_count <= MOST_PAGES:
            return None
        return cls(key, identity, pages, match["exhausted"] is not None)


@dataclass(frozen=True, slots=True)
class Step:
    """Pages to take from a piece."""

    piece: Piece
    pages: PageRange


def folder(source_key: str) -> str:
    """Prefix of the keys of all pieces of a source."""
    return f"{source_key}.ocr/parts/"


def source_key(key: str) -> str | None:
    """Key of the source of which an object is, or might be, a piece; None if it can be none."""
    source, found, name = key.rpartition(".ocr/parts/")
    return source if found and _NAME.fullmatch(name) else None


def has_room(source_key: str, page_count: int) -> bool:
    """Whether the keys of all pieces are as short as S3 demands; if not, the document is read as a whole."""
    identity = Identity("0" * _SOURCE_DIGITS, "0" * _ENGINE_DIGITS, page_count, "0" * _ENGINE_DIGITS)
    longest = Piece.named(source_key, identity, PageRange(page_count, page_count), exhausted=True)
    return len(longest.key.encode()) <= keys.MAX_KEY_BYTES


def ranges(page_count: int, part_pages: int) -> list[PageRange]:
    """Cut a document into parts of `part_pages` pages; the last may be shorter."""
    return [
        PageRange(first, min(first + part_pages - 1, page_count))
        for first in range(1, page_count + 1, part_pages)
    ]


def missing(wanted: PageRange, stored: Iterable[PageRange]) -> list[PageRange]:
    """Return the pages of `wanted` that are in none of the stored ranges, as few ranges, in order."""
    gaps: list[PageRange] = []
    next_page = wanted.first
    for pages in sorted(stored):
        if pages.first > wanted.last:
            break
        if pages.first > next_page:
            gaps.append(PageRange(next_page, pages.first - 1))
        next_page = max(next_page, pages.last + 1)
    if next_page <= wanted.last:
        gaps.append(PageRange(next_page, wanted.last))
    return gaps


@dataclass(frozen=True, slots=True)
class Progress:
    """How much of a document is stored; a part counts when all of its pages are."""

    parts_done: int
    parts: int
    pages_done: int
    pages: int

    @classmethod
    def of(cls, page_count: int, stored: Sequence[PageRange], part_pages: int) -> Self:
        """Count the pages that are stored."""
        gaps = missing(PageRange(1, page_count), stored)
        left, last = 0, -1
        for gap in gaps:
            # Numbers of the parts with the first and the last page of the gap, from 0.
            first, end = (gap.first - 1) // part_pages, (gap.last - 1) // part_pages
            left += end - max(first, last + 1) + 1
            last = end
        whole = -(-page_count // part_pages)
        return cls(whole - left, whole, page_count - sum(gap.count for gap in gaps), page_count)

    def __str__(self) -> str:
        return f"{self.parts_done}/{self.parts} parts ({self.pages_done}/{self.pages} pages)"


def steps(page_count: int, pieces: Sequence[Piece]) -> list[Step]:
    """Choose the pieces to take all pages from, in page order, each from as few pieces as possible.

    A page that was read is preferred to the reason why it was not. Raises ValueError if a page is missing.
    """
    document = PageRange(1, page_count)
    read = [piece for piece in pieces if not piece.exhausted]
    walk = _walk(document, read)
    exhausted = [piece for piece in pieces if piece.exhausted]
    for gap in missing(document, [piece.pages for piece in read]):
        walk += _walk(gap, exhausted)
    walk.sort(key=lambda step: step.pages)
    if sum(step.pages.count for step in walk) != page_count:
        raise ValueError("not all pages are stored")
    return walk


def _walk(wanted: PageRange, pieces: Iterable[Piece]) -> list[Step]:
    """Take as many wanted pages as there are, each from the piece that reaches furthest."""
    walk: list[Step] = []
    waiting = deque(sorted(pieces, key=lambda piece: piece.pages))
    next_page = wanted.first
    while next_page <= wanted.last:
        reaching = []
        while waiting and waiting[0].pages.first <= next_page:
            reaching.append(waiting.popleft())
        best = max(reaching, key=lambda piece: piece.pages.last, default=None)
        if best is not None and best.pages.last >= next_page:
            pages = PageRange(next_page, min(best.pages.last, wanted.last))
            walk.append(Step(best, pages))
            next_page = pages.last + 1
        elif waiting:
            next_page = waiting[0].pages.first
        else:
            break
    return walk


def is_complete(whose: Identity, pieces: Iterable[Piece]) -> bool:
    """Whether these pieces hold all pages of a document."""
    return not missing(PageRange(1, whose.page_count), [piece.pages for piece in pieces])


def leading(pieces: Sequence[Piece]) -> Identity:
    """Return the identity with the most pages in these pieces; there must be one."""
    by_identity: dict[Identity, list[PageRange]] = {}
    for piece in pieces:
        by_identity.setdefault(piece.identity, []).append(piece.pages)

    def pages_and_name(whose: Identity) -> tuple[int, str]:
        gaps = missing(PageRange(1, whose.page_count), by_identity[whose])
        return whose.page_count - sum(gap.count for gap in gaps), str(whose)

    return max(by_identity, key=pages_and_name)


def engine_digest(fingerprint: str) -> str:
    """Digest of an engine's fingerprint: short, for keys and messages."""
    return _digest(fingerprint)[:_ENGINE_DIGITS]


def result_digest(etag: str) -> str:
    """Digest of a result's ETag, as an identity has it."""
    return _digest(etag)[:_ENGINE_DIGITS]


def _source_digest(etag: str, version_id: str | None) -> str:
    return _digest(f"{etag}\n{version_id or ''}")[:_SOURCE_DIGITS]


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
