"""Turns of postponed parts: they come back about as fast as parts end, so that no slot waits long for one."""

from typing import Final

#: Parts are not expected to end faster, one after another. This is also the first guess.
_SHORTEST_INTERVAL_S: Final = 0.2

#: Share of the latest part in the average.
_WEIGHT: Final = 0.25

#: So many come back for each that ends: an empty slot costs more than a message that is postponed again.
_SPARE: Final = 3


class PartTurns:
    """Counts the parts of documents that are in flight, and gives turns to those that are postponed.

    A fixed pause leaves the slots of a fast engine empty, and a slow one passes all messages on for nothing.
    Times are in seconds, of a monotonic clock.
    """

    def __init__(self) -> None:
        self.in_flight = 0
        #: When a part last ended, or began while there was no other.
        self._moved_at = 0.0
        #: From the end of a part to that of the next.
        self._average_s = _SHORTEST_INTERVAL_S
        self._last_turn_at = 0.0

    def begin(self, now_s: float) -> None:
        """Note that a part comes in flight."""
        if not self.in_flight:
            self._moved_at = now_s
        self.in_flight += 1

    def end(self, now_s: float) -> None:
        """Note that a part has ended."""
        self.in_flight -= 1
        self._average_s += _WEIGHT * (now_s - self._moved_at - self._average_s)
        self._moved_at = now_s

    def next_s(self, now_s: float, longest_s: float) -> float | None:
        """Give the next turn; returns the seconds until then, None if there is none within `longest_s`."""
        turn_at = max(self._last_turn_at, now_s) + self._interval_s(now_s) / _SPARE
        if turn_at > now_s + longest_s:
            return None
        self._last_turn_at = turn_at
        return turn_at - now_s

    def _interval_s(self, now_s: float) -> float:
        # A part that takes longer than those before it says so before it ends.
        return max(self._average_s, now_s - self._moved_at, _SHORTEST_INTERVAL_S)
