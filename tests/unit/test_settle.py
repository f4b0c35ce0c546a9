"""The settlement of a message, by the outcome of its work."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumer.domain.pauses import DEFAULT_PAUSES
from consumer.domain.settle import (
    BACKOFF_CAP_S,
    Delete,
    Disposition,
    NoAction,
    Outcome,
    RetryAfter,
    SendAgain,
    backoff_s,
    decide,
    is_exhausted,
    is_redriven,
)

DISPOSITIONS: dict[Outcome, Disposition | type[Disposition]] = {
    Outcome.DONE: Delete(),
    Outcome.MALFORMED: NoAction(),
    Outcome.LEASE_LOST: NoAction(),
    Outcome.RELEASED: SendAgain(0),
    Outcome.POSTPONED: SendAgain,
    Outcome.PASSED_ON: SendAgain,
    Outcome.RENEWED: SendAgain(0),
    Outcome.HOST_FAILURE: RetryAfter(10),
    Outcome.TRANSIENT: RetryAfter,
    Outcome.BUG: RetryAfter,
}


@pytest.mark.parametrize("outcome", Outcome)
def test_an_outcome_decides_alone_what_is_done(outcome: Outcome) -> None:
    for receive_count in (1, 2, 1000):
        disposition = decide(outcome, receive_count, random.Random(receive_count))
        assert DISPOSITIONS[outcome] in (disposition, type(disposition))


@given(st.integers(1, 100_000), st.integers())
def test_a_retry_waits_at_least_a_second_and_at_most_its_ceiling(receive_count: int, seed: int) -> None:
    waited_s = backoff_s(receive_count, random.Random(seed))
    assert 1 <= waited_s <= min(BACKOFF_CAP_S, DEFAULT_PAUSES.backoff_s * 2 ** min(receive_count, 30))
    assert decide(Outcome.TRANSIENT, receive_count, random.Random(seed)) == RetryAfter(waited_s)


def test_retries_spread_over_all_of_the_wait_and_grow_with_each_receive() -> None:
    rng = random.Random(1)
    longest = [max(backoff_s(count, rng) for _ in range(500)) for count in range(1, 9)]
    shortest = [min(backoff_s(count, rng) for _ in range(500)) for count in range(1, 9)]
    assert longest == sorted(longest)
    assert longest[0] >= 9
    assert shortest[0] == 1
    assert longest[-1] >= BACKOFF_CAP_S * 0.9
    assert all(low <= high * 0.2 for low, high in zip(shortest, longest, strict=True))


@pytest.mark.parametrize(
    ("outcome", "failed"),
    [
        (Outcome.DONE, False),
        (Outcome.MALFORMED, False),
        (Outcome.LEASE_LOST, False),
        (Outcome.TRANSIENT, True),
        (Outcome.HOST_FAILURE, True),
        (Outcome.BUG, True),
        (Outcome.RELEASED, False),
        (Outcome.POSTPONED, False),
    ],
)
def test_failed_work_is_exhausted_at_the_last_receive_that_the_queue_allows(
    outcome: Outcome, failed: bool
) -> None:
    assert not is_exhausted(outcome, 4, 5)
    assert is_exhausted(outcome, 5, 5) is failed
    # From the dead letters: its tries begin anew.
    assert not is_exhausted(outcome, 6, 5)
    assert not is_exhausted(outcome, 1000, None)


def test_an_exhausted_message_is_left_for_the_dead_letters_and_not_delayed() -> None:
    for outcome in (Outcome.TRANSIENT, Outcome.HOST_FAILURE, Outcome.BUG):
        assert decide(outcome, 5, random.Random(1), exhausted=True) == NoAction()


def test_a_message_that_was_moved_back_with_its_count_is_sent_again_with_all_its_tries() -> None:
    assert [is_redriven(count, 5) for count in (1, 5, 6, 100)] == [False, False, True, True]
    assert not is_redriven(100, None)
    for outcome in (Outcome.TRANSIENT, Outcome.HOST_FAILURE, Outcome.BUG):
        disposition = decide(outcome, 100, random.Random(1), redriven=True)
        assert isinstance(disposition, SendAgain)
        assert 1 <= disposition.delay_s <= 10
    assert decide(Outcome.DONE, 100, random.Random(1), redriven=True) == Delete()


def test_a_postponed_message_comes_back_after_the_delay_that_it_was_given() -> None:
    assert decide(Outcome.POSTPONED, 1, random.Random(1), delay_s=7) == SendAgain(7)


def test_a_part_that_is_passed_on_is_not_received_by_the_same_consumer_at_once() -> None:
    rng = random.Random(1)
    given = {decide(Outcome.PASSED_ON, 1, rng) for _ in range(200)}
    assert given == {SendAgain(delay_s) for delay_s in range(1, 5)}
