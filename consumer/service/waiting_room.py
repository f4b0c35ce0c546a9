"""The waiting room: documents that storage refuses keep what was read of them, and wait without a slot.

A refusal may be the matter of one document, or of a key or a policy that all need. Which of both, shows what
becomes of others: if they are stored, this one is alone, and is tried a few times; if they are refused as
well, the circuit breaker opens, and all wait until one of them is stored. Their messages stay leased, so
this costs no receives.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, ExitStack, asynccontextmanager
from dataclasses import dataclass, field
from types import TracebackType
from typing import Final, Self

import structlog

from consumer.clock import Clock
from consumer.domain.assembly import EncodedResult
from consumer.domain.errors import ForbiddenError, TransientError, UnavailableError
from consumer.domain.events import Job
from consumer.domain.parts import Identity
from consumer.domain.result import Source
from consumer.metrics import Metrics
from consumer.service.attempt import Attempt
from consumer.service.circuit_breaker import LONGEST_PAUSE_S, CircuitBreaker
from consumer.service.pieces import PieceBuffer
from consumer.service.publisher import Make, NoResult

#: Each takes disk space, and a thread for its lease.
MOST_WAITING: Final = 32

#: Tries of a document that is refused alone, with pauses that double: a quarter of an hour.
_TRIES_ALONE: Final = 9

_LOOK_S: Final = 1.0

log = structlog.get_logger(__name__)

#: Gives the slot of a message to others for as long as the context lasts.
Aside = Callable[[], AbstractAsyncContextManager[None]]


class Kept:
    """What was made of a source and could not be stored. A context manager that drops it."""

    def __init__(self) -> None:
        self._unstored: list[tuple[Identity, PieceBuffer]] = []
        self._files = ExitStack()
        self._made: tuple[Source, str | None, EncodedResult] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._files.close()

    def once(self, make: Make) -> Make:
        """Make the result of an object once, however often it is to be stored."""

        async def made(source: Source, attempt: Attempt) -> EncodedResult | NoResult:
            match self._made:
                case (of, replaces, result) if (of, replaces) == (source, attempt.replaces):
                    return result
            self._made = None
            self._files.close()
            attempt.unstored = self._unstored
            new = await make(source, attempt)
            if isinstance(new, EncodedResult):
                # Its files outlive the attempt.
                self._files.push(attempt.files.pop_all())
                self._made = source, attempt.replaces, new
            return new

        return made


@dataclass(eq=False, slots=True)
class Refusals:
    """The refusals of one document so far. `stored`: of the circuit breaker, at the first one."""

    stored: int | None = None
    tries: int = 0


@dataclass(eq=False)
class WaitingRoom:
    """The documents that wait for storage, `most` at once."""

    breaker: CircuitBreaker
    clock: Clock
    metrics: Metrics
    most: int = MOST_WAITING
    _waiting: int = field(default=0, init=False)

    def admits(self, job: Job, refusals: Refusals, error: TransientError) -> bool:
        """Note how a try has failed; returns whether the document is to wait for another one.

        A document that was refused, and keeps what was read of it, also waits if storage is down.
        """
        is_refused = isinstance(error, ForbiddenError)
        if not is_refused and not (refusals.tries and isinstance(error, UnavailableError)):
            return False
        refusals.tries += 1
        if refusals.stored is None:
            refusals.stored = self.breaker.stored
            self.metrics.refused.inc()
        if is_alone := self._is_alone(refusals):
            has_tries = refusals.tries < _TRIES_ALONE
        else:
            if is_refused:
                self.breaker.record_refusal(f"s3://{job.bucket}/{job.key}", str(error))
            has_tries = self.breaker.half_open or refusals.tries < _TRIES_ALONE
        may_wait = has_tries and self._waiting < self.most
        names = {"bucket": job.bucket, "key": job.key, "error": str(error)}
        log.warning("document.refused", **names, tries=refusals.tries, alone=is_alone, waits=may_wait)
        return may_wait

    @asynccontextmanager
    async def turn(self, refusals: Refusals, aside: Aside) -> AsyncIterator[None]:
        """Wait for the next try, which is made in the context: for a while, or until another is stored."""
        pause_s = min(self.breaker.first_pause_s * 2 ** (refusals.tries - 1), LONGEST_PAUSE_S)
        ends_at, was_alone = self.clock.monotonic() + pause_s, self._is_alone(refusals)
        self._waiting += 1
        try:
            async with aside():
                # Of time, and of what becomes of others.
                while self.clock.monotonic() < ends_at and self._is_alone(refusals) == was_alone:  # noqa: ASYNC110
                    await asyncio.sleep(_LOOK_S)
        finally:
            self._waiting -= 1
        yield

    def _is_alone(self, refusals: Refusals) -> bool:
        """Whether storage has taken other documents since this one was refused."""
        return self.breaker.stored != refusals.stored
