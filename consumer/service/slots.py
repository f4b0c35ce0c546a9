"""The slots of messages in flight: one is taken before a message is received, and left while it waits."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from consumer.clock import Watchdog
from consumer.metrics import Metrics
from consumer.service.message_context import MessageContext
from consumer.service.part_slots import PartSlots


@dataclass(eq=False)
class Slots:
    """`most` slots, of which `of_parts` may have parts of documents.

    `at_work`: how many messages have one; `waiting`: how many have left theirs for a while. `watchdog` sees
    the progress of all.
    """

    most: int
    of_parts: PartSlots
    watchdog: Watchdog
    metrics: Metrics
    at_work: int = field(default=0, init=False)
    waiting: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        self._free = asyncio.Semaphore(self.most)

    async def acquire(self) -> None:
        """Wait for a free slot; it is reserved then."""
        await self._free.acquire()

    def release(self) -> None:
        """Free a slot that was reserved and not taken."""
        self._free.release()

    def take(self, context: MessageContext) -> None:
        """Give a message the slot that was reserved."""
        context.has_slot = True
        self._count(1)
        if context.notification.is_of_part:
            self.of_parts.begin()

    def leave(self, context: MessageContext) -> None:
        """Free the slot of a message, if it has one."""
        if context.has_slot:
            context.has_slot = False
            self._count(-1)
            if context.notification.is_of_part:
                self.of_parts.end()
            self.release()

    @asynccontextmanager
    async def left(self, context: MessageContext) -> AsyncIterator[None]:
        """Leave the slot of a message to others in the context, then wait for a free one."""
        self.leave(context)
        self._wait(1)
        try:
            # The loop goes on meanwhile, and so does other work.
            with context.watchdog.following(self.watchdog):
                yield
                await self.acquire()
        finally:
            self._wait(-1)
        self.take(context)

    def _count(self, step: int) -> None:
        self.at_work += step
        self.metrics.in_flight.set(self.at_work)

    def _wait(self, step: int) -> None:
        self.waiting += step
        self.metrics.waiting.set(self.waiting)
