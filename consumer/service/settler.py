"""Settles a message whose work has ended: deletes it, sends it again, or leaves it; and logs it."""

import asyncio
import logging
import random
from dataclasses import KW_ONLY, dataclass, field
from typing import Final

import structlog

from consumer.clock import Clock
from consumer.domain import events, settle
from consumer.domain.errors import ServiceError
from consumer.domain.pauses import DEFAULT_PAUSES, Pauses
from consumer.domain.settle import Disposition, Outcome
from consumer.metrics import Metrics
from consumer.ports import Message, Queue
from consumer.service.jobs import JobRunner
from consumer.service.message_context import MessageContext

_LEVELS: Final = {
    Outcome.DONE: logging.INFO,
    Outcome.RELEASED: logging.INFO,
    Outcome.BUG: logging.ERROR,
    Outcome.RENEWED: logging.INFO,
    # A long document has several of these a second.
    Outcome.POSTPONED: logging.DEBUG,
    Outcome.PASSED_ON: logging.DEBUG,
}

#: Longest time to send a message again. What comes after it must fit into the time to release.
_SEND_DEADLINE_S: Final = 3.0

#: So long after a message could not be deleted, none is sent again.
_REFUSED_S: Final = 60

log = structlog.get_logger(__name__)


@dataclass(eq=False)
class Settler:
    """Settles messages of `queue`."""

    queue: Queue
    jobs: JobRunner
    _: KW_ONLY
    clock: Clock
    rng: random.Random
    metrics: Metrics
    pauses: Pauses = DEFAULT_PAUSES
    _refused_at: float | None = field(default=None, init=False)

    async def decide(self, context: MessageContext, outcome: Outcome, delay_s: int = 0) -> Disposition:
        """Decide what is to be done with the message; what is to be sent again has been sent then.

        If this was the last try, results of its pending jobs are stored. `delay_s`: see
        `domain.settle.decide`.
        """
        receive_count = context.message.receive_count
        limit = await self._max_receive_count(context) if outcome in settle.FAILED else None
        if exhausted := settle.is_exhausted(outcome, receive_count, limit):
            await self._write_exhausted_results(context)
        redriven = settle.is_redriven(receive_count, limit)
        disposition = settle.decide(
            outcome,
            receive_count,
            self.rng,
            self.pauses,
            exhausted=exhausted,
            redriven=redriven,
            delay_s=delay_s,
        )
        if not isinstance(disposition, settle.SendAgain):
            return disposition
        if outcome is not Outcome.RELEASED and self._has_refused_lately:
            # It would be there twice, and each of both would be sent again in its turn.
            return settle.RetryAfter(max(disposition.delay_s, _REFUSED_S))
        return await _sent_again(self.queue, context, disposition)

    async def _max_receive_count(self, context: MessageContext) -> int | None:
        try:
            return await self.queue.max_receive_count()
        except ServiceError as error:
            log.warning("queue.unknown", message_id=context.message.message_id, error=str(error))
            return None

    async def _write_exhausted_results(self, context: MessageContext) -> None:
        """Store results for pending jobs."""
        for report in context.reports:
            if report.outcome is not Outcome.DONE:
                text = f"not read in {context.message.receive_count} tries; the last one: {report.reason}"
                context.log_fields["exhausted_result"] = await self.jobs.write_exhausted_result(
                    report.job, context.queued_at(report.job), text, context.watchdog
                )

    async def settle(self, context: MessageContext, outcome: Outcome, disposition: Disposition) -> None:
        """Do what was decided, count the message, and log it."""
        message = context.message
        try:
            await self._apply(disposition, message)
        except ServiceError as error:
            # The message comes again by itself, and then costs two HEAD requests.
            log.warning("settle.failed", message_id=message.message_id, error=str(error))
        if outcome is Outcome.DONE and context.ignored_as:
            self.metrics.count_ignored(context.ignored_as)
        else:
            self.metrics.count_message(outcome, context.cause(outcome))
        # Nearly every message names one document; its fields then stand in the line itself.
        documents = [dict(report.log_fields) for report in context.reports]
        # A long document has hundreds of events of its own.
        is_of_piece = context.notification.ignored == (events.OWN_PIECE,)
        log.log(
            logging.DEBUG if is_of_piece else _LEVELS.get(outcome, logging.WARNING),
            "message",
            message_id=message.message_id,
            receive_count=message.receive_count,
            outcome=outcome.name.lower(),
            settled=type(disposition).__name__,
            **(context.log_fields | (documents[0] if len(documents) == 1 else {"documents": documents})),
        )

    @property
    def _has_refused_lately(self) -> bool:
        """Whether the queue has refused to delete a message, and none was deleted since."""
        return self._refused_at is not None and self.clock.monotonic() < self._refused_at + _REFUSED_S

    async def _apply(self, disposition: Disposition, message: Message) -> None:
        match disposition:
            case settle.Delete() | settle.SendAgain():
                try:
                    await self.queue.delete(message)
                except BaseException:
                    self._refused_at = self.clock.monotonic()
                    raise
                self._refused_at = None
            case settle.RetryAfter(delay_s=delay_s):
                await self.queue.retry_after(message, delay_s)


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
