"""Waiting times: the poll, and pauses between tries. Tests pass shorter ones."""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Pauses:
    """`poll_s`: the long poll. `receive_s`: after a failed receive, so that an outage meets no storm.

    `breaker_s`: between a failure of the host and the next message; doubled while messages go on to fail.
    `backoff_s`: base of the back-off of a message. `host_failure_s`: a message that this host cannot work on
    is left to another one: a receive that this host has already sent would get it again at once.
    `postpone_s`: shortest and longest, for a part of a document while enough parts are in flight.
    """

    # SQS allows 20 s, but a stopping consumer waits for the outstanding poll, and an idle one that asks every
    # 5 s still costs well under a dollar a month.
    poll_s: int = 5
    receive_s: float = 5.0
    breaker_s: float = 5.0
    backoff_s: float = 5.0
    host_failure_s: int = 10
    postpone_s: tuple[int, int] = (1, 30)


DEFAULT_PAUSES: Final = Pauses()
