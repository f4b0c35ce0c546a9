"""Threads that start at a given time, unless they are cancelled before."""

import threading
import time

import pytest

from consumer.aws.late_threads import LateThreads
from consumer.clock import SystemClock

DEADLINE_S = 60.0
#: So late that no test waits for it.
LATER_S = 3600.0


@pytest.fixture
def threads() -> LateThreads:
    return LateThreads(SystemClock())


def test_a_thread_starts_when_it_is_due_and_not_before(threads: LateThreads) -> None:
    started: list[float] = []
    has_started = threading.Event()

    def run() -> None:
        started.append(time.monotonic())
        has_started.set()

    due_at = time.monotonic() + 0.2
    threads.start_at(due_at, run)
    assert has_started.wait(DEADLINE_S)
    assert started[0] >= due_at


def test_one_that_is_due_earlier_does_not_wait_for_those_that_came_before(threads: LateThreads) -> None:
    has_started = threading.Event()
    threads.start_at(time.monotonic() + LATER_S, lambda: None)
    threads.start_at(time.monotonic(), has_started.set)
    assert has_started.wait(DEADLINE_S)


def test_a_cancelled_one_never_starts_and_one_that_has_started_cannot_be_cancelled(
    threads: LateThreads,
) -> None:
    begun: list[str] = []
    last = threading.Event()
    due_at = time.monotonic() + 0.2
    cancelled = threads.start_at(due_at, lambda: begun.append("cancelled"))
    started = threads.start_at(due_at, last.set)
    assert threads.cancel(cancelled)
    assert last.wait(DEADLINE_S)
    assert begun == []
    assert not threads.cancel(started)


def test_those_that_wait_have_no_thread(threads: LateThreads) -> None:
    threads.start_at(time.monotonic() + LATER_S, lambda: None)
    before = threading.active_count()
    for _ in range(50):
        threads.start_at(time.monotonic() + LATER_S, lambda: None)
    assert threading.active_count() == before


def test_one_that_hangs_holds_up_no_other(threads: LateThreads) -> None:
    may_end, other = threading.Event(), threading.Event()

    def hang() -> None:
        assert may_end.wait(DEADLINE_S)

    threads.start_at(time.monotonic(), hang)
    threads.start_at(time.monotonic(), other.set)
    assert other.wait(DEADLINE_S)
    may_end.set()
