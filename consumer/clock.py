"""Time: the machine's clocks, and the watchdog that notices work without progress."""

import contextlib
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """The time."""

    def now(self) -> datetime:
        """Return the wall-clock time, aware of its zone, for people."""

    def monotonic(self) -> float:
        """Return seconds that never go back, for durations."""


class SystemClock:
    """The clocks of this host."""

    def now(self) -> datetime:
        """Return the wall-clock time in UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Return seconds that never go back."""
        return time.monotonic()


class Watchdog:
    """Notes when a piece of work last made progress. Safe for threads.

    `parent`: the watchdog of the whole that this work is a part of; progress here is progress there.
    """

    def __init__(self, clock: Clock, parent: "Watchdog | None" = None) -> None:
        self._clock = clock
        self._parent = parent
        self._followed: Watchdog | None = None
        self._last_progress_at = clock.monotonic()

    def mark(self) -> None:
        """Note a step forward."""
        self._last_progress_at = self._clock.monotonic()
        if self._parent is not None:
            self._parent.mark()

    @property
    def last_progress_at(self) -> float:
        """Monotonic seconds of the last step, its own or one of the work that it follows."""
        followed = self._followed
        return max(self._last_progress_at, followed.last_progress_at if followed else 0.0)

    @property
    def seconds_since_progress(self) -> float:
        """Seconds since the last step."""
        return self._clock.monotonic() - self.last_progress_at

    @contextlib.contextmanager
    def following(self, other: "Watchdog") -> Iterator[None]:
        """Count the progress of other work as our own: we wait for our turn behind it."""
        before, self._followed = self._followed, other
        try:
            yield
        finally:
            self._last_progress_at, self._followed = self.last_progress_at, before
