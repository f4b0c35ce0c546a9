"""The disposition of a message whose work has ended."""

import random
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

from consumer.domain.pauses import DEFAULT_PAUSES, Pauses

BACKOFF_CAP_S: Final = 900.0

#: Shortest and longest time after which another consumer may receive a part that was passed on.
_PASS_ON_S: Final = (1, 4)


class Outcome(Enum):
    """How the work on a message ended."""

    DONE = auto()  #: every source it names has a current result, or needs none
    MALFORMED = auto()  #: a part of it cannot be understood
    TRANSIENT = auto()  #: something failed that may work later
    HOST_FAILURE = auto()  #: this host cannot do it now; another may
    BUG = auto()  #: our own code failed
    LEASE_LOST = auto()  #: the message may be in other hands
    RELEASED = auto()  #: stopped before the work was done
    POSTPONED = auto()  #: a part of a document, while enough parts were in flight
    PASSED_ON = auto()  #: a part of a document that another consumer is to read
    RENEWED = auto()  #: a part of a document of which pages are stored: the others are asked for anew


@dataclass(frozen=True, slots=True)
class Delete:
    """Delete the message: its work is done."""


@dataclass(frozen=True, slots=True)
class RetryAfter:
    """Make the message visible again after `delay_s` seconds (whole seconds, at most 43,200)."""

    delay_s: int


@dataclass(frozen=True, slots=True)
class SendAgain:
    """Send what is left to do in new messages, visible after `delay_s` seconds, then delete the message.

    Unlike `RetryAfter` it uses up no receive, because the queue counts those of a new message anew.
    """

    delay_s: int = 0


@dataclass(frozen=True, slots=True)
class NoAction:
    """Do not touch the message: it becomes visible when its lease runs out, and the redrive policy counts."""


Disposition = Delete | RetryAfter | SendAgain | NoAction

#: Outcomes of work that failed and may be done if the message comes again.
FAILED: Final = {Outcome.TRANSIENT, Outcome.HOST_FAILURE, Outcome.BUG}


def is_exhausted(outcome: Outcome, receive_count: int, max_receive_count: int | None) -> bool:
    """Whether failed work will not be tried again: the next receive moves the message to the dead letters.

    `receive_count` is from 1; `max_receive_count` is the queue's, None if it has no redrive policy. A message
    that was released or postponed is sent again, so it has all its tries before it.
    """
    return outcome in FAILED and receive_count == max_receive_count


def is_redriven(receive_count: int, max_receive_count: int | None) -> bool:
    """Whether a message was moved back from the dead letters by a queue that goes on counting.

    SQS gives one that is moved a new id and counts it as new
    (https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-configure-dead-letter-queue-redrive.html),
    and does not say what becomes of its receive count. None with more receives than `max_receive_count` comes
    from the queue itself.
    """
    return max_receive_count is not None and receive_count > max_receive_count


def decide(  # noqa: PLR0913
    outcome: Outcome,
    receive_count: int,
    rng: random.Random,
    pauses: Pauses = DEFAULT_PAUSES,
    *,
    exhausted: bool = False,
    redriven: bool = False,
    delay_s: int = 0,
) -> Disposition:
    """Choose the disposition of a message that has been received `receive_count` times (from 1).

    `exhausted`, `redriven`: the results of `is_exhausted`, `is_redriven`. `delay_s`: after how many seconds
    one that was postponed is to come again.
    """
    if exhausted:
        # The next receive moves it to the dead-letter queue.
        return NoAction()
    match outcome:
        case Outcome.DONE:
            return Delete()
        case Outcome.MALFORMED | Outcome.LEASE_LOST:
            return NoAction()
        case Outcome.PASSED_ON:
            return SendAgain(rng.randint(*_PASS_ON_S))
        case Outcome.RELEASED | Outcome.RENEWED | Outcome.POSTPONED:
            return SendAgain(delay_s)
        case Outcome.HOST_FAILURE:
            delay_s = pauses.host_failure_s
        case Outcome.TRANSIENT | Outcome.BUG:
            delay_s = backoff_s(1 if redriven else receive_count, rng, pauses.backoff_s)
    # A new message has all its tries before it.
    return SendAgain(delay_s) if redriven else RetryAfter(delay_s)


def backoff_s(receive_count: int, rng: random.Random, base_s: float = DEFAULT_PAUSES.backoff_s) -> int:
    """Seconds to wait before the next try: exponential with full jitter, at least 1.

    Full jitter: https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
    """
    # The exponent is bounded because a replayed message may have been received any number of times.
    ceiling = min(BACKOFF_CAP_S, base_s * 2 ** min(receive_count, 20))
    return max(1, round(rng.uniform(0, ceiling)))
