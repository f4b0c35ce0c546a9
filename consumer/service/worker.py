"""The loop: take a slot, receive a message, have it handled. And drain."""

import asyncio
import contextlib
import time
from collections.abc import Callable
from typing import Final

import structlog

from consumer.domain.errors import ServiceError
from consumer.metrics import Metrics
from consumer.ports import Message, Queue
from consumer.service.circuit_breaker import CircuitBreaker
from consumer.service.message import MessageHandler

#: Pause after a failed receive, so that an outage is not answered by a storm.
_RECEIVE_PAUSE_S: Final = 5.0

#: How often a machine that is not well is looked at.
_GATE_PAUSE_S: Final = 1.0

#: Handing back takes a moment, which comes off the time to drain.
_HAND_BACK_S: Final = 2.0

#: However long that poll takes, so much is left.
_LEAST_HAND_BACK_S: Final = 1.0

#: However short that is, a receive under way is waited for: a message may be on its way to us.
LEAST_DRAIN_S: Final = 8.0

log = structlog.get_logger(__name__)


class Worker:
    """Consumes a queue. `slots`: messages in work at once; `drain_s`: time to finish them when stopped.

    `idle_exit_s`: it ends by itself after so long without a message; None: it never does.
    `on_busy` is told when the first message comes into work, and when the last one has left it.
    """

    def __init__(  # noqa: PLR0913 - built in one place, the composition root
        self,
        queue: Queue,
        handler: MessageHandler,
        breaker: CircuitBreaker,
        *,
        slots: int,
        drain_s: float,
        idle_exit_s: float | None,
        on_busy: Callable[[bool], None],
        metrics: Metrics,
    ) -> None:
        self._queue = queue
        self._handler = handler
        self._breaker = breaker
        self._slots = asyncio.Semaphore(slots)
        self._drain_s = drain_s
        self._idle_exit_s = idle_exit_s
        self._on_busy = on_busy
        self._metrics = metrics
        self._in_flight = 0
        self._last_poll_at = self._busy_at = time.monotonic()
        self._receive_error: str | None = None
        self._stopping = False
        metrics.healthy.set_function(lambda: self.problem is None)

    @property
    def problem(self) -> str | None:
        """Why no work can be taken at present; None where it can."""
        return "stopping" if self._stopping else self._breaker.problem or self._receive_error

    @property
    def seconds_since_progress(self) -> float:
        """Seconds since anything has moved: the loop, or the work on any message."""
        return time.monotonic() - max(self._last_poll_at, self._handler.last_progress_at)

    async def run(self, stop: asyncio.Event) -> None:
        """Consume until `stop` is set; then finish or hand back what is in work, all within `drain_s`."""
        consumed = asyncio.Event()
        try:
            async with asyncio.timeout(None) as limit, asyncio.TaskGroup() as group:
                draining = group.create_task(self._drain(stop, consumed, limit), name="drain")
                async with asyncio.TaskGroup() as messages:
                    await self._consume(stop, messages)
                    consumed.set()
                draining.cancel()
        except TimeoutError:
            # Whatever a service has not answered is left to the leases.
            log.warning("drain.cut_short")

    async def _consume(self, stop: asyncio.Event, messages: asyncio.TaskGroup) -> None:
        while True:
            await self._slots.acquire()
            if stop.is_set():
                return
            if self.problem is not None:
                # What cannot be asked for work has not been found to have none.
                self._busy_at = time.monotonic()
            if self._is_idle:
                log.info("idle", seconds=self._idle_exit_s)
                return
            message = await self._receive(stop)
            self._last_poll_at = time.monotonic()
            if message is None:
                self._slots.release()
            elif stop.is_set() or self._breaker.problem is not None:
                # It came with a poll that had begun before.
                await self._handler.release_message(message)
                self._slots.release()
            else:
                self._count(1)
                messages.create_task(self._handle(message), name=f"message {message.message_id}")

    async def _handle(self, message: Message) -> None:
        try:
            await self._handler.handle(message)
        finally:
            self._count(-1)
            self._slots.release()

    @property
    def _is_idle(self) -> bool:
        """Whether it is time to end for want of work."""
        if self._idle_exit_s is None or self._in_flight:
            return False
        return time.monotonic() - self._busy_at >= self._idle_exit_s

    def _count(self, step: int) -> None:
        self._busy_at = time.monotonic()
        was_busy = self._in_flight > 0
        self._in_flight += step
        self._metrics.in_flight.set(self._in_flight)
        if (is_busy := self._in_flight > 0) != was_busy:
            self._on_busy(is_busy)

    async def _receive(self, stop: asyncio.Event) -> Message | None:
        if not await self._may_receive(stop):
            await _pause(_GATE_PAUSE_S, stop)
            return None
        try:
            message = await self._queue.receive()
        except ServiceError as error:
            self._receive_error = str(error)
            log.warning("receive.failed", error=str(error))
        except Exception as error:  # the last boundary: an answer that nobody foresaw ends no other work
            self._receive_error = f"receiving failed: {type(error).__name__}"
            log.exception("receive.failed")
        else:
            self._receive_error = None
            return message
        await _pause(_RECEIVE_PAUSE_S, stop)
        return None

    async def _may_receive(self, stop: asyncio.Event) -> bool:
        if self._breaker.half_open and self._in_flight:
            return False
        # A look may take as long as a child to start, and a stop does not wait for that.
        looking = asyncio.create_task(self._breaker.allows_work(), name="look at the machine")
        stopping = asyncio.create_task(stop.wait(), name="stop")
        try:
            await asyncio.wait([looking, stopping], return_when=asyncio.FIRST_COMPLETED)
            return looking.done() and looking.result()
        finally:
            for task in (looking, stopping):
                task.cancel()
            await asyncio.gather(looking, stopping, return_exceptions=True)

    async def _drain(self, stop: asyncio.Event, consumed: asyncio.Event, limit: asyncio.Timeout) -> None:
        """Once stopped, let works in hand end, then hand them back, and in the end leave the rest alone."""
        await stop.wait()
        self._stopping = True
        # The loop may be waiting for a slot.
        self._slots.release()
        log.info("drain.started", in_work=self._in_flight)
        ends_at = asyncio.get_running_loop().time() + max(self._drain_s, LEAST_DRAIN_S)
        limit.reschedule(ends_at)
        await asyncio.sleep(self._drain_s - min(_HAND_BACK_S, self._drain_s / 5))
        # What is handed back during our own last poll would come to us again.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(ends_at - _LEAST_HAND_BACK_S):
                await consumed.wait()
        self._handler.cancel_all()


async def _pause(seconds: float, stop: asyncio.Event) -> None:
    """Wait, unless it is time to stop."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await stop.wait()
