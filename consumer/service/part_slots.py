"""The slots that parts of documents have, so that a letter does not wait for a book."""

import asyncio
from dataclasses import dataclass, field
from typing import Final

from consumer.clock import Clock
from consumer.domain.turns import PartTurns

#: A part that may begin so soon waits here: messages are postponed by whole seconds. The shortest lease is
#: much longer.
_WAIT_S: Final = 2.0


@dataclass(eq=False)
class PartSlots:
    """At most `most` parts are in flight at once. `begin` and `end` are called with each."""

    most: int
    clock: Clock
    _turns: PartTurns = field(default_factory=PartTurns, init=False)
    _part_ended: asyncio.Event = field(default_factory=asyncio.Event, init=False)
    _is_awaited: bool = field(default=False, init=False)

    @property
    def are_full(self) -> bool:
        """Whether no other part may begin."""
        return self._turns.in_flight >= self.most

    def begin(self) -> None:
        """Note that a part comes in flight."""
        self._turns.begin(self.clock.monotonic())

    def end(self) -> None:
        """Note that a part has ended."""
        self._turns.end(self.clock.monotonic())
        self._part_ended.set()

    async def wait(self) -> bool:
        """Wait for the end of a part if that is likely to come soon; returns whether another may begin.

        One waits at a time.
        """
        if self._is_awaited or not self._turns.is_soon(self.clock.monotonic(), _WAIT_S):
            return False
        self._is_awaited = True
        self._part_ended.clear()
        try:
            async with asyncio.timeout(_WAIT_S):
                await self._part_ended.wait()
        except TimeoutError:
            return False
        finally:
            self._is_awaited = False
        return not self.are_full

    def next_turn_s(self, longest_s: float) -> float | None:
        """Give a turn to a part; returns the seconds until then, None if there is none within `longest_s`."""
        return self._turns.next_s(self.clock.monotonic(), longest_s)
