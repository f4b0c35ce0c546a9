"""One message: hold its lease, run its jobs, settle it, log it."""

import asyncio
import logging
import random
from dataclasses import KW_ONLY, dataclass, field, replace
from typing import Any, Final

import structlog

from consumer.clock import Clock, Watchdog
from consumer.domain import events, settle
from consumer.domain.errors import ServiceError
from consumer.domain.events import Notification
from consumer.domain.pauses import DEFAULT_PAUSES, Pauses
from consumer.domain.settle import Disposition, Outcome
from consumer.metrics import Metrics
from consumer.ports import Lease, LeaseKeeper, Message, Queue
from consumer.service.jobs import JobReport, JobRunner

#: A message of several documents ends as the worst of them; what may still be done comes before what nobody
#: can do.
_SEVERITY: Final = (Outcome.DONE, Outcome.MALFORMED, Outcome.TRANSIENT, Outcome.HOST_FAILURE, Outcome.BUG)

_LEVELS: Final = {
    Outcome.DONE: logging.INFO,
    Outcome.RELEASED: logging.INFO,
    Outcome.BUG: logging.ERROR,
    # A long document has several of these a second.
    Outcome.POSTPONED: logging.DEBUG,
}

#: Longest time to send a message again. What comes after it must fit into the time to release.
_SEND_DEADLINE_S: Final = 3.0

#: Longest time to release a message whose lease is not renewed: below the shortest lease.
_RELEASE_DEADLINE_S: Final = 8.0

#: Reason for jobs that were not begun, or were cut short.
_NOT_READ: Final = "the consumer was stopped, or had to stop, before it was read"

log = structlog.get_logger(__name__)


@dataclass
class MessageContext:
    """A message in flight. `reports` come as jobs end, so they are there however the work ends."""

    message: Message
    notification: Notification
    watchdog: Watchdog
    reports: list[JobReport] = field(default_factory=list)
    log_fields: dict[str, Any] = field(default_factory=dict)

    @property
    def is_cut_short(self) -> bool:
        """Whether a job ended early because it was cancelled."""
        return any(report.outcome is Outcome.RELEASED for report in self.reports)

    @property
    def outcome(self) -> Outcome:
        """How work that came to its end has ended."""
        outcomes = [Outcome.MALFORMED if self.notification.malformed else Outcome.DONE]
        outcomes += [report.outcome for report in self.reports]
        return max(outcomes, key=_SEVERITY.index)

    def complete_reports(self, outcome: Outcome, reason: str) -> None:
        """Report the jobs that were not begun or were cut short: with `outcome`, for `reason`."""
        self.reports = [
            replace(report, outcome=outcome, reason=reason) if report.outcome is Outcome.RELEASED else report
            for report in self.reports
        ]
        for job in self.notification.jobs[len(self.reports) :]:
            log_fields = {"bucket": job.bucket, "key": job.key}
            self.reports.append(JobReport(job, outcome, reason, log_fields))

    @property
    def bodies(self) -> tuple[str, ...]:
        """Bodies of messages that ask for what is left to do; a source that is done costs two HEADs."""
        left = [report.continuation for report in self.reports if report.outcome is not Outcome.DONE]
        if self.notification.malformed or not left or not all(left):
            return (self.message.body,)
        return tuple(body for continuation in left for body in continuation)


@dataclass(eq=False)
class MessageHandler:
    """Handles messages, each in the task that asks for it. `watchdog` sees the progress of all of them."""

    queue: Queue
    leases: LeaseKeeper
    jobs: JobRunner
    _: KW_ONLY
    watchdog: Watchdog
    clock: Clock
    rng: random.Random
    metrics: Metrics
    pauses: Pauses = DEFAULT_PAUSES
    _work: set[asyncio.Task[None]] = field(default_factory=set, init=False)
    _is_cancelled: bool = field(default=False, init=False)

    def parse(self, message: Message) -> MessageContext:
        """Begin with a message: find out what it asks for."""
        notification = events.parse(message.body)
        context = MessageContext(message, notification, Watchdog(self.clock, self.watchdog))
        for name in ("ignored", "malformed"):
            if texts := getattr(notification, name):
                context.log_fields[name] = texts
        return context

    async def handle(self, context: MessageContext) -> None:
        """Do all that a message needs; no error of it ends the consumer."""
        started_at = self.clock.monotonic()
        try:
            self._observe_wait(context)
            outcome, disposition = await self._hold(context)
            context.log_fields["seconds"] = round(self.clock.monotonic() - started_at, 3)
            await self._settle(context, outcome, disposition)
        except Exception:  # the last boundary: other documents go on
            log.exception("message.abandoned", message_id=context.message.message_id)

    async def release(self, context: MessageContext) -> None:
        """Settle a message on which no work will be begun here; no error of it ends the consumer."""
        await self._put_back(context, Outcome.RELEASED)

    async def postpone(self, context: MessageContext, turn_s: float | None) -> None:
        """Let a message come again when it is its turn, see `decide`; no error of it ends the consumer."""
        await self._put_back(context, Outcome.POSTPONED, turn_s)

    async def _put_back(self, context: MessageContext, outcome: Outcome, turn_s: float | None = None) -> None:
        message_id = context.message.message_id
        try:
            # Nobody renews its lease.
            async with asyncio.timeout(_RELEASE_DEADLINE_S):
                context.complete_reports(outcome, _NOT_READ)
                await self._settle(context, outcome, await self._decide(context, outcome, turn_s))
        except TimeoutError:
            # Its lease runs out, and it comes again.
            log.warning("settle.failed", message_id=message_id, error="it took too long")
        except Exception:  # as above
            log.exception("message.abandoned", message_id=message_id)

    def cancel_all(self) -> None:
        """End all work, now and later; the messages are released."""
        self._is_cancelled = True
        for work in self._work:
            work.cancel()

    def _observe_wait(self, context: MessageContext) -> None:
        """Note how long the message lay on the queue, which is known of its first receive only."""
        if context.message.receive_count == 1:
            waited_s = (self.clock.now() - context.message.sent_at).total_seconds()
            self.metrics.observe_queue_wait(waited_s)
            context.log_fields["waited_s"] = round(waited_s, 3)

    async def _hold(self, context: MessageContext) -> tuple[Outcome, Disposition]:
        """Hold the message while its jobs run; returns the outcome, and what is to be done with it."""
        disposition: Disposition = settle.NoAction()
        holding = self.leases.hold(context.message, context.watchdog)
        async with holding as lease, asyncio.TaskGroup() as group:
            # A task of its own, because a lost lease or a drain ends the work and not what follows it.
            work = group.create_task(self._run_jobs(context), name="work")
            ends = [group.create_task(event.wait()) for event in (lease.lost, lease.overdue)]
            self._work.add(work)
            if self._is_cancelled:
                work.cancel()
            try:
                await asyncio.wait([work, *ends], return_when=asyncio.FIRST_COMPLETED)
                if lease.lost.is_set() or lease.overdue.is_set():
                    work.cancel()
                await asyncio.wait([work])
                outcome, reason = self._ended(context, work, lease)
                context.complete_reports(outcome, reason)
                if not lease.lost.is_set():
                    disposition = await self._decide(context, outcome)
            finally:
                for end in ends:
                    end.cancel()
                self._work.discard(work)
        if lease.lost.is_set():
            return Outcome.LEASE_LOST, settle.NoAction()
        return outcome, disposition

    def _ended(self, context: MessageContext, work: asyncio.Task[None], lease: Lease) -> tuple[Outcome, str]:
        """Return the outcome of work that has ended, and why jobs without a report have none."""
        if not work.cancelled():
            work.result()
            if not context.is_cut_short:
                return context.outcome, _NOT_READ
        if lease.overdue.is_set():
            context.log_fields["error"] = lease.reason
            return Outcome.TRANSIENT, lease.reason
        # If nobody asked for it, a library has let a cancellation of its own escape.
        return Outcome.RELEASED if self._is_cancelled else Outcome.TRANSIENT, _NOT_READ

    async def _run_jobs(self, context: MessageContext) -> None:
        """Run all jobs; one that fails does not keep the rest from being done."""
        for job in context.notification.jobs:
            report = await self.jobs.run(job, context.message.sent_at, context.watchdog)
            context.reports.append(report)
            if context.is_cut_short:
                return

    async def _write_exhausted_results(self, context: MessageContext, outcome: Outcome) -> bool:
        """Store results for pending jobs if this was the last try; returns whether it was."""
        message = context.message
        pending = [report for report in context.reports if report.outcome is not Outcome.DONE]
        if not pending or outcome not in settle.FAILED:
            return False
        try:
            max_receive_count = await self.queue.max_receive_count()
        except ServiceError as error:
            log.warning("queue.unknown", message_id=message.message_id, error=str(error))
            return False
        if not settle.is_exhausted(outcome, message.receive_count, max_receive_count):
            return False
        for report in pending:
            text = f"not read in {message.receive_count} tries; the last one: {report.reason}"
            context.log_fields["exhausted_result"] = await self.jobs.write_exhausted_result(
                report.job, message.sent_at, text, context.watchdog
            )
        return True

    async def _decide(
        self, context: MessageContext, outcome: Outcome, turn_s: float | None = None
    ) -> Disposition:
        """Decide what is to be done with the message; what is to be sent again has been sent then."""
        exhausted = await self._write_exhausted_results(context, outcome)
        receive_count = context.message.receive_count
        disposition = settle.decide(
            outcome, receive_count, self.rng, self.pauses, exhausted=exhausted, turn_s=turn_s
        )
        if isinstance(disposition, settle.SendAgain):
            return await _sent_again(self.queue, context, disposition)
        return disposition

    async def _settle(self, context: MessageContext, outcome: Outcome, disposition: Disposition) -> None:
        message = context.message
        try:
            await _apply(self.queue, disposition, message)
        except ServiceError as error:
            # The message comes again by itself, and then costs two HEAD requests.
            log.warning("settle.failed", message_id=message.message_id, error=str(error))
        self.metrics.count_message(outcome)
        # Nearly every message names one document; its fields then stand in the line itself.
        documents = [dict(report.log_fields) for report in context.reports]
        log.log(
            _LEVELS.get(outcome, logging.WARNING),
            "message",
            message_id=message.message_id,
            receive_count=message.receive_count,
            outcome=outcome.name.lower(),
            settled=type(disposition).__name__,
            **(context.log_fields | (documents[0] if len(documents) == 1 else {"documents": documents})),
        )


async def _sent_again(queue: Queue, context: MessageContext, disposition: settle.SendAgain) -> Disposition:
    """Send what is left to do; returns what is still to be done with the message."""
    try:
        async with asyncio.timeout(_SEND_DEADLINE_S):
            await queue.send(context.bodies, disposition.delay_s)
    except (ServiceError, TimeoutError) as error:
        # This costs a receive. Some may have been sent nevertheless, and their work is done once.
        text = str(error) or f"no answer in {_SEND_DEADLINE_S:g} s"
        log.warning("send.failed", message_id=context.message.message_id, error=text)
        return settle.RetryAfter(disposition.delay_s)
    return disposition


async def _apply(queue: Queue, disposition: Disposition, message: Message) -> None:
    match disposition:
        case settle.Delete() | settle.SendAgain():
            await queue.delete(message)
        case settle.RetryAfter(delay_s=delay_s):
            await queue.retry_after(message, delay_s)
