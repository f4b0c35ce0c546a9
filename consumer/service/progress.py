"""Log lines that tell how a long document gets on."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final

import structlog

from consumer.clock import Clock
from consumer.domain.parts import Identity, Piece, Progress
from consumer.domain.result import Source

#: The progress of a document is logged once in so many seconds.
_REPORT_S: Final = 60.0

#: A document that did not move for so long is not remembered.
_FORGET_S: Final = 3600.0

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class ProgressLog:
    """Logs that a document was handed out, and once a minute how much of it is stored."""

    clock: Clock
    part_pages: int
    #: When the progress of a document was last logged, or the document first seen.
    _reported_at: dict[tuple[str, str, Identity], float] = field(default_factory=dict, init=False)

    def handed_out(self, source: Source, whose: Identity, part_count: int) -> None:
        """Log the start of a document."""
        self._reported_at[source.bucket, source.key, whose] = self.clock.monotonic()
        _log_of(source).info("document.handed_out", pages=whose.page_count, parts=part_count)

    def is_due(self, source: Source, whose: Identity) -> bool:
        """Whether the last line is long enough ago."""
        now = self.clock.monotonic()
        for name, at in [*self._reported_at.items()]:
            if at + _FORGET_S < now:
                del self._reported_at[name]
        return now >= self._reported_at.setdefault((source.bucket, source.key, whose), now) + _REPORT_S

    def report(self, source: Source, whose: Identity, own: Iterable[Piece]) -> None:
        """Log the progress if it is due; `own`: all pieces of this identity."""
        if not self.is_due(source, whose):
            return
        self._reported_at[source.bucket, source.key, whose] = self.clock.monotonic()
        progress = Progress.of(whose.page_count, [piece.pages for piece in own], self.part_pages)
        _log_of(source).info(
            "document.progress",
            parts_stored=progress.parts_done,
            parts=progress.parts,
            pages_stored=progress.pages_done,
            pages=progress.pages,
        )


def _log_of(source: Source) -> Any:
    return log.bind(bucket=source.bucket, key=source.key, etag=source.etag)
