"""The deadline of a request follows its progress, but not without end."""

from collections.abc import Callable

import pytest

from consumer.domain.errors import ChildError
from consumer.processes.deadline import Deadline, longest_request_s
from tests.fakes.virtual_time import VirtualClock

DEADLINE_S = 45.0


def nothing() -> None:
    """For progress that nobody watches."""


def test_progress_restarts_the_deadline_and_is_reported() -> None:
    clock, steps = VirtualClock(), []
    deadline = Deadline(DEADLINE_S, lambda: steps.append(clock.seconds), clock)
    for seconds in (40, 80, 120):
        clock.seconds = seconds
        assert deadline.left_s == 5
        deadline.note_progress()
        assert deadline.left_s == DEADLINE_S
    clock.seconds = 165
    assert (deadline.left_s, deadline.problem) == (0, "no progress in 45 s")
    assert steps == [40, 80, 120]


def test_a_request_that_makes_progress_for_ever_ends() -> None:
    clock = VirtualClock()
    deadline = Deadline(DEADLINE_S, nothing, clock)
    while deadline.left_s and clock.seconds < 10_000:
        clock.seconds += 1
        deadline.note_progress()
    assert clock.seconds == longest_request_s(DEADLINE_S, in_steps=True) == 1350
    assert deadline.problem == "no reply in 1350 s"


def test_progress_of_a_request_that_has_no_steps_changes_nothing() -> None:
    clock = VirtualClock()
    deadline = Deadline(DEADLINE_S, clock=clock)
    clock.seconds = 40
    deadline.note_progress()
    assert deadline.left_s == 5
    clock.seconds = 50
    assert (deadline.left_s, deadline.problem) == (0, "no reply in 45 s")


@pytest.mark.parametrize("on_progress", [None, nothing])
def test_progress_without_end_is_the_childs_error(on_progress: Callable[[], None] | None) -> None:
    deadline = Deadline(DEADLINE_S, on_progress, VirtualClock())
    for _ in range(100_000):
        deadline.note_progress()
    with pytest.raises(ChildError, match="more than 100000 steps"):
        deadline.note_progress()
