"""The circuit breaker: no message is received while the host or the storage is broken."""

import pytest

from consumer.domain.errors import HostError, ServiceError, UnavailableError
from consumer.service.circuit_breaker import CircuitBreaker
from tests.fakes.service import Host
from tests.fakes.virtual_time import VirtualClock


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
def host() -> Host:
    return Host()


@pytest.fixture
def breaker(clock: VirtualClock, host: Host) -> CircuitBreaker:
    return CircuitBreaker([host.check], clock)


async def closes_after(breaker: CircuitBreaker, clock: VirtualClock) -> float:
    """Seconds until work is allowed again, in steps of one."""
    began = clock.seconds
    while not await breaker.allows_work():
        clock.seconds += 1
    return clock.seconds - began


async def test_it_is_open_while_something_is_broken_and_says_what(
    breaker: CircuitBreaker, host: Host
) -> None:
    assert await breaker.allows_work()
    host.problem = "the disk is full"
    assert not await breaker.allows_work()
    assert breaker.problem == "the disk is full"
    host.problem = None
    assert await breaker.allows_work()
    assert breaker.problem is None


async def test_failures_that_no_check_finds_open_it_longer_every_time_until_one_works(
    breaker: CircuitBreaker, clock: VirtualClock
) -> None:
    waits = []
    for _ in range(9):
        breaker.record_host_failure(HostError("I/O error"))
        waits.append(await closes_after(breaker, clock))
    assert waits == [5, 10, 20, 40, 80, 160, 300, 300, 300]

    breaker.record_host_success()
    breaker.record_host_failure(HostError("I/O error"))
    assert await closes_after(breaker, clock) == 5


async def test_documents_that_fail_together_count_once(breaker: CircuitBreaker, clock: VirtualClock) -> None:
    for _ in range(8):
        breaker.record_host_failure(HostError("I/O error"))
    assert await closes_after(breaker, clock) == 5


async def test_after_a_failure_it_is_half_open_until_a_message_works(
    breaker: CircuitBreaker, clock: VirtualClock
) -> None:
    breaker.record_host_failure(HostError("I/O error"))
    await closes_after(breaker, clock)
    assert breaker.half_open
    breaker.record_host_success()
    assert not breaker.half_open


async def test_another_problem_is_logged_and_the_same_with_other_figures_is_not(
    breaker: CircuitBreaker, host: Host, capsys: pytest.CaptureFixture[str]
) -> None:
    for host.problem in ("12 bytes left", "13 bytes left", "no engine"):
        await breaker.allows_work()
    assert capsys.readouterr().out.count("host.unhealthy") == 2


OUTAGE = UnavailableError("GET s3://inbox/a.pdf: 503")


class Storage:
    """A bucket that answers, or not."""

    def __init__(self) -> None:
        self.is_down = False
        self.refuses = False
        self.probes = 0

    async def probe(self) -> None:
        self.probes += 1
        if self.is_down:
            raise UnavailableError("HEAD s3://inbox: 503")
        if self.refuses:
            raise ServiceError("HEAD s3://typo: 404")


async def test_no_message_is_received_while_storage_that_failed_several_is_down(
    breaker: CircuitBreaker, clock: VirtualClock
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


async def test_storage_whose_bucket_answers_and_whose_objects_fail_leaves_it_half_open(
    breaker: CircuitBreaker, clock: VirtualClock
) -> None:
    storage = Storage()
    waits = []
    for _ in range(3):
        breaker.record_storage_failure(OUTAGE, storage.probe)
    for _ in range(4):
        breaker.record_storage_failure(OUTAGE, storage.probe)
        waits.append(await closes_after(breaker, clock))
        assert breaker.half_open
    assert waits == [5, 10, 20, 40]
    breaker.record_storage_success()
    assert await breaker.allows_work()
    assert not breaker.half_open


async def test_a_bucket_that_does_not_exist_holds_up_no_others(
    breaker: CircuitBreaker, clock: VirtualClock
) -> None:
    storage = Storage()
    storage.refuses = True
    for _ in range(4):
        breaker.record_storage_failure(OUTAGE, storage.probe)
    await closes_after(breaker, clock)
    assert await breaker.allows_work()
    assert not breaker.half_open
    assert storage.probes == 1


async def test_failures_of_storage_with_successes_between_do_not_open_it(
    breaker: CircuitBreaker,
) -> None:
    storage = Storage()
    storage.is_down = True
    for _ in range(10):
        breaker.record_storage_failure(OUTAGE, storage.probe)
        breaker.record_storage_failure(OUTAGE, storage.probe)
        breaker.record_storage_success()
    assert await breaker.allows_work()


REFUSAL = "PUT s3://inbox/a.pdf.ocr.json: AccessDenied"


def refuse(breaker: CircuitBreaker, *documents: str) -> None:
    for document in documents:
        breaker.record_refusal(document, REFUSAL)


async def test_refusals_of_one_document_do_not_open_it_and_those_of_several_do(
    breaker: CircuitBreaker,
) -> None:
    refuse(breaker, *"aaaaaa", "b", "c")
    assert await breaker.allows_work()
    refuse(breaker, "d")
    assert not await breaker.allows_work()
    assert breaker.problem is not None
    assert "PUT s3://inbox/a.pdf.ocr.json: AccessDenied" in breaker.problem
    assert "`bucket-ocr doctor --write`" in breaker.problem


async def test_while_documents_are_refused_messages_are_tried_less_and_less_often_and_the_problem_stays(
    breaker: CircuitBreaker, clock: VirtualClock, capsys: pytest.CaptureFixture[str]
) -> None:
    refuse(breaker, *"abc")
    waits = []
    for document in "defg":
        refuse(breaker, document)
        waits.append(await closes_after(breaker, clock))
        assert breaker.half_open
        assert breaker.problem is not None
    assert waits == [5, 10, 20, 40]
    # The words differ by keys and ids, and are one problem.
    assert capsys.readouterr().out.count("host.unhealthy") == 1


async def test_a_document_that_is_refused_again_tells_nothing_new(
    breaker: CircuitBreaker, clock: VirtualClock
) -> None:
    refuse(breaker, *"abcd")
    await closes_after(breaker, clock)
    refuse(breaker, *"abcd")
    assert await breaker.allows_work()


async def test_a_document_that_is_stored_closes_it_at_once(
    breaker: CircuitBreaker, clock: VirtualClock
) -> None:
    refuse(breaker, *"abcd")
    breaker.record_stored()
    assert await breaker.allows_work()
    assert breaker.problem is None
    assert not breaker.half_open
    refuse(breaker, *"abc")
    assert await breaker.allows_work()
