"""One job: the source that a message names gets its result, and errors become outcomes."""

import traceback
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import Any, Final

import structlog

from consumer.clock import Watchdog
from consumer.domain import events
from consumer.domain.assembly import EncodedResult
from consumer.domain.errors import (
    ChildError,
    Code,
    DiskFullError,
    DocumentError,
    HostError,
    ServiceError,
    StartupError,
    TransientError,
    UnavailableError,
)
from consumer.domain.events import Job
from consumer.domain.identity import NOT_READ, ResultHead
from consumer.domain.parts import engine_digest
from consumer.domain.result import Source
from consumer.domain.settle import Outcome
from consumer.ports import Announce
from consumer.service.attempt import Attempt
from consumer.service.circuit_breaker import CircuitBreaker
from consumer.service.documents import DocumentReader
from consumer.service.part_reader import PartReader
from consumer.service.part_requests import PassedOnError, StoppedError, pass_on
from consumer.service.publisher import Accepts, JobResult, Make, Publisher
from consumer.service.results import ResultMaker
from consumer.service.waiting_room import Aside, Kept, Refusals, WaitingRoom

#: Cause of a job that needs no work because we wrote its object.
OWN_OUTPUT: Final = "own_output"

#: One word for each kind of error, the narrowest first.
_CAUSES: Final = (
    (UnavailableError, "unavailable"),
    (ServiceError, "refused"),
    (ChildError, "child"),
    (DiskFullError, "disk_full"),
    (StartupError, "startup"),
    (TransientError, "other"),
)

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class JobReport:
    """How the work on a job ended.

    `reason`: why it is not done, in words for the reader of the result; empty if it is done. `log_fields` go
    into the message's log line; they never hold text of the document. `cause`: one word for the reason, for
    metrics; `OWN_OUTPUT` of an object that we wrote. `continuation`: of a job that was
    released, passed on, or renewed, bodies of messages that ask for what is left of it; empty for the message
    as it was. `error`: why the job failed, if it was no bug.
    """

    job: Job
    outcome: Outcome
    reason: str
    log_fields: Mapping[str, Any]
    continuation: tuple[str, ...] = ()
    cause: str = ""
    error: TransientError | None = None


@dataclass(frozen=True, slots=True)
class JobRunner:
    """Runs jobs; the boundary at which errors become outcomes."""

    publisher: Publisher
    documents: DocumentReader
    part_reader: PartReader
    breaker: CircuitBreaker
    waiting_room: WaitingRoom
    announce: Announce

    async def run(
        self,
        job: Job,
        queued_at: datetime,
        watchdog: Watchdog,
        *,
        is_again: bool = False,
        aside: Aside = nullcontext,
    ) -> JobReport:
        """Make sure that the source has a current result, and announce it; no error leaves this.

        `is_again`: the message was received before. `aside` is entered while the document waits for storage
        that refuses it.
        """
        refusals = Refusals()
        with Kept() as kept:
            report = await self._try(job, queued_at, watchdog, kept, is_again=is_again)
            while report.error is not None and self.waiting_room.admits(job, refusals, report.error):
                async with self.waiting_room.turn(refusals, aside):
                    report = await self._try(job, queued_at, watchdog, kept, is_again=is_again)
        return report

    async def _try(
        self, job: Job, queued_at: datetime, watchdog: Watchdog, kept: Kept, *, is_again: bool
    ) -> JobReport:
        log_fields: dict[str, Any] = {"bucket": job.bucket, "key": job.key}
        if job.part is not None:
            log_fields["part"] = f"{job.part.first}-{job.part.last}/{job.part.page_count}"
        outcome, reason, cause, failure = Outcome.DONE, "", "", None
        try:
            result = await self._ensure_current_result(job, queued_at, watchdog, kept, is_again=is_again)
            self._record_success(result)
            log_fields |= _log_fields(result)
            cause = OWN_OUTPUT if result.reason == events.OWN_OUTPUT else ""
            if problem := await self._announcement_problem(result):
                log_fields["error"] = reason = problem
                outcome, cause = Outcome.TRANSIENT, "not_announced"
        except StoppedError as error:
            return JobReport(job, Outcome.RELEASED, str(error), log_fields, error.continuation)
        except PassedOnError as error:
            log_fields["job_result"] = str(error)
            return JobReport(job, error.outcome, str(error), log_fields, error.continuation)
        except TransientError as error:
            log_fields["error"] = reason = str(error)
            outcome = Outcome.HOST_FAILURE if isinstance(error, HostError) else Outcome.TRANSIENT
            cause = next(word for kind, word in _CAUSES if isinstance(error, kind))
            failure = error
            self._record_failure(job, error)
        except Exception as error:  # noqa: BLE001 - a bug must not take other documents along
            log_fields["traceback"] = traceback.format_exc()
            outcome, reason = Outcome.BUG, f"an internal error ({type(error).__name__})"
        return JobReport(job, outcome, reason, log_fields, cause=cause, error=failure)

    def _record_success(self, result: JobResult) -> None:
        self.breaker.record_storage_success()
        if result.stage_seconds.keys() & {"read", "publish"}:
            self.breaker.record_stored()
        if "read" in result.stage_seconds:
            self.breaker.record_host_success()

    def _record_failure(self, job: Job, error: TransientError) -> None:
        if isinstance(error, HostError):
            self.breaker.record_host_failure(error)
        elif isinstance(error, UnavailableError):
            probe = partial(self.publisher.store.check_bucket, job.bucket)
            self.breaker.record_storage_failure(error, probe)

    async def write_exhausted_result(
        self, job: Job, queued_at: datetime, reason: str, watchdog: Watchdog
    ) -> str:
        """Store a RETRIES_EXHAUSTED result, unless the source already has a result by any engine.

        Returns what was done, for the log; no error leaves this.
        """
        try:
            if job.part is None:
                make = _failure(self.documents.results, Code.RETRIES_EXHAUSTED, reason)
                result = await self._ensure_any_result(job, queued_at, watchdog, make)
            else:
                make = partial(self.documents.parts.give_up, job.part, reason=reason)
                result = await self._ensure_any_result(job, queued_at, watchdog, make, _has_all_pages)
            await self._remove_leftovers(job, result)
        except Exception as error:  # noqa: BLE001 - the dead letter still names the source
            return f"without a result: {error}"
        is_needless = result.completion is not None and result.result is None
        reason = "not stored: the source has a result" if is_needless else result.reason
        return await self._announcement_problem(result) or reason

    def _is_wanted(self, engine: str | None, head: ResultHead, source: Source) -> bool:
        """Whether a result is current; or is that for which a part was sent, to an `engine` that is gone."""
        is_current = head.is_current(source, self.documents.results.engine.fingerprint)
        return is_current or (head.is_of(source) and engine_digest(head.fingerprint) == engine)

    async def _ensure_current_result(
        self, job: Job, queued_at: datetime, watchdog: Watchdog, kept: Kept, *, is_again: bool
    ) -> JobResult:
        """Make sure that the source has a current result, or that all of its missing pages are asked for."""
        if job.problem:
            failure = _failure(self.documents.results, Code.INVALID_OPTIONS, job.problem)
            return await self._ensure_any_result(job, queued_at, watchdog, failure)
        make: Make = self.documents.read
        if job.part is not None:
            if job.part.engine not in {None, self.documents.parts.requests.engine}:
                # Before anything is looked at: what is current and left over is for its engine to say.
                pass_on(job.bucket, job.key, job.part, "it is for another engine")
            if job.part.page_count > self.documents.parts.requests.most_pages:
                return JobResult("no such pages")
            make, job = partial(self.part_reader.read, job.part, is_again=is_again), replace(job, force=False)
        accepts = partial(self._is_wanted, job.part.engine if job.part else None)
        try:
            result = await self.publisher.ensure_result(
                job, queued_at, watchdog, accepts=accepts, make=kept.once(make)
            )
        except DocumentError as error:
            failure = _failure(self.documents.results, error.code, error.message)
            return await self._ensure_any_result(job, queued_at, watchdog, failure)
        await self._remove_leftovers(job, result)
        return result

    async def _remove_leftovers(self, job: Job, result: JobResult) -> None:
        """Remove pieces that nobody will join; an ordinary document has none, and is not looked at."""
        head = result.result.head if result.result else None
        is_joined = head is not None and result.completion is not None
        if job.part is not None or (head and self.documents.parts.are_for(head.source, head.page_count)):
            try:
                await self.documents.parts.remove_leftovers(job.bucket, job.key, is_joined=is_joined)
            except ServiceError as error:
                # The result is there, and the lifecycle rule removes what is left.
                log.warning("pieces.not_removed", bucket=job.bucket, key=job.key, error=str(error))

    async def _ensure_any_result(
        self,
        job: Job,
        queued_at: datetime,
        watchdog: Watchdog,
        make: Make,
        accepts: Accepts = ResultHead.is_of,
    ) -> JobResult:
        """Make a result, unless the source has one, by any engine: a failure replaces none."""
        whole = replace(job, force=False, part=None)
        return await self.publisher.ensure_result(
            whole, queued_at, watchdog, accepts=accepts, make=make, is_read=False
        )

    async def _announcement_problem(self, result: JobResult) -> str | None:
        """Announce the result that exists; returns why that failed, None if it did not.

        The next receiver of the message announces it again. It is no failure of storage.
        """
        if result.completion is None:
            return None
        try:
            await self.announce(result.completion)
        except ServiceError as error:
            return f"the result is stored, and was not announced: {error}"
        return None


def _failure(results: ResultMaker, code: Code, reason: str) -> Make:
    """Make the result of a source that is not read."""

    async def make(source: Source, attempt: Attempt) -> EncodedResult:
        return results.failure(source, attempt, code, reason)

    return make


def _has_all_pages(head: ResultHead, source: Source) -> bool:
    """Whether a result is of the source, and every part of it was tried."""
    return head.is_of(source) and head.fingerprint != NOT_READ


def _log_fields(result: JobResult) -> dict[str, Any]:
    log_fields: dict[str, Any] = {"job_result": result.reason}
    log_fields |= {f"{stage}_s": round(seconds, 3) for stage, seconds in result.stage_seconds.items()}
    if (encoded := result.result) is not None:
        document = encoded.head
        log_fields |= {
            "status": document.status.value,
            "code": document.error.code.value if document.error else None,
            "etag": document.source.etag,
            "version_id": document.source.version_id,
            "engine": document.engine.name,
            "pages": document.page_count,
            "lines": encoded.lines,
            "render_s": document.timing.render_s,
            "engine_s": document.timing.engine_s,
        }
        if document.outputs:
            log_fields["outputs"] = ",".join(document.outputs)
    return log_fields
