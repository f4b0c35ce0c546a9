"""How long a request to a child process may take: until it makes no more progress, but not without end."""

from collections.abc import Callable
from typing import Final

from consumer.clock import Clock, SystemClock
from consumer.domain.errors import ChildError

#: A request that makes progress may take this many of its deadlines. The densest page that MAX_PAGE_PIXELS
#: allows by default (estimated: 5,000 lines) takes 2 minutes alone, and 16 if four engines share a processor
#: that is half as fast. 30 deadlines of RapidOCR are 22 minutes; then it counts as going round in circles.
_MOST_DEADLINES: Final = 30

#: Most steps of one request: more than the lines of any batch. A process that tells of more is broken.
_MOST_STEPS: Final = 100_000


def longest_request_s(deadline_s: float, *, in_steps: bool) -> float:
    """Longest time of a request; `in_steps`: progress restarts its deadline."""
    return _MOST_DEADLINES * deadline_s if in_steps else deadline_s


class Deadline:
    """The deadline of one request, from now.

    With `on_progress`, every step of the work restarts it and calls `on_progress`; without, it stays.
    """

    def __init__(
        self, deadline_s: float, on_progress: Callable[[], None] | None = None, clock: Clock | None = None
    ) -> None:
        self._deadline_s = deadline_s
        self._on_progress = on_progress
        self._clock = clock or SystemClock()
        self._longest_s = longest_request_s(deadline_s, in_steps=on_progress is not None)
        self._steps = 0
        now = self._clock.monotonic()
        self._next_at = now + deadline_s
        self._end_at = now + self._longest_s

    def note_progress(self) -> None:
        """Note a step of the work; raises ChildError if there are too many."""
        self._steps += 1
        if self._steps > _MOST_STEPS:
            raise ChildError(f"the child process told of more than {_MOST_STEPS} steps of one request")
        if self._on_progress is not None:
            self._next_at = self._clock.monotonic() + self._deadline_s
            self._on_progress()

    @property
    def left_s(self) -> float:
        """Seconds until the request is ended, at least 0."""
        return max(0.0, min(self._next_at, self._end_at) - self._clock.monotonic())

    @property
    def problem(self) -> str:
        """Why a request with nothing left is ended."""
        if self._next_at < self._end_at:
            return f"no progress in {self._deadline_s:g} s"
        return f"no reply in {self._longest_s:g} s"
