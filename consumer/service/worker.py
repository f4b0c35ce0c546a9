"""The receive loop: take a slot, receive a message, have it handled. And the drain."""

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass, field
from functools import partial
from typing import Final

import structlog

from consumer.clock import Clock, Watchdog
from consumer.domain.errors import ServiceError
from consumer.domain.pauses import DEFAULT_PAUSES, Pauses
from consumer.metrics import Metrics
from consumer.ports import Queue
from consumer.service.circuit_breaker import CircuitBreaker
from consumer.service.first_of import first_of
from consumer.service.message import MessageHandler
from consumer.service.message_context import MessageContext
from consumer.service.slots import Slots

#: Pause between two looks at an open circuit breaker.
_BREAKER_PAUSE_S: Final = 1.0

#: Releasing messages takes a moment, which comes off the time to drain: they are sent again, then deleted.
_RELEASE_MARGIN_S: Final = 5.0

#: Left to release messages, however long the last poll takes.
_MIN_RELEASE_S: Final = 1.0

#: A receive under way is waited for even if DRAIN_S is shorter: a message may be on its way to us.
LEAST_DRAIN_S: Final = 8.0

log = structlog.get_logger(__name__)


@dataclass(eq=False)
class Worker:
    """Consumes a queue.

    `slots`: of the messages in flight. `drain_s`: time to finish them when stopped.
    `idle_exit_s`: it ends by itself after so long without a message; None: it never does. `on_busy` is called
    with True when the first message comes in flight, and with False when the last one is settled.
    `watchdog` sees the progress of the loop and of all messages.
    """

    queue: Queue
    handler: MessageHandler
    breaker: CircuitBreaker
    _: KW_ONLY
    slots: Slots
    drain_s: float
    idle_exit_s: float | None
    on_busy: Callable[[bool], None]
    watchdog: Watchdog
    clock: Clock
    metrics: Metrics
    pauses: Pauses = DEFAULT_PAUSES
    _in_flight: int = field(default=0, init=False)
    _receive_error: str | None = field(default=None, init=False)
    _stopping: bool = field(default=False, init=False)

    def __post_init__(self) -> None:
        self._busy_at = self._postponed_until = self.clock.monotonic()
        self.metrics.healthy.set_function(lambda: self.problem is None)

    @property
    def problem(self) -> str | None:
        """Why no work can be taken at present; None if it can."""
        return "stopping" if self._stopping else self.breaker.problem or self._receive_error

    async def run(self, stop: asyncio.Event) -> None:
        """Consume until `stop` is set; then finish or release what is in flight, all within `drain_s`."""
        consumed = asyncio.Event()
        try:
            async with asyncio.timeout(None) as limit, asyncio.TaskGroup() as group:
                draining = group.create_task(self._drain(stop, consumed, limit), name="drain")
                async with asyncio.TaskGroup() as messages:
                    await self._consume(stop, messages)
                    consumed.set()
                draining.cancel()
        except TimeoutError:
            # A call that a service has not answered is left to the message's lease.
            log.warning("drain.cut_short")

    async def _consume(self, stop: asyncio.Event, messages: asyncio.TaskGroup) -> None:
        while True:
            await self.slots.acquire()
            if stop.is_set():
                return
            if self.breaker.is_open or self._receive_error is not None:
                # A queue that cannot be asked has not been found empty.
                self._busy_at = self.clock.monotonic()
            busy_until = max(self._busy_at, self._postponed_until)
            idle_s = 0.0 if self._in_flight else self.clock.monotonic() - busy_until
            if self.idle_exit_s is not None and idle_s >= self.idle_exit_s:
                # There is no work for long enough.
                log.info("idle", seconds=self.idle_exit_s)
                return
            context = await self._receive(stop)
            self.watchdog.mark()
            if context is None:
                self.slots.release()
            elif stop.is_set() or self.breaker.is_open:
                # It came with a poll that had begun before.
                await self.handler.release(context)
                self.slots.release()
            elif context.notification.is_of_part and self.slots.of_parts.are_full:
                messages.create_task(self._wait_or_postpone(context, stop))
            else:
                self._begin(context)
                messages.create_task(self._handle(context), name=f"message {context.message.message_id}")

    async def _handle(self, context: MessageContext) -> None:
        context.aside = partial(self.slots.left, context)
        try:
            await self.handler.handle(context)
        finally:
            self._count(-1)
            self.slots.leave(context)

    async def _wait_or_postpone(self, context: MessageContext, stop: asyncio.Event) -> None:
        # A part that waits leaves a slot for letters.
        may_wait = self.slots.at_work + 2 <= self.slots.most
        if may_wait and await self.slots.of_parts.wait(stop) and self.problem is None:
            self._begin(context)
            await self._handle(context)
        elif stop.is_set():
            await self.handler.release(context)
            self.slots.release()
        else:
            await self._postpone(context)

    async def _postpone(self, context: MessageContext) -> None:
        delay_s = self.slots.of_parts.delay_s(context.waited_s(self.clock))
        # The queue looks empty until then, and there is work.
        self._postponed_until = max(self._postponed_until, self.clock.monotonic() + delay_s)
        try:
            await self.handler.postpone(context, delay_s)
        finally:
            self.slots.release()

    def _begin(self, context: MessageContext) -> None:
        self.slots.take(context)
        self._count(1)

    def _count(self, step: int) -> None:
        self._busy_at = self.clock.monotonic()
        was_busy = self._in_flight > 0
        self._in_flight += step
        if (is_busy := self._in_flight > 0) != was_busy:
            self.on_busy(is_busy)

    async def _receive(self, stop: asyncio.Event) -> MessageContext | None:
        if not await self._may_receive(stop):
            await _pause(_BREAKER_PAUSE_S, stop)
            return None
        try:
            message = await self.queue.receive()
        except ServiceError as error:
            self._receive_error = str(error)
            log.warning("receive.failed", error=str(error))
        except Exception as error:  # the last boundary: an unforeseen answer ends no other work
            self._receive_error = f"receiving failed: {type(error).__name__}"
            log.exception("receive.failed")
        else:
            self._receive_error = None
            age_s = 0.0 if message is None else (self.clock.now() - message.sent_at).total_seconds()
            self.metrics.queue.age_s.set(max(0.0, age_s))
            return None if message is None else self.handler.parse(message)
        await _pause(self.pauses.receive_s, stop)
        return None

    async def _may_receive(self, stop: asyncio.Event) -> bool:
        if self.breaker.half_open and self.slots.at_work:
            return False
        # The checks may take as long as a process to start, and a stop does not wait for that.
        checking = asyncio.create_task(self.breaker.allows_work(), name="health checks")
        try:
            await first_of(stop, work=checking)
            return checking.done() and checking.result()
        finally:
            checking.cancel()
            await asyncio.gather(checking, return_exceptions=True)

    async def _drain(self, stop: asyncio.Event, consumed: asyncio.Event, limit: asyncio.Timeout) -> None:
        """Once stopped, let messages in flight finish, then release them, and in the end leave the rest."""
        await stop.wait()
        self._stopping = True
        # The loop may be waiting for a slot.
        self.slots.release()
        log.info("drain.started", in_flight=self._in_flight)
        ends_at = asyncio.get_running_loop().time() + max(self.drain_s, LEAST_DRAIN_S)
        limit.reschedule(ends_at)
        await asyncio.sleep(self.drain_s - min(_RELEASE_MARGIN_S, self.drain_s / 5))
        # A message that is released during our own last poll would come to us again.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(ends_at - _MIN_RELEASE_S):
                await consumed.wait()
        self.handler.cancel_all()


async def _pause(seconds: float, stop: asyncio.Event) -> None:
    """Wait, unless it is time to stop."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await stop.wait()
