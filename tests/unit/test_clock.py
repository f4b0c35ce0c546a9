"""The watchdog: when did work last make progress?"""

from consumer.clock import SystemClock, Watchdog
from tests.fakes.virtual_time import VirtualClock


def test_progress_of_a_part_is_progress_of_the_whole_and_not_the_other_way_round() -> None:
    clock = VirtualClock()
    whole = Watchdog(clock)
    part = Watchdog(clock, parent=whole)
    other = Watchdog(clock, parent=whole)
    clock.seconds = 10
    part.mark()
    assert (part.last_progress_at, whole.last_progress_at, other.last_progress_at) == (10, 10, 0)
    clock.seconds = 15
    whole.mark()
    assert (part.seconds_since_progress, whole.seconds_since_progress) == (5, 0)


def test_work_that_waits_for_other_work_counts_its_progress_as_its_own() -> None:
    clock = VirtualClock()
    waiting, ahead = Watchdog(clock), Watchdog(clock)
    with waiting.following(ahead):
        clock.seconds = 10
        ahead.mark()
        assert waiting.last_progress_at == 10
        clock.seconds = 12
        waiting.mark()
        assert (waiting.last_progress_at, ahead.last_progress_at) == (12, 10)
    clock.seconds = 20
    ahead.mark()
    # It follows no longer, and keeps what it saw.
    assert waiting.seconds_since_progress == 8


def test_work_that_waits_while_it_waits_follows_the_first_again() -> None:
    clock = VirtualClock()
    waiting, first, second = Watchdog(clock), Watchdog(clock), Watchdog(clock)
    with waiting.following(first):
        with waiting.following(second):
            clock.seconds = 10
            second.mark()
        assert waiting.last_progress_at == 10
        clock.seconds = 20
        first.mark()
        assert waiting.last_progress_at == 20


def test_work_begins_with_progress() -> None:
    clock = VirtualClock()
    clock.seconds = 30
    assert Watchdog(clock).seconds_since_progress == 0


def test_the_clock_of_the_host_is_aware_of_its_zone_and_never_goes_back() -> None:
    clock = SystemClock()
    assert clock.now().tzinfo is not None
    assert clock.monotonic() <= clock.monotonic()
