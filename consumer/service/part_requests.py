"""Requests for parts of documents: messages that ask for ranges of pages."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, NoReturn

from consumer.domain import events, parts
from consumer.domain.errors import BucketOcrError
from consumer.domain.events import PartRange
from consumer.domain.parts import Identity, PageRange
from consumer.domain.result import Source
from consumer.domain.settle import Outcome
from consumer.ports import Queue
from consumer.service.attempt import Attempt
from consumer.service.progress import ProgressLog

#: The messages of parts become visible bit by bit, so that a letter behind them does not wait for all.
_PARTS_PER_SECOND: Final = 10

#: A part is passed on so often to a consumer that reads it as those do that have the rest of the document.
#: If half of the consumers do, one part in 65,536 does not find one; if none does, this costs 40 s.
MOST_PASSES: Final = 16

#: SQS allows no longer delay, in seconds.
_MAX_DELAY_S: Final = 900


class StoppedError(BucketOcrError):
    """The work was stopped, and its pages are stored; `continuation`: bodies of messages for the rest."""

    def __init__(self, continuation: tuple[str, ...]) -> None:
        super().__init__("the work was stopped")
        self.continuation = continuation


class PassedOnError(BucketOcrError):
    """The pages of a part are to be read by another consumer, or are asked for anew.

    `outcome`: which of both; `continuation`: bodies of messages that ask for them.
    """

    def __init__(self, message: str, outcome: Outcome, continuation: tuple[str, ...]) -> None:
        super().__init__(message)
        self.outcome = outcome
        self.continuation = continuation


@dataclass(frozen=True, slots=True)
class PartRequests:
    """Asks for parts of `part_pages` pages. `fingerprint`: of the engine of this consumer.

    No document has more than `most_pages`. What claims to be a part of a longer one was made up.
    """

    queue: Queue
    progress: ProgressLog
    fingerprint: str
    part_pages: int
    most_pages: int

    def identity(self, source: Source, attempt: Attempt, page_count: int) -> Identity:
        """Identity of the pages that this consumer reads."""
        return Identity.of(source.etag, source.version_id, self.fingerprint, page_count, attempt.replaces)

    @property
    def engine(self) -> str:
        """Digest of the engine of this consumer."""
        return parts.engine_digest(self.fingerprint)

    async def send_missing(
        self, source: Source, attempt: Attempt, whose: Identity, stored: Sequence[PageRange]
    ) -> list[PageRange]:
        """Send messages for the parts with pages that are not stored; returns their pages."""
        all_parts = parts.ranges(whose.page_count, self.part_pages)
        wanted = [pages for pages in all_parts if parts.missing(pages, stored)]
        await self.send(source, attempt, whose, wanted)
        return wanted

    async def send(
        self, source: Source, attempt: Attempt, whose: Identity, wanted: Sequence[PageRange]
    ) -> None:
        """Send a message for each of these parts."""
        for start in range(0, len(wanted), _PARTS_PER_SECOND):
            some = wanted[start : start + _PARTS_PER_SECOND]
            bodies = [self.body(source, attempt, whose, pages) for pages in some]
            await self.queue.send(bodies, min(start // _PARTS_PER_SECOND, _MAX_DELAY_S))
        if wanted:
            self.progress.handed_out(source, whose, len(wanted))

    def body(self, source: Source, attempt: Attempt, whose: Identity, pages: PageRange) -> str:
        """Write the body of a message for these pages."""
        part = PartRange(
            pages.first,
            pages.last,
            whose.page_count,
            source.etag,
            source.version_id,
            replaces=attempt.replaces,
            engine=whose.engine,
            queued_at=attempt.queued_at,
            started_at=attempt.started_at,
        )
        return events.part_request(source.bucket, source.key, part)


def is_of(part: PartRange, source: Source) -> bool:
    """Whether a part is one of this very object; a request without a version is of any."""
    return part.etag == source.etag and part.version_id in {None, source.version_id}


def is_stray(part: PartRange) -> bool:
    """Whether a part was passed on so often that the consumers that it is for seem to be gone."""
    return part.passed >= MOST_PASSES


def pass_on(bucket: str, key: str, part: PartRange, reason: str) -> None:
    """Leave a part to another consumer, unless none that reads it seems to be there; raises PassedOnError."""
    if not is_stray(part):
        body = events.part_request(bucket, key, replace(part, passed=part.passed + 1))
        raise PassedOnError(reason, Outcome.PASSED_ON, (body,))


def renew(bucket: str, key: str, part: PartRange, gaps: Sequence[PageRange]) -> NoReturn:
    """Ask for the missing pages of a part anew; raises PassedOnError."""
    left = [replace(part, first=gap.first, last=gap.last) for gap in gaps]
    bodies = tuple(events.part_request(bucket, key, each) for each in left)
    raise PassedOnError("its missing pages are asked for anew", Outcome.RENEWED, bodies)
