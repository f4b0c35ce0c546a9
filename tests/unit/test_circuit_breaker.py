"""No message is received by a machine that cannot do its work."""

import pytest

from consumer.domain.errors import HostError, ServiceError, UnavailableError
from consumer.service.circuit_breaker import CircuitBreaker


class Clock:
    def __init__(self) -> None:
        self.seconds = 0.0

    def monotonic(self) -> float:
        return self.seconds


class Machine:
    """What the gate looks at."""

    def __init__(self) -> None:
        self.problem: str | None = None

    async def check(self) -> None:
        if self.problem is not None:
            raise HostError(self.problem)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def machine() -> Machine:
    return Machine()


@pytest.fixture
def breaker(clock: Clock, machine: Machine) -> CircuitBreaker:
    return CircuitBreaker([machine.check], clock)  # type: ignore[arg-type]


async def opens_after(breaker: CircuitBreaker, clock: Clock) -> float:
    """Seconds until the gate is open, in steps of one."""
    began = clock.seconds
    while not await breaker.allows_work():
        clock.seconds += 1
    return clock.seconds - began


async def test_the_gate_is_closed_while_something_is_broken_and_says_what(
    breaker: CircuitBreaker, machine: Machine
) -> None:
    assert await breaker.allows_work()
    machine.problem = "the disk is full"
    assert not await breaker.allows_work()
    assert breaker.problem == "the disk is full"
    machine.problem = None
    assert await breaker.allows_work()
    assert breaker.problem is None


async def test_failures_that_no_check_finds_close_the_gate_longer_every_time_until_one_works(
    breaker: CircuitBreaker, clock: Clock
) -> None:
    waits = []
    for _ in range(9):
        breaker.record_host_failure(HostError("I/O error"))
        waits.append(await opens_after(breaker, clock))
    assert waits == [5, 10, 20, 40, 80, 160, 300, 300, 300]

    breaker.record_host_success()
    breaker.record_host_failure(HostError("I/O error"))
    assert await opens_after(breaker, clock) == 5


async def test_documents_that_fail_together_count_once(breaker: CircuitBreaker, clock: Clock) -> None:
    for _ in range(8):
        breaker.record_host_failure(HostError("I/O error"))
    assert await opens_after(breaker, clock) == 5


async def test_after_a_failure_messages_are_tried_one_at_a_time_until_one_works(
    breaker: CircuitBreaker, clock: Clock
) -> None:
    breaker.record_host_failure(HostError("I/O error"))
    await opens_after(breaker, clock)
    assert breaker.half_open
    breaker.record_host_success()
    assert not breaker.half_open


async def test_another_problem_is_told_and_the_same_with_other_figures_is_not(
    breaker: CircuitBreaker, machine: Machine, capsys: pytest.CaptureFixture[str]
) -> None:
    for machine.problem in ("12 bytes left", "13 bytes left", "no engine"):
        await breaker.allows_work()
    assert capsys.readouterr().out.count("host.unhealthy") == 2


OUTAGE = UnavailableError("GET s3://inbox/a.pdf: 503")


class Storage:
    """A bucket that is there, or not."""

    def __init__(self) -> None:
        self.is_down = False
        self.refuses = False
        self.looks = 0

    async def probe(self) -> None:
        self.looks += 1
        if self.is_down:
            raise UnavailableError("HEAD s3://inbox: 503")
        if self.refuses:
            raise ServiceError("HEAD s3://typo: 404")


async def test_no_message_is_received_while_storage_that_failed_several_is_down(
    breaker: CircuitBreaker, clock: Clock
) -> None:
    storage = Storage()
    storage.is_down = True
    for _ in range(3):
        breaker.record_storage_failure(OUTAGE, storage.probe)
        assert await breaker.allows_work()
    breaker.record_storage_failure(OUTAGE, storage.probe)
    clock.seconds += 1000
    assert not await breaker.allows_work()
    assert breaker.problem == "HEAD s3://inbox: 503"
    storage.is_down = False
    assert await breaker.allows_work()


async def test_storage_whose_bucket_answers_and_whose_objects_do_not_is_tried_one_message_at_a_time(
    breaker: CircuitBreaker, clock: Clock
) -> None:
    storage = Storage()
    waits = []
    for _ in range(3):
        breaker.record_storage_failure(OUTAGE, storage.probe)
    for _ in range(4):
        breaker.record_storage_failure(OUTAGE, storage.probe)
        waits.append(await opens_after(breaker, clock))
        assert breaker.half_open
    assert waits == [5, 10, 20, 40]
    breaker.record_storage_success()
    assert await breaker.allows_work()
    assert not breaker.half_open


async def test_a_bucket_that_is_not_there_holds_up_no_others(breaker: CircuitBreaker, clock: Clock) -> None:
    storage = Storage()
    storage.refuses = True
    for _ in range(4):
        breaker.record_storage_failure(OUTAGE, storage.probe)
    await opens_after(breaker, clock)
    assert await breaker.allows_work()
    assert not breaker.half_open
    assert storage.looks == 1


async def test_failures_of_storage_with_successes_between_are_not_looked_into(
    breaker: CircuitBreaker,
) -> None:
    storage = Storage()
    storage.is_down = True
    for _ in range(10):
        breaker.record_storage_failure(OUTAGE, storage.probe)
        breaker.record_storage_failure(OUTAGE, storage.probe)
        breaker.record_storage_success()
    assert await breaker.allows_work()
