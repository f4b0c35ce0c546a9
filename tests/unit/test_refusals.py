"""Storage that refuses what it is asked: one document waits alone, and all wait together, in virtual time."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from consumer.domain.errors import ForbiddenError, UnavailableError
from consumer.metrics import Metrics
from tests.fakes.cloud import Cloud
from tests.fakes.network import Faults, Network
from tests.fakes.service import Service
from tests.fakes.virtual_time import running_loop
from tests.unit.test_worker import consuming, counted, has_result, in_flight, send, until

OUTAGE_S = 600.0
TIMES = 100_000


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[Service]:
    network = Network(Cloud(running_loop().clock, max_receive_count=3), Faults())
    service = Service(network, tmp_path, Metrics())
    async with service.scheduler.running():
        yield service
    assert not service.cloud.journal.violations


def refuse(service: Service, operation: str, refused: Callable[[str], bool]) -> None:
    """Refuse calls about keys for which `refused` is true."""

    def fault() -> None:
        key = service.calls[-1][1]
        if refused(key):
            raise ForbiddenError(f"{operation} {key}: AccessDenied")

    service.faults.add(operation, fault, TIMES)


def letters(service: Service, count: int, folder: str = "") -> list[str]:
    """Upload letters of one page, which takes a second, with their messages."""
    keys = [f"{folder}{number}.pdf" for number in range(count)]
    for key in keys:
        service.s3.upload(key, f"%PDF-{key} 1".encode())
        send(service, key, key)
    return keys


def dead(service: Service) -> list[str]:
    return [message.message_id for message in service.sqs.messages if message.dead]


async def outlasts(service: Service, keys: list[str], slots: int, is_over: asyncio.Event) -> None:
    """A consumer that has results for all once the outage is over, and says what is wrong until then."""
    async with consuming(service, slots) as run:
        await until(lambda: run.worker.problem)
        for _ in range(int(OUTAGE_S)):
            await asyncio.sleep(1)
            assert run.worker.problem is not None
            assert "AccessDenied" in run.worker.problem
            assert "doctor --write" in run.worker.problem
        is_over.set()
        await until(lambda: all(has_result(service, key) for key in keys))
        await until(lambda: not service.sqs.waiting())
        assert run.worker.problem is None


@pytest.mark.parametrize("slots", [1, 2, 20])
async def test_documents_that_are_all_refused_wait_with_what_was_read_of_them(
    service: Service, slots: int
) -> None:
    is_over = asyncio.Event()
    refuse(service, "put", lambda _: not is_over.is_set())
    keys = letters(service, 12)
    await outlasts(service, keys, slots, is_over)
    assert service.recognizer.pages_read == 12
    assert dead(service) == []
    assert {message.receive_count for message in service.sqs.messages} == {1}


@pytest.mark.parametrize("operation", ["head", "download"])
async def test_sources_that_are_all_refused_cost_no_receives(service: Service, operation: str) -> None:
    is_over = asyncio.Event()
    refuse(service, operation, lambda _: not is_over.is_set())
    keys = letters(service, 12)
    await outlasts(service, keys, 2, is_over)
    assert dead(service) == []
    assert {message.receive_count for message in service.sqs.messages} == {1}
    assert all(service.result(key).status == "SUCCESS" for key in keys)


@pytest.mark.parametrize("slots", [1, 2])
async def test_a_document_that_is_refused_alone_holds_up_no_other(service: Service, slots: int) -> None:
    keys = letters(service, 50)
    refuse(service, "put", lambda key: key.startswith("7.pdf"))
    async with consuming(service, slots) as run:
        began = service.clock.seconds
        while len(service.sqs.deleted) < 49:
            assert run.worker.problem is None
            await asyncio.sleep(0.1)
        # A second for each page, and the poll.
        assert service.clock.seconds - began < 60
        assert in_flight(service) == {"7.pdf"}
        assert (counted(service, "messages_waiting"), counted(service, "messages_in_flight")) == (1, 0)
        assert not has_result(service, "7.pdf")
    assert counted(service, "refused_documents_total") == 1
    assert counted(service, "messages_waiting") == 0
    assert service.recognizer.pages_read == 50
    assert all(has_result(service, key) for key in keys if key != "7.pdf")


async def test_documents_of_a_prefix_that_are_refused_hold_up_the_others_for_moments_only(
    service: Service,
) -> None:
    refuse(service, "put", lambda key: key.startswith("secret/"))
    letters(service, 8, "secret/")
    keys = letters(service, 50)
    async with consuming(service):
        began = service.clock.seconds
        await until(lambda: all(has_result(service, key) for key in keys))
        assert service.clock.seconds - began < 300


async def test_a_document_that_is_refused_alone_is_given_up_after_a_quarter_of_an_hour_and_tried_again(
    service: Service,
) -> None:
    refuse(service, "put", lambda key: key.startswith("0.pdf"))
    letters(service, 2)
    async with consuming(service):
        await until(lambda: service.sqs.returned)
        assert 600 < service.clock.seconds < 1200
        assert service.recognizer.pages_read == 2
        service.faults.heal()
        await until(lambda: has_result(service, "0.pdf"))


async def test_no_more_documents_wait_than_there_is_room_for(service: Service) -> None:
    refuse(service, "put", lambda _: True)
    room = service.jobs.waiting_room.most = 6
    letters(service, room + 3)
    most = 0
    async with consuming(service):
        while not service.sqs.returned:
            await asyncio.sleep(1)
            most = max(most, len(in_flight(service)))
    assert most == room + 1


async def test_a_stop_releases_the_documents_that_wait(service: Service) -> None:
    refuse(service, "put", lambda _: True)
    letters(service, 5)
    async with consuming(service, drain_s=0):
        await until(lambda: len(in_flight(service)) >= 4)
    assert not service.sqs.returned
    assert len(service.sqs.sent_again()) >= 4


async def test_pages_of_a_long_document_that_cannot_be_stored_are_not_read_again(service: Service) -> None:
    is_over = asyncio.Event()
    refuse(service, "put_new", lambda _: not is_over.is_set())
    service.s3.upload("book.pdf", b"%PDF-" + b"\f".join(b"page %d 1" % number for number in range(40)))
    send(service, "book", "book.pdf")
    async with consuming(service, slots=4):
        await until(lambda: service.recognizer.pages_read == 40)
        await asyncio.sleep(OUTAGE_S)
        is_over.set()
        await until(lambda: has_result(service, "book.pdf"))
    assert service.recognizer.pages_read == 40
    assert service.result("book.pdf").status == "SUCCESS"
    assert dead(service) == []


async def test_storage_that_is_down_after_it_has_refused_costs_no_page_either(service: Service) -> None:
    errors = [ForbiddenError("403"), UnavailableError("503"), UnavailableError("503"), ForbiddenError("403")]

    def fail() -> None:
        raise errors.pop(0)

    service.faults.add("put", fail, len(errors))
    letters(service, 1)
    async with consuming(service):
        await until(lambda: has_result(service, "0.pdf"))
    assert service.recognizer.pages_read == 1
    assert not service.sqs.returned


async def test_a_source_that_changes_while_its_result_is_refused_is_read_anew(service: Service) -> None:
    is_over = asyncio.Event()
    refuse(service, "put", lambda _: not is_over.is_set())
    letters(service, 1)
    async with consuming(service):
        await until(lambda: any(operation == "put" for operation, _ in service.calls))
        service.s3.upload("0.pdf", b"%PDF-another")
        is_over.set()
        await until(lambda: has_result(service, "0.pdf"))
    assert service.texts("0.pdf") == ["another"]
