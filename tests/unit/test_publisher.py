"""One source, one stored result: the promises of the pipeline, on a bucket in memory."""

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from consumer.clock import Watchdog
from consumer.domain import identity
from consumer.domain.completion import Completion
from consumer.domain.errors import Code, HostError, ServiceError, TransientError
from consumer.domain.events import Job
from consumer.domain.result import ResultDocument, Status
from consumer.domain.settle import Outcome
from consumer.service.circuit_breaker import CircuitBreaker
from consumer.service.jobs import JobReport, JobRunner
from consumer.service.publisher import JobResult
from tests.fakes import BUCKET, StoredObject, World, memory_world


class PublisherWorld:
    """A world in memory, and what a test asks of it."""

    def __init__(self, world: World) -> None:
        self.store = world.store
        self.recognizer = world.recognizer
        self.announced: list[Completion] = []
        self._world = world
        breaker = CircuitBreaker([], world.clock)
        self._jobs = JobRunner(world.publisher, world.documents, breaker, self._announce)

    async def _announce(self, completion: Completion) -> None:
        self.announced.append(completion)

    async def process(self, key: str, *, force: bool = False, bucket: str = BUCKET) -> JobResult:
        """Read a source as a job does, and let its errors through."""
        documents = self._world.documents
        return await self._world.publisher.ensure_result(
            Job(bucket, key, force),
            None,
            Watchdog(self._world.clock),
            accepts=lambda head, source: head.is_current(source, documents.engine.fingerprint),
            make=documents.read,
        )

    async def run(self, job: Job) -> JobReport:
        return await self._jobs.run(job, self._world.clock.now(), Watchdog(self._world.clock))

    async def write_exhausted_result(self, key: str, *, force: bool = False) -> str:
        clock = self._world.clock
        job = Job(BUCKET, key, force)
        return await self._jobs.write_exhausted_result(job, clock.now(), "in vain", Watchdog(clock))

    def result(self, key: str) -> ResultDocument:
        return ResultDocument.model_validate_json(self.store.objects[f"{key}.ocr.json"].body)

    def text(self, key: str) -> list[str]:
        return [line.text for line in self.result(key).detections]


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[PublisherWorld]:
    async with memory_world(tmp_path) as world:
        yield PublisherWorld(world)
    assert not list(tmp_path.iterdir()), "files were left behind"


async def test_a_document_gets_one_result_that_says_of_what_it_is(world: PublisherWorld) -> None:
    world.store.upload("a.pdf", b"%PDF-one\ftwo")

    job_result = await world.process("a.pdf")

    assert job_result.reason == "stored"
    assert world.text("a.pdf") == ["one", "two"]
    stored = world.store.objects["a.pdf.ocr.json"]
    assert stored.metadata == {
        "ocr-status": "SUCCESS",
        "ocr-source-etag": world.store.objects["a.pdf"].etag,
        "ocr-fingerprint": "sha256:1",
        "ocr-schema-version": "1.0",
        "ocr-page-count": "2",
    }


async def test_a_finished_document_costs_two_heads_when_it_is_delivered_again(world: PublisherWorld) -> None:
    world.store.upload("a.pdf", b"%PDF-one")
    await world.process("a.pdf")
    world.store.calls.clear()

    job_result = await world.process("a.pdf")

    assert job_result.reason == "already current"
    assert world.store.calls == [("head", "a.pdf"), ("head", "a.pdf.ocr.json")]
    assert world.recognizer.pages_read == 1


async def test_force_reads_a_finished_document_again(world: PublisherWorld) -> None:
    world.store.upload("a.pdf", b"%PDF-one")
    await world.process("a.pdf")

    job_result = await world.process("a.pdf", force=True)

    assert job_result.reason == "stored"
    assert world.recognizer.pages_read == 2


@pytest.mark.parametrize("operation", ["download", "read", "put"])
async def test_a_source_overwritten_in_work_ends_with_the_result_of_the_new_bytes(
    world: PublisherWorld, operation: str
) -> None:
    def overwrite() -> None:
        world.store.upload("a.pdf", b"%PDF-new")

    world.store.upload("a.pdf", b"%PDF-old")
    if operation == "read":
        world.recognizer.breaker.clear()
    else:
        world.store.before[operation] = overwrite

    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        group.create_task(world.process("a.pdf"))
        if operation == "read":
            await world.recognizer.reading.wait()
            overwrite()
            world.recognizer.breaker.set()
    if operation == "put":
        # Nobody can see an overwrite between the last look and the put; the event of the new object comes
        # after it, and its result replaces the older one.
        await world.process("a.pdf")

    assert world.text("a.pdf") == ["new"]
    assert world.result("a.pdf").source.etag == world.store.objects["a.pdf"].etag


async def test_a_source_deleted_in_work_gets_no_result(world: PublisherWorld) -> None:
    world.store.upload("a.pdf", b"%PDF-one")
    world.store.before["download"] = world.store.objects.clear

    job_result = await world.process("a.pdf")

    assert job_result.reason == "source gone"
    assert not world.store.objects


async def test_a_bucket_that_is_not_there_is_no_deleted_source(world: PublisherWorld) -> None:
    with pytest.raises(ServiceError):
        await world.process("a.pdf", bucket="typo")


async def test_a_put_whose_answer_was_lost_counts_as_stored(world: PublisherWorld) -> None:
    world.store.upload("a.pdf", b"%PDF-one")
    world.store.lose_answer_of_put = True

    job_result = await world.process("a.pdf")

    assert job_result.result is not None
    assert world.text("a.pdf") == ["one"]
    assert [call for call, _ in world.store.calls].count("put") == 1


async def test_a_result_of_older_bytes_that_appears_meanwhile_is_replaced(world: PublisherWorld) -> None:
    world.store.upload("a.pdf", b"%PDF-new")
    older = StoredObject(b"{}", {"ocr-source-etag": "older", "ocr-status": "SUCCESS", "ocr-fingerprint": "f"})
    world.store.before["put"] = lambda: world.store.objects.update({"a.pdf.ocr.json": older})

    await world.process("a.pdf")

    assert world.text("a.pdf") == ["new"]


async def test_what_a_client_stored_under_the_name_of_the_result_is_replaced(world: PublisherWorld) -> None:
    world.store.upload("a.pdf", b"%PDF-one")
    world.store.upload("a.pdf.ocr.json", b"not ours")

    await world.process("a.pdf")

    assert world.text("a.pdf") == ["one"]


async def test_the_same_bytes_as_a_new_version_are_named_in_a_new_result(world: PublisherWorld) -> None:
    world.store.upload("a.pdf", b"%PDF-one", version_id="v1")
    await world.process("a.pdf")
    world.store.upload("a.pdf", b"%PDF-one", version_id="v2")

    await world.process("a.pdf")

    assert world.result("a.pdf").source.version_id == "v2"


async def test_an_output_without_a_telling_name_is_known_by_its_metadata(world: PublisherWorld) -> None:
    world.store.objects["scan.ocr.pdf"] = StoredObject(b"%PDF-x", {identity.SOURCE_ETAG: "e"})

    job_result = await world.process("scan.ocr.pdf")

    assert job_result.reason == "own output"
    assert list(world.store.objects) == ["scan.ocr.pdf"]


async def test_a_file_of_another_kind_is_looked_at_and_left_alone(world: PublisherWorld) -> None:
    world.store.upload("notes.txt", b"x" * 5000)

    job_result = await world.process("notes.txt")

    assert job_result.reason == "not a document"
    assert ("download", "notes.txt") not in world.store.calls


@pytest.mark.parametrize(
    ("body", "code", "downloaded"),
    [
        (b"", "EMPTY_FILE", False),
        (b"x" * 1001, "TOO_LARGE", False),
        (b"neither this nor that", "UNSUPPORTED_TYPE", True),
        (b"%PDF-broken", "CORRUPT_DOCUMENT", True),
    ],
)
async def test_what_cannot_be_read_gets_a_failure_with_its_code(
    world: PublisherWorld, body: bytes, code: str, downloaded: bool
) -> None:
    world.store.upload("a.pdf", body)

    await world.process("a.pdf")

    result = world.result("a.pdf")
    assert (result.status, result.detections, result.pages) == (Status.FAILURE, (), ())
    assert result.error is not None
    assert (result.error.code, result.error.retryable) == (code, False)
    assert (("download", "a.pdf") in world.store.calls) is downloaded


async def test_a_source_that_never_stands_still_is_tried_again_later(world: PublisherWorld) -> None:
    versions = iter(range(100))

    def overwrite() -> None:
        world.store.upload("a.pdf", b"%PDF-" + str(next(versions)).encode())
        world.store.before["download"] = overwrite

    overwrite()

    with pytest.raises(TransientError, match="overwritten again and again"):
        await world.process("a.pdf")


async def test_a_failing_service_leaves_no_file_behind(world: PublisherWorld) -> None:
    def fail() -> None:
        raise ServiceError("no")

    world.store.upload("a.pdf", b"%PDF-one")
    world.store.before["put"] = fail

    with pytest.raises(ServiceError):
        await world.process("a.pdf")


async def test_a_document_that_is_given_up_frees_its_room_even_if_a_renderer_has_it_open(
    world: PublisherWorld, tmp_path: Path
) -> None:
    world.store.upload("a.pdf", b"%PDF-a")
    world.recognizer.breaker.clear()
    world.recognizer.failure = HostError("no engine")
    work = asyncio.create_task(world.process("a.pdf"))
    await world.recognizer.reading.wait()
    (source,) = tmp_path.glob("*.source")
    with source.open("rb") as held:
        world.recognizer.breaker.set()
        with pytest.raises(HostError):
            await work
        assert os.fstat(held.fileno()).st_size == 0
    assert list(tmp_path.iterdir()) == []


async def test_giving_up_replaces_no_result_of_the_same_source_by_whatever_engine(
    world: PublisherWorld,
) -> None:
    world.store.upload("a.pdf", b"%PDF-a")
    await world.process("a.pdf")
    stored = world.store.objects["a.pdf.ocr.json"]
    stored.metadata = {**stored.metadata, "ocr-fingerprint": "sha256:older engine"}
    assert await world.write_exhausted_result("a.pdf") == "already current"
    assert world.store.objects["a.pdf.ocr.json"] is stored


async def test_giving_up_replaces_the_result_of_an_older_source(world: PublisherWorld) -> None:
    world.store.upload("a.pdf", b"%PDF-old")
    await world.process("a.pdf")
    world.store.upload("a.pdf", b"%PDF-new")
    assert await world.write_exhausted_result("a.pdf") == "stored"
    assert world.result("a.pdf").source.etag == world.store.objects["a.pdf"].etag
    assert world.store.objects["a.pdf.ocr.json"].metadata["ocr-fingerprint"] == "none"


async def test_a_result_stored_while_we_give_up_stays(world: PublisherWorld) -> None:
    world.store.upload("a.pdf", b"%PDF-a")
    await world.process("a.pdf")
    there = world.store.objects.pop("a.pdf.ocr.json")
    world.store.before["put"] = lambda: world.store.objects.update({"a.pdf.ocr.json": there})
    assert await world.write_exhausted_result("a.pdf") == "stored meanwhile"
    assert world.store.objects["a.pdf.ocr.json"] is there
    # What is announced is what is there, and not what we would have stored.
    assert [(each.result.status, each.result.code) for each in world.announced] == [("SUCCESS", None)]


async def test_whoever_takes_a_source_away_because_its_result_has_come_is_still_told_of_it(
    world: PublisherWorld,
) -> None:
    def take_away() -> None:
        del world.store.objects["a.pdf"]

    def take_away_after_the_put() -> None:
        world.store.before["head"] = take_away

    world.store.upload("a.pdf", b"%PDF-a")
    world.store.before["put"] = take_away_after_the_put
    job_result = await world.process("a.pdf")
    assert "a.pdf" not in world.store.objects
    assert (job_result.reason, job_result.completion is not None) == ("stored", True)


async def test_nothing_is_written_for_what_is_gone_or_no_document(world: PublisherWorld) -> None:
    world.store.upload("notes.txt", b"hello")
    assert await world.write_exhausted_result("notes.txt") == "not a document"
    assert await world.write_exhausted_result("gone.pdf") == "source gone"
    assert set(world.store.objects) == {"notes.txt"}


async def test_a_source_that_goes_back_to_its_former_bytes_while_the_put_is_under_way_gets_their_result(
    world: PublisherWorld,
) -> None:
    world.store.upload("a.pdf", b"%PDF-former")
    await world.process("a.pdf")
    world.store.upload("a.pdf", b"%PDF-passing")

    def go_back() -> None:
        # The event of these finds the former result still in its place, and current.
        world.store.upload("a.pdf", b"%PDF-former")

    world.store.before["put"] = go_back
    await world.process("a.pdf")
    assert world.text("a.pdf") == ["former"]


async def test_a_request_for_a_range_of_pages_is_refused_and_costs_no_reading(world: PublisherWorld) -> None:
    world.store.upload("a.pdf", b"%PDF-one\ftwo")

    report = await world.run(Job(BUCKET, "a.pdf", pages=(2, 2)))

    assert report.outcome is Outcome.DONE
    error = world.result("a.pdf").error
    assert error is not None
    assert (error.code, error.retryable, "without `pages`" in error.message) == (
        Code.INVALID_OPTIONS,
        False,
        True,
    )
    assert world.recognizer.pages_read == 0


async def test_a_refused_request_neither_hides_nor_replaces_the_document(world: PublisherWorld) -> None:
    world.store.upload("a.pdf", b"%PDF-one")
    await world.run(Job(BUCKET, "a.pdf", pages=(1, 1)))

    await world.process("a.pdf")
    assert world.text("a.pdf") == ["one"]

    await world.run(Job(BUCKET, "a.pdf", pages=(1, 1)))
    assert world.text("a.pdf") == ["one"]


async def test_a_forced_request_whose_tries_are_exhausted_keeps_its_good_result(
    world: PublisherWorld,
) -> None:
    world.store.upload("a.pdf", b"%PDF-one")
    await world.process("a.pdf")

    await world.write_exhausted_result("a.pdf", force=True)

    assert world.text("a.pdf") == ["one"]
