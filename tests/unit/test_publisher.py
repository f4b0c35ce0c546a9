"""One source, one stored result: the promises of the publisher, of a reader of documents and of a job."""

import asyncio
import os
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from consumer.clock import Watchdog
from consumer.domain import identity
from consumer.domain.errors import (
    Code,
    DocumentError,
    ForbiddenError,
    HostError,
    ServiceError,
    TransientError,
)
from consumer.domain.events import Job
from consumer.domain.result import Status
from consumer.domain.settle import Outcome
from consumer.metrics import Metrics
from tests.fakes import BUCKET
from tests.fakes.cloud import Cloud
from tests.fakes.network import Fault, Faults, Network
from tests.fakes.service import Service
from tests.fakes.virtual_time import running_loop

RESULT = "a.pdf.ocr.json"


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[Service]:
    """A service without its worker."""
    network = Network(Cloud(running_loop().clock), Faults())
    service = Service(network, tmp_path, Metrics())
    async with service.scheduler.running():
        yield service
    assert not list(tmp_path.iterdir()), "files were left behind"
    assert not service.cloud.journal.violations


async def write_exhausted_result(service: Service, *, key: str = "a.pdf", force: bool = False) -> str:
    job = Job(BUCKET, key, force)
    return await service.jobs.write_exhausted_result(job, service.clock.now(), "why", Watchdog(service.clock))


async def test_a_document_gets_one_result_that_says_what_it_is_of(service: Service) -> None:
    source = service.s3.upload("a.pdf", b"%PDF-one\ftwo")

    job_result = await service.process("a.pdf")

    assert job_result.reason == "stored"
    assert service.texts("a.pdf") == ["one", "two"]
    assert service.s3.objects[RESULT].metadata == {
        "ocr-status": "SUCCESS",
        "ocr-source-etag": source.etag,
        "ocr-fingerprint": "sha256:1",
        "ocr-schema-version": "1.0",
        "ocr-page-count": "2",
    }


async def test_a_finished_document_costs_two_heads_when_it_is_delivered_again(service: Service) -> None:
    service.s3.upload("a.pdf", b"%PDF-one")
    await service.process("a.pdf")
    service.calls.clear()

    job_result = await service.process("a.pdf")

    assert job_result.reason == "already current"
    assert service.calls == [("head", "a.pdf"), ("head", RESULT)]
    assert service.recognizer.pages_read == 1


async def test_force_reads_a_finished_document_again(service: Service) -> None:
    service.s3.upload("a.pdf", b"%PDF-one")
    await service.process("a.pdf")

    service.s3.allow_replacing("a.pdf")

    job_result = await service.process("a.pdf", force=True)

    assert job_result.reason == "stored"
    assert service.recognizer.pages_read == 2


async def test_a_forced_result_whose_put_is_refused_for_a_moment_is_put_again(service: Service) -> None:
    """S3 answers 409 while another put or delete is under way; the old result may stay in its place."""
    service.s3.upload("a.pdf", b"%PDF-one")
    await service.process("a.pdf")
    before = service.s3.objects[RESULT]
    service.s3.allow_replacing("a.pdf")
    service.clock.seconds += 1
    service.faults.add("put", Fault.REFUSED)

    job_result = await service.process("a.pdf", force=True)

    assert job_result.reason == "stored"
    assert service.s3.objects[RESULT].etag != before.etag


@pytest.mark.parametrize("operation", ["download", "read", "put"])
async def test_a_source_overwritten_in_flight_ends_with_the_result_of_the_new_bytes(
    service: Service, operation: str
) -> None:
    service.s3.upload("a.pdf", b"%PDF-old")
    service.faults.add(operation, lambda: service.s3.upload("a.pdf", b"%PDF-new"))

    await service.process("a.pdf")

    assert service.texts("a.pdf") == ["new"]
    assert service.result("a.pdf").source.etag == service.s3.objects["a.pdf"].etag


async def test_a_source_deleted_in_flight_gets_no_result(service: Service) -> None:
    service.s3.upload("a.pdf", b"%PDF-one")
    service.faults.add("download", lambda: service.s3.delete("a.pdf"))

    job_result = await service.process("a.pdf")

    assert job_result.reason == "source gone"
    assert not service.s3.objects


async def test_a_bucket_that_does_not_exist_is_no_deleted_source(service: Service) -> None:
    with pytest.raises(ServiceError):
        await service.process("a.pdf", bucket="typo")


async def test_a_put_whose_answer_was_lost_counts_as_stored(service: Service) -> None:
    service.s3.upload("a.pdf", b"%PDF-one")
    service.faults.add("put", Fault.RESENT)

    job_result = await service.process("a.pdf")

    assert job_result.result is not None
    assert service.texts("a.pdf") == ["one"]
    assert service.calls.count(("put", RESULT)) == 1


async def test_a_result_of_older_bytes_that_appears_meanwhile_is_replaced(service: Service) -> None:
    service.s3.upload("a.pdf", b"%PDF-old")
    await service.process("a.pdf")
    older = service.s3.objects[RESULT]
    service.s3.delete(RESULT)
    service.s3.upload("a.pdf", b"%PDF-new")
    service.faults.add("put", lambda: service.s3.upload(RESULT, older.body, older.metadata))

    await service.process("a.pdf")

    assert service.texts("a.pdf") == ["new"]


async def test_an_object_of_a_client_under_the_name_of_the_result_is_replaced(service: Service) -> None:
    service.s3.upload("a.pdf", b"%PDF-one")
    service.s3.upload(RESULT, b"not ours")

    await service.process("a.pdf")

    assert service.texts("a.pdf") == ["one"]


async def test_the_same_bytes_as_a_new_version_are_named_in_a_new_result(service: Service) -> None:
    service.s3.versioned = True
    service.s3.upload("a.pdf", b"%PDF-one")
    await service.process("a.pdf")
    again = service.s3.upload("a.pdf", b"%PDF-one")

    await service.process("a.pdf")

    assert service.result("a.pdf").source.version_id == again.version_id


async def test_an_output_without_a_telling_name_is_known_by_its_metadata(service: Service) -> None:
    service.s3.upload("scan.ocr.pdf", b"%PDF-x", {identity.SOURCE_ETAG: "e"})

    job_result = await service.process("scan.ocr.pdf")

    assert job_result.reason == "own output"
    assert service.s3.objects.keys() == {"scan.ocr.pdf"}


async def test_a_file_of_another_kind_is_left_alone_after_a_look_at_its_start(service: Service) -> None:
    service.s3.upload("notes.txt", b"x" * 5000)

    job_result = await service.process("notes.txt")

    assert job_result.reason == "not a document"
    assert ("download", "notes.txt") not in service.calls


@pytest.mark.parametrize(
    ("body", "code", "downloaded"),
    [
        (b"", "EMPTY_FILE", False),
        (b"x" * 1001, "TOO_LARGE", False),
        (b"neither this nor that", "UNSUPPORTED_TYPE", True),
        (b"%PDF-broken", "CORRUPT_DOCUMENT", True),
    ],
)
async def test_a_document_that_cannot_be_read_gets_a_failure_with_its_code(
    service: Service, body: bytes, code: str, downloaded: bool
) -> None:
    service.s3.upload("a.pdf", body)

    await service.process("a.pdf")

    result = service.result("a.pdf")
    assert (result.status, result.detections, result.pages) == (Status.FAILURE, (), ())
    assert result.error is not None
    assert (result.error.code, result.error.retryable) == (code, False)
    assert (("download", "a.pdf") in service.calls) is downloaded


async def test_a_source_that_never_stands_still_is_tried_again_later(service: Service) -> None:
    numbers = iter(range(100))

    def overwrite() -> None:
        service.s3.upload("a.pdf", b"%%PDF-%d" % next(numbers))

    overwrite()
    service.faults.add("download", overwrite, times=100)

    with pytest.raises(TransientError, match="overwritten again and again"):
        await service.process("a.pdf")


async def test_a_failing_service_leaves_no_file_behind(service: Service) -> None:
    service.s3.upload("a.pdf", b"%PDF-one")
    service.faults.add("put", Fault.FAILS)

    with pytest.raises(ServiceError):
        await service.process("a.pdf")


async def test_a_failed_document_frees_its_disk_space_even_if_a_renderer_has_it_open(
    service: Service, tmp_path: Path
) -> None:
    service.s3.upload("a.pdf", b"%PDF-a 10")
    service.faults.add("read", Fault.REFUSED)
    work = asyncio.create_task(service.process("a.pdf"))
    await asyncio.sleep(5)
    (source,) = tmp_path.glob("*.source")
    with source.open("rb") as held:
        with pytest.raises(HostError):
            await work
        assert os.fstat(held.fileno()).st_size == 0


async def test_an_exhausted_result_replaces_no_result_of_the_same_source_by_any_engine(
    service: Service,
) -> None:
    service.s3.upload("a.pdf", b"%PDF-a")
    await service.process("a.pdf")
    result = service.s3.objects[RESULT]
    metadata = {**result.metadata, "ocr-fingerprint": "sha256:older engine"}
    older = service.s3.upload(RESULT, result.body, metadata)
    assert await write_exhausted_result(service) == "not stored: the source has a result"
    assert service.s3.objects[RESULT] is older


async def test_an_exhausted_result_replaces_the_result_of_an_older_source(service: Service) -> None:
    service.s3.upload("a.pdf", b"%PDF-old")
    await service.process("a.pdf")
    source = service.s3.upload("a.pdf", b"%PDF-new")
    assert await write_exhausted_result(service) == "stored"
    assert service.result("a.pdf").source.etag == source.etag
    assert service.s3.objects[RESULT].metadata["ocr-fingerprint"] == "none"


async def test_a_result_stored_just_before_an_exhausted_one_stays(service: Service) -> None:
    service.s3.upload("a.pdf", b"%PDF-a")
    await service.process("a.pdf")
    result = service.s3.objects[RESULT]
    service.s3.delete(RESULT)
    service.faults.add("put", lambda: service.s3.upload(RESULT, result.body, result.metadata))
    assert await write_exhausted_result(service) == "stored meanwhile"
    assert service.texts("a.pdf") == ["a"]
    # The result that exists is announced, and not the one that was not stored.
    assert [(each.result.status, each.result.code) for each in service.cloud.announced] == [("SUCCESS", None)]


async def test_a_client_that_removes_a_source_after_its_result_has_come_is_told_of_it(
    service: Service,
) -> None:
    service.s3.upload("a.pdf", b"%PDF-a")
    # In the first look at the source after the put.
    service.faults.add("put", lambda: service.faults.add("head", lambda: service.s3.delete("a.pdf")))
    job_result = await service.process("a.pdf")
    assert "a.pdf" not in service.s3.objects
    assert (job_result.reason, job_result.completion is not None) == ("stored", True)


async def test_no_exhausted_result_is_written_for_a_missing_source_or_no_document(service: Service) -> None:
    service.s3.upload("notes.txt", b"hello")
    assert await write_exhausted_result(service, key="notes.txt") == "not a document"
    assert await write_exhausted_result(service, key="gone.pdf") == "source gone"
    assert service.s3.objects.keys() == {"notes.txt"}


async def test_a_source_that_goes_back_to_its_former_bytes_during_the_put_gets_their_result(
    service: Service,
) -> None:
    service.s3.upload("a.pdf", b"%PDF-former")
    await service.process("a.pdf")
    service.s3.upload("a.pdf", b"%PDF-other")
    # The event of these finds the former result still in its place, and current.
    service.faults.add("put", lambda: service.s3.upload("a.pdf", b"%PDF-former"))
    await service.process("a.pdf")
    assert service.texts("a.pdf") == ["former"]


async def test_a_request_for_a_range_of_pages_is_refused_and_nothing_is_read(service: Service) -> None:
    service.s3.upload("a.pdf", b"%PDF-one\ftwo")

    job = Job(BUCKET, "a.pdf", problem="send it without `pages`")
    report = await service.jobs.run(job, service.clock.now(), Watchdog(service.clock))

    assert report.outcome is Outcome.DONE
    error = service.result("a.pdf").error
    assert error is not None
    assert (error.code, error.retryable) == (Code.INVALID_OPTIONS, False)
    assert "without `pages`" in error.message
    assert service.recognizer.pages_read == 0


async def test_a_refused_request_neither_hides_nor_replaces_the_document(service: Service) -> None:
    job = Job(BUCKET, "a.pdf", problem="send it without `pages`")
    service.s3.upload("a.pdf", b"%PDF-one")
    await service.jobs.run(job, service.clock.now(), Watchdog(service.clock))

    await service.process("a.pdf")
    assert service.texts("a.pdf") == ["one"]

    for force in (False, True):
        await service.jobs.run(replace(job, force=force), service.clock.now(), Watchdog(service.clock))
        assert service.texts("a.pdf") == ["one"]


async def test_a_refused_request_keeps_the_result_of_an_older_engine(service: Service) -> None:
    service.s3.upload("a.pdf", b"%PDF-one")
    await service.process("a.pdf")
    result = service.s3.objects[RESULT]
    service.s3.objects[RESULT] = replace(result, metadata={**result.metadata, "ocr-fingerprint": "sha256:0"})

    job = Job(BUCKET, "a.pdf", problem="send it without `pages`")
    await service.jobs.run(job, service.clock.now(), Watchdog(service.clock))

    assert service.texts("a.pdf") == ["one"]


async def test_a_forced_request_whose_tries_are_exhausted_keeps_its_good_result(service: Service) -> None:
    service.s3.upload("a.pdf", b"%PDF-one")
    await service.process("a.pdf")

    await write_exhausted_result(service, force=True)

    assert service.texts("a.pdf") == ["one"]


async def run_job(service: Service, key: str = "a.pdf", *, force: bool = False) -> Outcome:
    report = await service.jobs.run(Job(BUCKET, key, force), service.clock.now(), Watchdog(service.clock))
    return report.outcome


@pytest.mark.parametrize("code", [Code.ARCHIVED, Code.KEY_REQUIRED])
async def test_an_object_whose_bytes_cannot_be_had_gets_a_result_that_says_so_until_they_can(
    service: Service, code: Code
) -> None:
    service.s3.upload("a.pdf", b"%PDF-one")
    service.s3.unreadable["a.pdf"] = DocumentError(code, "why")
    assert await run_job(service) is Outcome.DONE
    error = service.result("a.pdf").error
    assert error is not None
    assert (error.code, error.message, error.retryable) == (code, "why", False)
    assert "download" not in [operation for operation, _ in service.calls]

    puts = len(service.s3.uploads[RESULT])
    assert await run_job(service, force=True) is Outcome.DONE
    assert len(service.s3.uploads[RESULT]) == puts, "the same result is stored again"

    del service.s3.unreadable["a.pdf"]
    assert await run_job(service) is Outcome.DONE
    assert service.texts("a.pdf") == ["one"]


async def test_an_archived_document_keeps_the_result_that_it_has(service: Service) -> None:
    service.s3.upload("a.pdf", b"%PDF-one")
    await service.process("a.pdf")
    service.s3.unreadable["a.pdf"] = DocumentError(Code.ARCHIVED, "why")
    assert await run_job(service) is Outcome.DONE
    assert service.texts("a.pdf") == ["one"]


async def test_an_object_that_cannot_be_looked_into_is_a_document_by_its_name_only(service: Service) -> None:
    service.s3.upload("notes", b"%PDF-one")
    service.s3.unreadable["notes"] = DocumentError(Code.KEY_REQUIRED, "why")
    assert await run_job(service, "notes") is Outcome.DONE
    assert "notes.ocr.json" not in service.s3.objects


async def test_a_source_of_which_not_even_a_look_is_allowed_gets_a_result_when_its_tries_are_exhausted(
    service: Service,
) -> None:
    service.s3.upload("a.pdf", b"%PDF-one")

    def refuse() -> None:
        if service.calls[-1][1] == "a.pdf":
            raise ForbiddenError("HEAD a.pdf: 403")

    service.faults.add("head", refuse, 10)
    assert await write_exhausted_result(service) == "stored"
    assert service.result("a.pdf").error is not None
    service.faults.heal()
    await service.process("a.pdf")
    assert service.texts("a.pdf") == ["one"]
