"""Work that must not go faster than a rate."""

import asyncio

from consumer.clock import Clock


class Pace:
    """Slows work down to `per_s` pieces a second; None: not at all."""

    def __init__(self, clock: Clock, per_s: float | None) -> None:
        self._clock = clock
        self._per_s = per_s
        self._due_at = clock.monotonic()

    async def done(self, count: int) -> None:
        """Note that so many pieces are done, and wait until the next may begin."""
        if self._per_s is not None:
            now = self._clock.monotonic()
            # Time that was lost before is not made up for in a rush.
            self._due_at = max(self._due_at, now - count / self._per_s) + count / self._per_s
            await asyncio.sleep(max(0.0, self._due_at - now))
