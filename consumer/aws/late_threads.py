"""Threads that start at a given time, unless they are cancelled before."""

import heapq
import itertools
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import structlog

from consumer.clock import Clock

log = structlog.get_logger(__name__)


@dataclass(order=True, slots=True)
class LateThread:
    """A thread to be; `run` is None once it has started or was cancelled. `number` orders equals."""

    due_at: float
    number: int
    run: Callable[[], None] | None = field(compare=False)


class LateThreads:
    """Starts threads from a thread of its own, which the event loop cannot hold up.

    To start a thread costs an event loop about as much as a request does, and most of these are cancelled.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock: Final = clock
        self._numbers = itertools.count()
        #: A heap, with the cancelled ones among it until their time.
        self._waiting: list[LateThread] = []
        self._changed = threading.Condition()
        self._is_running = False

    def start_at(self, due_at: float, run: Callable[[], None]) -> LateThread:
        """Have `run` run in a thread of its own from this time on, in monotonic seconds."""
        late = LateThread(due_at, next(self._numbers), run)
        with self._changed:
            heapq.heappush(self._waiting, late)
            if not self._is_running:
                threading.Thread(target=self._start_all, name="late threads", daemon=True).start()
                self._is_running = True
            elif self._waiting[0] is late:
                self._changed.notify()
        return late

    def cancel(self, late: LateThread) -> bool:
        """Keep a thread from starting; returns whether that was in time."""
        with self._changed:
            in_time, late.run = late.run is not None, None
        return in_time

    def _start_all(self) -> None:
        while True:
            run = self._next()
            try:
                threading.Thread(target=run, daemon=True).start()
            except RuntimeError as error:
                # No thread can be had; those that come later may fare better.
                log.warning("thread.failed", error=str(error))

    def _next(self) -> Callable[[], None]:
        """Wait for the next one that is due and not cancelled."""
        with self._changed:
            while True:
                left_s = self._waiting[0].due_at - self._clock.monotonic() if self._waiting else None
                if left_s is not None and left_s <= 0:
                    late = heapq.heappop(self._waiting)
                    if late.run is not None:
                        run, late.run = late.run, None
                        return run
                else:
                    self._changed.wait(left_s)
