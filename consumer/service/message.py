"""One message: hold its lease, run its jobs, have it settled."""

import asyncio
from dataclasses import KW_ONLY, dataclass, field
from typing import Final

import structlog

from consumer.clock import Clock, Watchdog
from consumer.domain import events, settle
from consumer.domain.settle import Disposition, Outcome
from consumer.metrics import Metrics
from consumer.ports import Lease, LeaseKeeper, Message
from consumer.service.first_of import first_of
from consumer.service.jobs import JobRunner
from consumer.service.message_context import MessageContext
from consumer.service.settler import Settler

#: Longest time to release a message whose lease is not renewed: below the shortest lease.
_RELEASE_DEADLINE_S: Final = 8.0

#: Reason for jobs that were not begun, or were cut short.
_NOT_READ: Final = "the consumer was stopped, or had to stop, before it was read"

log = structlog.get_logger(__name__)


@dataclass(eq=False)
class MessageHandler:
    """Handles messages, each in the task that asks for it. `watchdog` sees the progress of all of them."""

    leases: LeaseKeeper
    jobs: JobRunner
    settler: Settler
    _: KW_ONLY
    watchdog: Watchdog
    clock: Clock
    metrics: Metrics
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
            await self.settler.settle(context, outcome, disposition)
        except Exception:  # the last boundary: other documents go on
            log.exception("message.abandoned", message_id=context.message.message_id)

    async def release(self, context: MessageContext) -> None:
        """Settle a message on which no work will be begun here; no error of it ends the consumer."""
        await self._put_back(context, Outcome.RELEASED)

    async def postpone(self, context: MessageContext, delay_s: int) -> None:
        """Let a message come again after a while; no error of it ends the consumer."""
        await self._put_back(context, Outcome.POSTPONED, delay_s)

    async def _put_back(self, context: MessageContext, outcome: Outcome, delay_s: int = 0) -> None:
        message_id = context.message.message_id
        try:
            # Nobody renews its lease.
            async with asyncio.timeout(_RELEASE_DEADLINE_S):
                context.complete_reports(outcome, _NOT_READ)
                disposition = await self.settler.decide(context, outcome, delay_s)
                await self.settler.settle(context, outcome, disposition)
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
        """Note how long a message that asks for work lay on the queue; known of its first receive only."""
        if context.notification.jobs and context.message.receive_count == 1:
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
            self._work.add(work)
            if self._is_cancelled:
                work.cancel()
            try:
                await first_of(lease.lost, lease.overdue, work=work)
                if lease.lost.is_set() or lease.overdue.is_set():
                    work.cancel()
                await asyncio.wait([work])
                outcome, reason = self._ended(context, work, lease)
                context.complete_reports(outcome, reason)
                if not lease.lost.is_set():
                    disposition = await self.settler.decide(context, outcome)
            finally:
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
            is_again = context.message.receive_count > 1
            report = await self.jobs.run(
                job, context.queued_at(job), context.watchdog, is_again=is_again, aside=context.aside
            )
            context.reports.append(report)
            if context.is_cut_short:
                return
