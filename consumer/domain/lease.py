"""When the lease on a message is renewed, and when it counts as lost.

All times are monotonic seconds. The holder of the lease looks at the clock and asks the service.
"""

import math
from dataclasses import dataclass
from typing import Final

#: SQS hides a message for at most 12 hours from its receive, however often that is renewed; a renewal
#: that asks for more is refused whole.
MAX_HOLD_S: Final = 12 * 3600 - 60


@dataclass(frozen=True, slots=True)
class Renew:
    """Ask the service to hide the message for `hold_s` more seconds."""

    hold_s: int


@dataclass(frozen=True, slots=True)
class Overdue:
    """End the work, and settle the message: it is still ours until the lease ends."""

    reason: str


@dataclass(frozen=True, slots=True)
class Lost:
    """Leave the message alone: it may be in other hands."""

    reason: str


class LeaseSchedule:
    """The times of one lease: `lease_s` from when the message was asked for, and from every renewal.

    `received_at` is taken *before* the message was asked for, so the lease never ends later than the
    service's. `stall_s`: longest time without progress before the work is ended.
    """

    def __init__(self, received_at: float, lease_s: int, stall_s: float) -> None:
        self._received_at = received_at
        self._lease_s = lease_s
        self._stall_s = stall_s
        self._ends_at = received_at + lease_s
        self._renewal_due_at = received_at + lease_s / 3

    @property
    def renewal_due_at(self) -> float:
        """When `decide` is to be asked: a third of the lease after the last time, or at its end."""
        return min(self._renewal_due_at, self._ends_at)

    @property
    def ends_at(self) -> float:
        """When others may have the message, as things are."""
        return self._ends_at

    def is_over(self, now: float) -> bool:
        """Whether others may have the message."""
        return now >= self._ends_at

    def decide(self, now: float, seconds_since_progress: float) -> Renew | Overdue | Lost:
        """Decide what to do now that a renewal is due."""
        self._renewal_due_at = now + self._lease_s / 3
        if self.is_over(now):
            # A renewal that comes too late might hide the message from its next receiver.
            return Lost("it could not be renewed in time")
        if seconds_since_progress > self._stall_s:
            return Overdue(f"no progress in {self._stall_s:g} s")
        left_s = math.floor(self._received_at + MAX_HOLD_S - now)
        # The next renewal, even a late one, would come after the end.
        if left_s < self._lease_s * 2 / 3:
            return Overdue("a message can be held for 12 hours at most")
        return Renew(min(self._lease_s, left_s))

    def renewed(self, asked_at: float, hold_s: int) -> None:
        """Note that the service agreed to a renewal that was asked for at `asked_at`."""
        self._ends_at = asked_at + hold_s
