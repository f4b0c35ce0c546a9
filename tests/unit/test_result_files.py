"""Files of a result: they are there until it is stored, and count as disk space that will be free then."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from consumer.clock import Watchdog
from consumer.domain.errors import DiskFullError, HostError, ServiceError
from consumer.domain.events import Job
from consumer.metrics import Metrics
from consumer.service.attempt import Attempt
from consumer.service.documents import DocumentReader
from consumer.service.publisher import JobResult
from tests.fakes import BUCKET
from tests.fakes.cloud import Cloud
from tests.fakes.network import Fault, Faults, Network
from tests.fakes.service import Service
from tests.fakes.virtual_time import running_loop

KEY = "large.pdf"
#: Pages with more text than is kept in memory, and of two batches.
SOURCE = b"%PDF-" + b"word " * 500_000 + b"x\fsecond\fthird"


class FakeUsage:
    """The disk's own figures."""

    free = 2**40

    def __call__(self, folder: Path) -> tuple[int, int, int]:
        return 2**41, 2**41 - self.free, self.free


@pytest.fixture
def usage() -> FakeUsage:
    return FakeUsage()


@pytest.fixture
async def service(tmp_path: Path, usage: FakeUsage) -> AsyncIterator[Service]:
    network = Network(Cloud(running_loop().clock), Faults())
    service = Service(network, tmp_path, Metrics(), usage=usage, max_file_bytes=2**30)
    service.s3.upload(KEY, SOURCE)
    async with service.scheduler.running():
        yield service


@pytest.fixture
def documents(service: Service) -> DocumentReader:
    return service.documents


def open_files() -> list[str]:
    return sorted(path.name for path in Path("/proc/self/fd").iterdir())


async def ensure_result(service: Service, documents: DocumentReader) -> JobResult:
    return await service.publisher.ensure_result(
        Job(BUCKET, KEY),
        None,
        Watchdog(service.clock),
        accepts=lambda head, source: head.is_of(source),
        make=documents.read,
    )


async def test_a_large_result_is_put_from_files_that_are_closed_then(
    service: Service, documents: DocumentReader
) -> None:
    before, during = open_files(), list[str]()
    service.faults.add("put", lambda: during.extend(open_files()))
    await ensure_result(service, documents)
    assert len(during) == len(before) + 1
    assert open_files() == before
    assert service.texts(KEY) == SOURCE.decode().removeprefix("%PDF-").split("\f")


@pytest.mark.parametrize(("operation", "error"), [("read", HostError), ("put", ServiceError)])
async def test_files_of_a_result_that_cannot_be_made_or_stored_are_closed(
    service: Service, documents: DocumentReader, operation: str, error: type[Exception]
) -> None:
    before = open_files()
    # Of pages, the one of the second batch: the first has been written down.
    service.faults.add(operation, lambda: None, times=1 if operation == "read" else 0)
    service.faults.add(operation, Fault.REFUSED if operation == "read" else Fault.FAILS)
    with pytest.raises(error):
        await ensure_result(service, documents)
    assert open_files() == before


async def test_a_document_that_finds_no_space_waits_for_a_result_that_is_being_stored(
    service: Service, documents: DocumentReader, usage: FakeUsage
) -> None:
    info = await service.publisher.store.head(BUCKET, KEY)
    assert info is not None
    attempt = Attempt(None, Watchdog(service.clock), service.clock, service.metrics)
    with attempt.files:
        await documents.read(info.source, attempt)
        usage.free = 0
        # Another document may come.
        await documents.results.disk_space.check()
    with pytest.raises(DiskFullError):
        await documents.results.disk_space.check()
