"""The loop: take a slot, receive a message, hold it, do its work, settle it. And drain."""

import asyncio
import contextlib
import logging
import random
import traceback
from typing import Any, Final

import structlog

from consumer.domain import events, settle
from consumer.domain.errors import MachineError, PassingError, ServiceError
from consumer.domain.events import Job, Notification
from consumer.domain.settle import Decision, Outcome
from consumer.gate import Gate
from consumer.pipeline import Answer, Pipeline
from consumer.ports import Clock, LeaseKeeper, Message, Progress, Queue

#: Pause after a failed receive, so that an outage is not answered by a storm.
_RECEIVE_PAUSE_S: Final = 5.0

#: How often a machine that is not well is looked at.
_GATE_PAUSE_S: Final = 1.0

#: A message of several documents ends as the worst of them; what may still be done comes before what
#: nobody can do.
_SEVERITY: Final = (Outcome.DONE, Outcome.MALFORMED, Outcome.PASSING, Outcome.MACHINE, Outcome.BUG)

_LEVELS: Final = {
    Outcome.DONE: logging.INFO,
    Outcome.HANDED_BACK: logging.INFO,
    Outcome.BUG: logging.ERROR,
}

log = structlog.get_logger(__name__)


#: What the log says of a message; filled as its work goes on, so that it is there however that ends.
_Facts = dict[str, Any]


class Worker:
    """Consumes a queue. `slots`: messages in work at once; `drain_s`: time to finish them when stopped."""

    def __init__(  # noqa: PLR0913 - built in one place, the composition root
        self,
        queue: Queue,
        leases: LeaseKeeper,
        pipeline: Pipeline,
        gate: Gate,
        *,
        slots: int,
        drain_s: float,
        clock: Clock,
        rng: random.Random,
    ) -> None:
        self._queue = queue
        self._leases = leases
        self._pipeline = pipeline
        self._gate = gate
        self._slots = asyncio.Semaphore(slots)
        self._drain_s = drain_s
        self._clock = clock
        self._rng = rng
        self._in_work = 0
        self._works: set[asyncio.Task[Outcome]] = set()

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
                elif stop.is_set() or self._gate.problem is not None:
                    # It came with a poll that had begun before, and no work was begun on it.
                    await self._settle(message, Outcome.HANDED_BACK, {})
                    self._slots.release()
                else:
                    self._in_work += 1
                    group.create_task(self._answer(group, message), name=f"message {message.message_id}")
            await self._drain()

    async def _wake(self, stop: asyncio.Event) -> None:
        """Let the loop see `stop` even while it waits for a slot."""
        await stop.wait()
        self._slots.release()

    async def _receive(self, stop: asyncio.Event) -> Message | None:
        if not await self._may_receive(stop):
            await _pause(_GATE_PAUSE_S, stop)
            return None
        try:
            return await self._queue.receive()
        except ServiceError as error:
            log.warning("receive.failed", error=str(error))
            await _pause(_RECEIVE_PAUSE_S, stop)
            return None

    async def _may_receive(self, stop: asyncio.Event) -> bool:
        if self._gate.on_trial and self._in_work:
            return False
        # A look may take as long as a child to start, and a stop does not wait for that.
        looking = asyncio.create_task(self._gate.is_open(), name="look at the machine")
        stopping = asyncio.create_task(stop.wait(), name="stop")
        try:
            await asyncio.wait([looking, stopping], return_when=asyncio.FIRST_COMPLETED)
            return looking.done() and looking.result()
        finally:
            for task in (looking, stopping):
                task.cancel()
            await asyncio.gather(looking, stopping, return_exceptions=True)

    async def _drain(self) -> None:
        """Give documents in work the time to end; hand the rest back."""
        log.info("drain.started", in_work=len(self._works))
        if self._works:
            _, unfinished = await asyncio.wait(self._works, timeout=self._drain_s)
            for work in unfinished:
                work.cancel()

    async def _answer(self, group: asyncio.TaskGroup, message: Message) -> None:
        """Do all that a message needs, and give its slot back; no error of it ends the consumer."""
        try:
            await self._hold(group, message)
        except Exception:  # the last boundary: other documents go on
            log.exception("message.abandoned", message_id=message.message_id)
        finally:
            self._in_work -= 1
            self._slots.release()

    async def _hold(self, group: asyncio.TaskGroup, message: Message) -> None:
        """Hold a message while its work is done, then settle it."""
        started = self._clock.monotonic()
        notification = events.parse(message.body)
        facts: _Facts = {}
        async with self._leases.hold(message) as lease:
            # A task of its own, because a lost lease or a drain ends the work and not what follows.
            work = group.create_task(self._work(message, notification, facts, lease.progress), name="work")
            lost = group.create_task(lease.lost.wait(), name="lease lost")
            self._works.add(work)
            try:
                await asyncio.wait([work, lost], return_when=asyncio.FIRST_COMPLETED)
                if lease.lost.is_set():
                    work.cancel()
                await asyncio.wait([work])
            finally:
                lost.cancel()
                self._works.discard(work)
        if lease.lost.is_set():
            outcome = Outcome.LEASE_LOST
        else:
            outcome = Outcome.HANDED_BACK if work.cancelled() else work.result()
        facts["seconds"] = round(self._clock.monotonic() - started, 3)
        await self._settle(message, outcome, facts)

    async def _work(
        self, message: Message, notification: Notification, facts: _Facts, progress: Progress
    ) -> Outcome:
        """Do all that the message asks for; what fails does not keep the rest from being done."""
        if notification.ignored:
            facts["ignored"] = notification.ignored
        if notification.malformed:
            facts["malformed"] = notification.malformed
        outcomes = [Outcome.MALFORMED] if notification.malformed else [Outcome.DONE]
        documents: list[_Facts] = []
        facts["documents"] = documents
        for job in notification.jobs:
            document: _Facts = {"bucket": job.bucket, "key": job.key}
            documents.append(document)
            outcomes.append(await self._process(job, message, document, progress))
        return max(outcomes, key=_SEVERITY.index)

    async def _process(self, job: Job, message: Message, document: _Facts, progress: Progress) -> Outcome:
        """Do one job; the boundary at which errors become outcomes."""
        try:
            answer = await self._pipeline.process(job, message.sent_at, progress)
        except MachineError as error:
            document["error"] = str(error)
            self._gate.machine_failed(error)
            return Outcome.MACHINE
        except PassingError as error:
            document["error"] = str(error)
            return Outcome.PASSING
        except Exception:  # noqa: BLE001 - a bug must not take other documents along
            document["traceback"] = traceback.format_exc()
            return Outcome.BUG
        if answer.result is not None:
            self._gate.machine_worked()
        document |= _facts(answer)
        return Outcome.DONE

    async def _settle(self, message: Message, outcome: Outcome, facts: _Facts) -> None:
        decision = settle.decide(outcome, message.receive_count, self._rng)
        try:
            await self._apply(decision, message)
        except ServiceError as error:
            # The message comes again by itself, and then costs two HEAD requests.
            log.warning("settle.failed", message_id=message.message_id, error=str(error))
        documents = facts.pop("documents", [])
        # Nearly always a message names one document; then its facts stand in the line itself.
        facts |= documents[0] if len(documents) == 1 else {"documents": documents}
        log.log(
            _LEVELS.get(outcome, logging.WARNING),
            "message",
            message_id=message.message_id,
            receive_count=message.receive_count,
            outcome=outcome.name.lower(),
            settled=type(decision).__name__,
            **facts,
        )

    async def _apply(self, decision: Decision, message: Message) -> None:
        match decision:
            case settle.Delete():
                await self._queue.delete(message)
            case settle.RetryAfter(delay_s=delay_s):
                await self._queue.retry_after(message, delay_s)
            case settle.Leave():
                pass


async def _pause(seconds: float, stop: asyncio.Event) -> None:
    """Wait, unless it is time to stop."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await stop.wait()


def _facts(answer: Answer) -> _Facts:
    """What the log says of a document: never its text."""
    facts: _Facts = {"answer": answer.reason}
    if (stored := answer.result) is not None:
        document = stored.head
        facts |= {
            "status": document.status.value,
            "code": document.error.code.value if document.error else None,
            "etag": document.source.etag,
            "pages": document.page_count,
            "lines": stored.lines,
            "render_s": document.timing.render_s,
            "engine_s": document.timing.engine_s,
        }
    return facts
