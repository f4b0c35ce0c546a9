"""One message: hold it, do all that it asks for, settle it."""

import asyncio
import logging
import random
import traceback
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

import structlog

from consumer.domain import events, settle
from consumer.domain.errors import HostError, ServiceError, TransientError, UnavailableError
from consumer.domain.events import Job, Notification
from consumer.domain.settle import Disposition, Outcome
from consumer.metrics import Metrics
from consumer.ports import Announce, Clock, Lease, LeaseKeeper, Message, Progress, Queue
from consumer.service.circuit_breaker import CircuitBreaker
from consumer.service.pipeline import JobResult, Pipeline

#: A message of several documents ends as the worst of them; what may still be done comes before what
#: nobody can do.
_SEVERITY: Final = (Outcome.DONE, Outcome.MALFORMED, Outcome.TRANSIENT, Outcome.HOST_FAILURE, Outcome.BUG)

_LEVELS: Final = {
    Outcome.DONE: logging.INFO,
    Outcome.RELEASED: logging.INFO,
    Outcome.BUG: logging.ERROR,
}

#: Below the shortest lease.
_HAND_BACK_S: Final = 8.0

#: Of a document whose turn has not come, or not ended.
_UNREAD: Final = "the consumer was stopped, or had to stop, before it was read"

log = structlog.get_logger(__name__)

#: What the log says; filled as the work goes on, so that it is there however that ends.
_Facts = dict[str, Any]


@dataclass
class _Case:
    """A message in work. `undone`: the jobs without an answer yet, and why they have none."""

    message: Message
    notification: Notification
    pending: dict[Job, str]
    documents: list[_Facts] = field(default_factory=list)
    facts: _Facts = field(default_factory=dict)

    @classmethod
    def of(cls, message: Message) -> "_Case":
        notification = events.parse(message.body)
        case = cls(message, notification, dict.fromkeys(notification.jobs, _UNREAD))
        if notification.ignored:
            case.facts["ignored"] = notification.ignored
        if notification.malformed:
            case.facts["malformed"] = notification.malformed
        return case


class MessageHandler:
    """Handles messages, each in the task that asks for it."""

    def __init__(  # noqa: PLR0913 - built in one place, the composition root
        self,
        queue: Queue,
        leases: LeaseKeeper,
        pipeline: Pipeline,
        breaker: CircuitBreaker,
        *,
        announce: Announce,
        clock: Clock,
        rng: random.Random,
        metrics: Metrics,
    ) -> None:
        self._queue = queue
        self._leases = leases
        self._pipeline = pipeline
        self._breaker = breaker
        self._announce = announce
        self._clock = clock
        self._rng = rng
        self._metrics = metrics
        #: When the work on any message last came a step further, in the clock's monotonic seconds.
        self.last_progress_at = clock.monotonic()
        self._works: set[asyncio.Task[Outcome]] = set()
        self._ended = False

    async def handle(self, message: Message) -> None:
        """Do all that a message needs; no error of it ends the consumer."""
        started = self._clock.monotonic()
        try:
            case = _Case.of(message)
            self._note_wait(case)
            outcome, exhausted = await self._hold(case)
            case.facts["seconds"] = round(self._clock.monotonic() - started, 3)
            await self._settle(case, outcome, exhausted=exhausted)
        except Exception:  # the last boundary: other documents go on
            log.exception("message.abandoned", message_id=message.message_id)

    async def release_message(self, message: Message) -> None:
        """Settle a message on which no work will be begun; no error of it ends the consumer."""
        try:
            # Nobody renews its lease.
            async with asyncio.timeout(_HAND_BACK_S):
                case = _Case.of(message)
                exhausted = await self._write_exhausted_result(case, Outcome.RELEASED, lambda: None)
                await self._settle(case, Outcome.RELEASED, exhausted=exhausted)
        except TimeoutError:
            # It comes again by itself.
            log.warning("settle.failed", message_id=message.message_id, error="it took too long")
        except Exception:  # as above
            log.exception("message.abandoned", message_id=message.message_id)

    def cancel_all(self) -> None:
        """End all work, for good; the messages are handed back."""
        self._ended = True
        for work in self._works:
            work.cancel()

    def _note_wait(self, case: _Case) -> None:
        """Note how long the message lay on the queue, which is known of its first receive only."""
        if case.message.receive_count == 1:
            waited_s = (self._clock.now() - case.message.sent_at).total_seconds()
            self._metrics.waited(waited_s)
            case.facts["waited_s"] = round(waited_s, 3)

    async def _hold(self, case: _Case) -> tuple[Outcome, bool]:
        """Hold the message while its work is done; returns how that ended, and whether nobody tries again."""
        exhausted = False
        async with self._leases.hold(case.message) as lease, asyncio.TaskGroup() as group:

            def progress() -> None:
                self.last_progress_at = self._clock.monotonic()
                lease.progress()

            # A task of its own, because a lost lease or a drain ends the work and not what follows.
            work = group.create_task(self._work(case, progress), name="work")
            ends = [group.create_task(event.wait()) for event in (lease.lost, lease.overdue)]
            self._works.add(work)
            if self._ended:
                work.cancel()
            try:
                await asyncio.wait([work, *ends], return_when=asyncio.FIRST_COMPLETED)
                if lease.lost.is_set() or lease.overdue.is_set():
                    work.cancel()
                await asyncio.wait([work])
                outcome = self._cut_short(case, lease) if work.cancelled() else work.result()
                if not lease.lost.is_set():
                    exhausted = await self._write_exhausted_result(case, outcome, progress)
            finally:
                for end in ends:
                    end.cancel()
                self._works.discard(work)
        return (Outcome.LEASE_LOST, False) if lease.lost.is_set() else (outcome, exhausted)

    def _cut_short(self, case: _Case, lease: Lease) -> Outcome:
        """Say how work ended that was cancelled."""
        if lease.overdue.is_set():
            case.facts["error"] = lease.reason
            case.pending = {job: lease.reason if why is _UNREAD else why for job, why in case.pending.items()}
        # Where nobody has asked for it, a library has let a cancellation of its own escape.
        is_ours = self._ended and not lease.overdue.is_set()
        return Outcome.RELEASED if is_ours else Outcome.TRANSIENT

    async def _work(self, case: _Case, progress: Progress) -> Outcome:
        """Do all that the message asks for; what fails does not keep the rest from being done."""
        outcomes = [Outcome.MALFORMED] if case.notification.malformed else [Outcome.DONE]
        for job in case.notification.jobs:
            document: _Facts = {"bucket": job.bucket, "key": job.key}
            case.documents.append(document)
            outcome, why = await self._process(job, case.message, document, progress)
            outcomes.append(outcome)
            if outcome is Outcome.DONE:
                del case.pending[job]
            else:
                case.pending[job] = why
        return max(outcomes, key=_SEVERITY.index)

    async def _process(
        self, job: Job, message: Message, document: _Facts, progress: Progress
    ) -> tuple[Outcome, str]:
        """Do one job; the boundary at which errors become outcomes, with a text for the result's reader."""
        try:
            answer = await self._pipeline.process(job, message.sent_at, progress)
            document |= _facts(answer)
        except HostError as error:
            document["error"] = str(error)
            self._breaker.record_host_failure(error)
            return Outcome.HOST_FAILURE, str(error)
        except TransientError as error:
            document["error"] = str(error)
            if isinstance(error, UnavailableError):
                self._breaker.record_storage_failure(error, partial(self._pipeline.check, job.bucket))
            return Outcome.TRANSIENT, str(error)
        except Exception as error:  # noqa: BLE001 - a bug must not take other documents along
            document["traceback"] = traceback.format_exc()
            return Outcome.BUG, f"an internal error ({type(error).__name__})"
        self._breaker.record_storage_success()
        if answer.result is not None:
            self._breaker.record_host_success()
        if (why := await self._announced(answer)) is not None:
            document["error"] = why
            return Outcome.TRANSIENT, why
        return Outcome.DONE, ""

    async def _announced(self, answer: JobResult) -> str | None:
        """Tell of the result that is there; returns why that could not be done, if it could not.

        Whoever gets the message next tells of it again. It is no failure of storage.
        """
        if answer.completion is None:
            return None
        try:
            await self._announce(answer.completion)
        except ServiceError as error:
            return f"the result is stored, and was not announced: {error}"
        return None

    async def _write_exhausted_result(self, case: _Case, outcome: Outcome, progress: Progress) -> bool:
        """Where nobody will try again, store results that say so; returns whether that is so."""
        message = case.message
        if not case.pending:
            return False
        try:
            most = await self._queue.max_receive_count()
        except ServiceError as error:
            log.warning("queue.unknown", message_id=message.message_id, error=str(error))
            return False
        if not settle.is_exhausted(outcome, message.receive_count, most):
            return False
        for job, why in case.pending.items():
            told = f"not read in {message.receive_count} tries; the last one: {why}"
            try:
                answer = await self._pipeline.write_exhausted_result(job, message.sent_at, told, progress)
            except Exception as error:  # noqa: BLE001 - the dead letter still tells of it
                case.facts["given_up"] = f"without a result: {error}"
            else:
                case.facts["given_up"] = await self._announced(answer) or answer.reason
        return True

    async def _settle(self, case: _Case, outcome: Outcome, *, exhausted: bool) -> None:
        message, facts = case.message, case.facts
        decision = settle.decide(outcome, message.receive_count, self._rng, exhausted=exhausted)
        try:
            await self._apply(decision, message)
        except ServiceError as error:
            # The message comes again by itself, and then costs two HEAD requests.
            log.warning("settle.failed", message_id=message.message_id, error=str(error))
        self._metrics.message(outcome.name.lower())
        # Nearly always a message names one document; then its facts stand in the line itself.
        facts |= case.documents[0] if len(case.documents) == 1 else {"documents": case.documents}
        log.log(
            _LEVELS.get(outcome, logging.WARNING),
            "message",
            message_id=message.message_id,
            receive_count=message.receive_count,
            outcome=outcome.name.lower(),
            settled=type(decision).__name__,
            **facts,
        )

    async def _apply(self, decision: Disposition, message: Message) -> None:
        match decision:
            case settle.Delete():
                await self._queue.delete(message)
            case settle.RetryAfter(delay_s=delay_s):
                await self._queue.retry_after(message, delay_s)
            case settle.NoAction():
                pass


def _facts(answer: JobResult) -> _Facts:
    """What the log says of a document: never its text."""
    facts: _Facts = {"answer": answer.reason}
    if (stored := answer.result) is not None:
        document = stored.head
        facts |= {
            "status": document.status.value,
            "code": document.error.code.value if document.error else None,
            "etag": document.source.etag,
            "version_id": document.source.version_id,
            "engine": document.engine.name,
            "pages": document.page_count,
            "lines": stored.lines,
            "render_s": document.timing.render_s,
            "engine_s": document.timing.engine_s,
        }
        facts |= {f"{stage}_s": round(seconds, 3) for stage, seconds in answer.seconds.items()}
    return facts
