"""The slots that parts of documents have, so that a letter does not wait for a book."""

import asyncio
import math
import random
from dataclasses import dataclass, field
from typing import Final

from consumer.clock import Clock
from consumer.domain.pauses import DEFAULT_PAUSES, Pauses
from consumer.domain.turns import PartTurns
from consumer.service.first_of import first_of

#: A part of a document that came long ago may be postponed for this share of the time since, and for so long.
#: Otherwise the parts of a hundred long documents would come and go for nothing every half minute.
_POSTPONE_SHARE: Final = 0.25
_LONGEST_POSTPONE_S: Final = 120


@dataclass(eq=False)
class PartSlots:
    """At most `most` parts are in flight at once. `begin` and `end` are called with each.

    `wait_s`: how long a part may wait here for a slot; nobody renews its lease.
    """

    most: int
    wait_s: float
    clock: Clock
    rng: random.Random
    pauses: Pauses = DEFAULT_PAUSES
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

    async def wait(self, stop: asyncio.Event) -> bool:
        """Wait a while for the end of a part, or for `stop`; returns whether another part may begin.

        One waits at a time.
        """
        if self._is_awaited:
            return False
        self._is_awaited = True
        self._part_ended.clear()
        try:
            await first_of(self._part_ended, stop, timeout_s=self.wait_s)
        finally:
            self._is_awaited = False
        return not self.are_full and not stop.is_set()

    def delay_s(self, waited_s: float) -> int:
        """Give a turn to a part that is postponed; returns the seconds until then.

        `waited_s`: how long ago its document came.
        """
        shortest_s, longest_s = self.pauses.postpone_s
        longest_s = max(longest_s, min(_LONGEST_POSTPONE_S, round(waited_s * _POSTPONE_SHARE)))
        turn_s = self._turns.next_s(self.clock.monotonic(), longest_s)
        if turn_s is None:
            # At random, so that the parts of a document do not come back all at once.
            return self.rng.randint((shortest_s + longest_s) // 2, longest_s)
        return min(max(shortest_s, math.ceil(turn_s)), longest_s)
