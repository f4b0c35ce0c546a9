"""The loop: take a slot, receive a message, hold it, do its work, settle it. And drain."""

import asyncio
import contextlib
import random
import traceback
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import structlog

from consumer.domain import events, settle
from consumer.domain.errors import PassingError, ServiceError
from consumer.domain.events import Job
from consumer.domain.settle import Decision, Outcome
from consumer.pipeline import Answer, Pipeline
from consumer.ports import Clock, LeaseKeeper, Message, Progress, Queue

#: Pause after a failed receive, so that an outage is not answered by a storm.
_RECEIVE_PAUSE_S: Final = 5.0

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Report:
    """How the work on a message ended, and the facts for its log line."""

    outcome: Outcome
    facts: Mapping[str, Any] = field(default_factory=dict)


class Worker:
    """Consumes a queue. `slots`: messages in work at once; `drain_s`: time to finish them when stopped."""

    def __init__(  # noqa: PLR0913 - built in one place, the composition root
        self,
        queue: Queue,
        leases: LeaseKeeper,
        pipeline: Pipeline,
        *,
        slots: int,
        drain_s: float,
        clock: Clock,
        rng: random.Random,
    ) -> None:
        self._queue = queue
        self._leases = leases
        self._pipeline = pipeline
        self._slots = asyncio.Semaphore(slots)
        self._drain_s = drain_s
        self._clock = clock
        self._rng = rng
        self._works: set[asyncio.Task[_Report]] = set()

    async def run(self, stop: asyncio.Event) -> None:
        """Consume until `stop` is set; then finish or hand back what is in work."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._wake(stop), name="stop")
            while True:
                await self._slots.acquire()
                if stop.is_set():
                    break
                message = await self._receive(stop)
                if message is None:
                    self._slots.release()
                elif stop.is_set():
                    # It came with the last poll, and no work was begun on it.
                    await self._settle(message, _Report(Outcome.HANDED_BACK))
                else:
                    group.create_task(self._answer(group, message), name=f"message {message.message_id}")
            await self._drain()

    async def _wake(self, stop: asyncio.Event) -> None:
        """Let the loop see `stop` even while it waits for a slot."""
        await stop.wait()
        self._slots.release()

    async def _receive(self, stop: asyncio.Event) -> Message | None:
        try:
            return await self._queue.receive()
        except ServiceError as error:
            log.warning("receive.failed", error=str(error))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_RECEIVE_PAUSE_S):
                    await stop.wait()
            return None

    async def _drain(self) -> None:
        """Give documents in work the time to end; hand the rest back."""
        log.info("drain.started", in_work=len(self._works))
        if self._works:
            _, unfinished = await asyncio.wait(self._works, timeout=self._drain_s)
            for work in unfinished:
                work.cancel()

    async def _answer(self, group: asyncio.TaskGroup, message: Message) -> None:
        """Hold a message, do its work and settle it; gives the slot back."""
        started = self._clock.monotonic()
        try:
            async with self._leases.hold(message) as lease:
                # A task of its own, because a lost lease or a drain ends the work and not what follows.
                work = group.create_task(self._work(message, lease.progress), name="work")
                lost = group.create_task(lease.lost.wait(), name="lease lost")
                self._works.add(work)
                await asyncio.wait([work, lost], return_when=asyncio.FIRST_COMPLETED)
                if lease.lost.is_set():
                    work.cancel()
                lost.cancel()
                await asyncio.wait([work])
                self._works.discard(work)
            if lease.lost.is_set():
                report = _Report(Outcome.LEASE_LOST)
            elif work.cancelled():
                report = _Report(Outcome.HANDED_BACK)
            else:
                report = work.result()
            seconds = round(self._clock.monotonic() - started, 3)
            await self._settle(message, report, seconds=seconds)
        finally:
            self._slots.release()

    async def _work(self, message: Message, progress: Progress) -> _Report:
        """Do what the message asks for; the boundary at which errors become outcomes."""
        notification = events.parse(message.body)
        facts: list[dict[str, Any]] = []
        try:
            for job in notification.jobs:
                answer = await self._pipeline.process(job, message.sent_at, progress)
                facts.append(_facts(job, answer))
        except PassingError as error:
            return _Report(Outcome.PASSING, {"bucket": job.bucket, "key": job.key, "error": str(error)})
        except Exception:  # noqa: BLE001 - the boundary: a bug must not take other documents along
            trace = traceback.format_exc()
            return _Report(Outcome.BUG, {"bucket": job.bucket, "key": job.key, "traceback": trace})
        if notification.malformed:
            return _Report(Outcome.MALFORMED, {"problems": notification.malformed, "documents": facts})
        if len(facts) == 1:
            return _Report(Outcome.DONE, facts[0])
        return _Report(Outcome.DONE, {"ignored": notification.ignored, "documents": facts})

    async def _settle(self, message: Message, report: _Report, **facts: Any) -> None:
        decision = settle.decide(report.outcome, message.receive_count, self._rng)
        try:
            await self._apply(decision, message)
        except ServiceError as error:
            # The message comes again by itself, and then costs two HEAD requests.
            log.warning("settle.failed", message_id=message.message_id, error=str(error))
        line = log.info if report.outcome in (Outcome.DONE, Outcome.HANDED_BACK) else log.warning
        if report.outcome is Outcome.BUG:
            line = log.error
        line(
            "message",
            message_id=message.message_id,
            receive_count=message.receive_count,
            outcome=report.outcome.name.lower(),
            settled=type(decision).__name__,
            **facts,
            **report.facts,
        )

    async def _apply(self, decision: Decision, message: Message) -> None:
        match decision:
            case settle.Delete():
                await self._queue.delete(message)
            case settle.RetryAfter(delay_s=delay_s):
                await self._queue.retry_after(message, delay_s)
            case settle.Leave():
                pass


def _facts(job: Job, answer: Answer) -> dict[str, Any]:
    """What the log says of a document: never its text."""
    facts: dict[str, Any] = {"bucket": job.bucket, "key": job.key, "answer": answer.reason}
    if (document := answer.document) is not None:
        facts |= {
            "status": document.status.value,
            "code": document.error.code.value if document.error else None,
            "etag": document.source.etag,
            "pages": document.page_count,
            "lines": len(document.detections),
            "render_s": document.timing.render_s,
            "engine_s": document.timing.engine_s,
        }
    return facts
