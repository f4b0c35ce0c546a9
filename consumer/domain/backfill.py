"""Which sources are queued that have no event, and how long they will take."""

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import Final, NamedTuple

from consumer.domain.identity import NOT_READ, ResultHead

#: Extensions of formats that have one page, but for rare animated ones.
_ONE_PAGE: Final = frozenset({"png", "jpg", "jpeg", "jpe", "jfif", "bmp", "dib", "webp"})

#: The rate is that of the busiest so many minutes: others may have been idle.
_WINDOW_MINUTES: Final = 10


class Reason(StrEnum):
    """Why a source is queued.

    NEW: it has no result. CHANGED: the result is of an older source. FAILED: the source, or a page of it, was
    not read. ENGINE: read by another engine. FORCED: although its result is current.
    """

    NEW = "new"
    CHANGED = "changed"
    FAILED = "failed"
    ENGINE = "engine"
    FORCED = "forced"


@dataclass(frozen=True, slots=True)
class Selection:
    """Which objects count: of a pattern of `include` (none: all), of none of `exclude`, of that time.

    Patterns are those of shells, over the whole key; `*` matches slashes too.
    """

    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    since: datetime | None = None
    before: datetime | None = None

    def has(self, key: str, last_modified: datetime) -> bool:
        """Whether the object counts."""
        return (
            (not self.include or any(fnmatchcase(key, pattern) for pattern in self.include))
            and not any(fnmatchcase(key, pattern) for pattern in self.exclude)
            and (self.since is None or last_modified >= self.since)
            and (self.before is None or last_modified < self.before)
        )


def reason(etag: str, result: ResultHead | None, fingerprint: str | None, *, force: bool) -> Reason | None:
    """Tell why a source with this ETag is to be read; None if its result is current.

    `fingerprint`: of the consumers' engine; None: any engine's result is current. A listing tells no
    versions, so none are compared.
    """
    if result is None:
        return Reason.NEW
    if result.source_etag != etag:
        return Reason.CHANGED
    if result.fingerprint == NOT_READ:
        return Reason.FAILED
    if fingerprint is not None and result.fingerprint != fingerprint:
        return Reason.ENGINE
    return Reason.FORCED if force else None


class _Pages(NamedTuple):
    """Mean number of pages of a document; a value of its own, since none at all is one too."""

    pages: float


@dataclass
class _Mean:
    """Documents and their pages, by extension."""

    documents: Counter[str] = field(default_factory=Counter)
    pages: Counter[str] = field(default_factory=Counter)

    def note(self, extension: str, pages: int) -> None:
        self.documents[extension] += 1
        self.pages[extension] += pages

    def of(self, extension: str) -> _Pages | None:
        documents = self.documents[extension]
        return _Pages(self.pages[extension] / documents) if documents else None

    def of_all(self) -> _Pages | None:
        documents = self.documents.total()
        return _Pages(self.pages.total() / documents) if documents else None


@dataclass
class Estimate:
    """Pages of what is queued, and pages an hour, by what the results of the same bucket tell.

    A document without a page count of its own has the mean of others with its extension: of those that were
    counted for the estimate, or else of those with results. If there are none with its extension, it has the
    mean of all. An image has one page.
    """

    _known_pages: int = 0
    _unknown: Counter[str] = field(default_factory=Counter)
    _with_results: _Mean = field(default_factory=_Mean)
    _counted: _Mean = field(default_factory=_Mean)
    _by_minute: Counter[int] = field(default_factory=Counter)

    def note_result(self, key: str, pages: int, stored_at: datetime) -> None:
        """Learn from a result with so many pages."""
        self._with_results.note(_extension(key), pages)
        self._by_minute[int(stored_at.timestamp() // 60)] += pages

    def note_queued(self, key: str, pages: int | None) -> bool:
        """Count a source that is queued; `pages`: if its result tells. Returns whether they are known."""
        extension = _extension(key)
        if pages is None and extension in _ONE_PAGE:
            pages = 1
        if pages is None:
            self._unknown[extension] += 1
        else:
            self._known_pages += pages
        return pages is not None

    def note_counted(self, key: str, pages: int) -> None:
        """Learn how many pages one of the queued sources has, of which `note_queued` was told nothing."""
        self._counted.note(_extension(key), pages)

    @property
    def pages(self) -> int | None:
        """Pages of all that is queued; None if there is nothing to estimate some of them by."""
        total = float(self._known_pages)
        for extension, documents in self._unknown.items():
            mean = self._counted.of(extension) or self._with_results.of(extension)
            mean = mean or self._counted.of_all() or self._with_results.of_all()
            if mean is None:
                return None
            total += documents * mean.pages
        return round(total)

    @property
    def estimated(self) -> int:
        """Documents whose pages are estimated, or cannot be."""
        return self._unknown.total() - self._counted.documents.total()

    @property
    def counted(self) -> int:
        """Documents that were counted for the estimate."""
        return self._counted.documents.total()

    @property
    def pages_per_hour(self) -> int | None:
        """The most pages that were stored in ten minutes in a row, for an hour; None if there were none."""
        most = max(
            (
                sum(self._by_minute[minute + later] for later in range(_WINDOW_MINUTES))
                for minute in list(self._by_minute)
            ),
            default=0,
        )
        return most * 60 // _WINDOW_MINUTES or None


def _extension(key: str) -> str:
    return key.rpartition(".")[2].lower()
