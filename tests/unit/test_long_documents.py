"""Long documents: handed out in parts, read by anybody, joined once."""

import asyncio
import gzip
import random
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from consumer.clock import Watchdog
from consumer.domain import parts
from consumer.domain.errors import Code
from consumer.domain.events import Job, PartRange, parse, part_request, request
from consumer.domain.parts import Identity, PageRange, Piece, engine_digest
from consumer.domain.result import Status
from consumer.domain.settle import Outcome
from consumer.metrics import Metrics
from consumer.service.jobs import JobReport
from consumer.service.part_reader import CHECKPOINT_S, PartReader
from consumer.service.part_requests import MOST_PASSES
from tests.fakes import BUCKET, ENGINE
from tests.fakes.cloud import Cloud, Stored
from tests.fakes.network import Fault, Faults, Network
from tests.fakes.service import PART_PAGES, Service
from tests.fakes.virtual_time import running_loop

KEY = "a.pdf"
RESULT = "a.pdf.ocr.json"
COUNT = 25
PARTS = [(1, 10), (11, 20), (21, 25)]


class World:
    """A bucket and a queue, and services that work on them."""

    def __init__(self, folder: Path) -> None:
        self.cloud = Cloud(running_loop().clock, max_receive_count=5)
        self._folder = folder
        self.services: list[Service] = []

    def service(self, fingerprint: str = ENGINE.fingerprint) -> Service:
        folder = self._folder / str(len(self.services))
        folder.mkdir()
        engine = ENGINE.model_copy(update={"fingerprint": fingerprint})
        self.services.append(
            Service(Network(self.cloud, Faults()), folder, Metrics(), engine=engine, max_file_bytes=100_000)
        )
        return self.services[-1]


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    world = World(tmp_path)
    yield world
    assert not world.cloud.journal.violations


@pytest.fixture
async def service(world: World) -> AsyncIterator[Service]:
    service = world.service()
    async with service.scheduler.running():
        yield service


def texts(name: str = "p", count: int = COUNT, seconds: float = 0.1) -> list[str]:
    return [f"{name}{number} {seconds:g}" for number in range(1, count + 1)]


def upload(service: Service, name: str = "p", count: int = COUNT, seconds: float = 0.1) -> Stored:
    return service.s3.upload(KEY, b"%PDF-" + "\f".join(texts(name, count, seconds)).encode())


def pieces(service: Service) -> list[str]:
    """Names of the stored pieces, without their identity."""
    folder = parts.folder(KEY)
    return [key.rpartition("/")[2] for key in sorted(service.s3.objects) if key.startswith(folder)]


def asked_for(service: Service) -> list[tuple[int, int]]:
    """Ranges of pages that messages ask for which nobody has received."""
    found = [job.part for message in service.sqs.waiting() for job in parse(message.body).jobs]
    return [(part.first, part.last) for part in found if part is not None]


def waiting_jobs(service: Service) -> list[Job]:
    """Jobs of the messages that nobody has received."""
    return [job for message in service.sqs.waiting() for job in parse(message.body).jobs]


async def run(service: Service, pages: tuple[int, int] | None = None, *, force: bool = False) -> JobReport:
    """Run a job, for some pages or the whole; of the source as it is now."""
    part = None if pages is None else part_of(service, pages)
    if force:
        service.s3.allow_replacing(KEY)
    return await run_job(service, Job(BUCKET, KEY, force, part))


def part_of(service: Service, pages: tuple[int, int]) -> PartRange:
    """Some pages of the source as it is now."""
    stored = service.s3.objects[KEY]
    count = stored.body.count(b"\f") + 1
    return PartRange(*pages, page_count=count, etag=stored.etag, version_id=stored.version_id)


async def run_job(service: Service, job: Job) -> JobReport:
    return await service.jobs.run(job, service.clock.now(), Watchdog(service.clock))


async def give_up(service: Service, pages: tuple[int, int]) -> str:
    part = PartRange(*pages, page_count=COUNT, etag=service.s3.objects[KEY].etag)
    job = Job(BUCKET, KEY, part=part)
    return await service.jobs.write_exhausted_result(job, service.clock.now(), "why", Watchdog(service.clock))


async def until(holds: Callable[[], bool]) -> None:
    """Let time pass until something holds."""
    async with asyncio.timeout(3600):
        while not holds():
            await asyncio.sleep(0.01)


def reasons(reports: Sequence[JobReport]) -> list[str]:
    assert {report.outcome for report in reports} == {Outcome.DONE}, reports
    return [report.log_fields["job_result"] for report in reports]


def count(service: Service, operation: str) -> int:
    return [name for name, _ in service.calls].count(operation)


async def test_a_long_document_is_handed_out_in_parts_of_this_very_object(service: Service) -> None:
    source = upload(service)

    assert reasons([await run(service)]) == ["handed out"]

    assert asked_for(service) == PARTS
    (job,) = parse(service.sqs.messages[0].body).jobs
    engine = engine_digest(ENGINE.fingerprint)
    now = service.clock.now()
    part = PartRange(1, 10, COUNT, source.etag, engine=engine, queued_at=now, started_at=now)
    assert job == Job(BUCKET, KEY, part=part)
    assert not service.recognizer.pages_read
    assert set(service.s3.objects) == {KEY}


async def test_the_parts_of_a_very_long_document_become_visible_bit_by_bit(service: Service) -> None:
    upload(service, count=PART_PAGES * 12)
    began_s = service.clock.seconds
    await run(service)
    assert len(asked_for(service)) == 12
    delays = [round(message.visible_at - began_s) for message in service.sqs.waiting()]
    assert delays == [0] * 10 + [1] * 2


async def test_the_parts_become_one_result_and_leave_nothing_behind(service: Service) -> None:
    source = upload(service)
    await run(service)

    reports = [await run(service, pages) for pages in (PARTS[2], PARTS[0], PARTS[1])]

    assert reasons(reports) == ["part stored", "part stored", "stored"]
    result = service.result(KEY)
    assert (result.status, result.page_count, result.source.etag) == (Status.SUCCESS, COUNT, source.etag)
    assert [page.page_number for page in result.pages] == [*range(1, COUNT + 1)]
    assert service.texts(KEY) == texts()
    assert set(service.s3.objects) == {KEY, RESULT}
    assert service.recognizer.pages_read == COUNT
    # One consumer downloads it once, whatever it reads of it.
    assert count(service, "download") == 1


async def test_pieces_are_outputs_of_our_own_that_the_bucket_may_expire(service: Service) -> None:
    source = upload(service)
    await run(service, PARTS[0])
    (piece,) = (stored for key, stored in service.s3.objects.items() if ".ocr/parts/" in key)
    assert piece.metadata == {"ocr-source-etag": source.etag}
    assert piece.tags == {"bucket-ocr": "part"}


@pytest.mark.parametrize("count", [1, PART_PAGES])
async def test_an_ordinary_document_is_read_without_a_listing(service: Service, count: int) -> None:
    upload(service, count=count)
    assert reasons([await run(service)]) == ["stored"]
    assert not {"list", "put_new", "send"} & {name for name, _ in service.calls}


async def test_what_is_delivered_twice_is_read_once(service: Service) -> None:
    upload(service)
    await run(service)
    await run(service, PARTS[0])
    await run(service, PARTS[0])
    assert service.recognizer.pages_read == 10

    service.sqs.messages.clear()
    await run(service)
    assert asked_for(service) == PARTS[1:]

    for pages in (PARTS[1], PARTS[2], PARTS[2], PARTS[0]):
        await run(service, pages)
    await run(service)
    assert service.recognizer.pages_read == COUNT
    assert set(service.s3.objects) == {KEY, RESULT}


async def test_a_document_whose_pages_are_all_stored_is_joined_by_whoever_comes(service: Service) -> None:
    upload(service)
    for pages in PARTS[:2]:
        await run(service, pages)
    service.faults.add("put", Fault.FAILS)
    assert (await run(service, PARTS[2])).outcome is Outcome.TRANSIENT

    assert reasons([await run(service)]) == ["stored"]
    assert service.texts(KEY) == texts()
    assert set(service.s3.objects) == {KEY, RESULT}
    assert service.recognizer.pages_read == COUNT


async def test_two_that_join_at_once_leave_one_result_and_nothing_else(service: Service) -> None:
    upload(service)
    for pages in PARTS[:2]:
        await run(service, pages)

    reports = await asyncio.gather(run(service, PARTS[2]), run(service, PARTS[2]))

    assert sorted(reasons(reports)) == ["stored", "stored meanwhile"]
    assert service.texts(KEY) == texts()
    assert set(service.s3.objects) == {KEY, RESULT}


async def test_a_joiner_that_comes_too_late_for_a_piece_finds_the_result(service: Service) -> None:
    upload(service)
    for pages in PARTS:
        await run(service, pages)
    result = service.s3.objects.pop(RESULT)
    for pages in PARTS[:2]:
        await run(service, pages)

    def another_joins() -> None:
        for key in [key for key in service.s3.objects if ".ocr/parts/" in key]:
            del service.s3.objects[key]
        service.s3.objects[RESULT] = result

    service.faults.add("read_object", another_joins)
    assert reasons([await run(service, PARTS[2])]) == ["joined meanwhile"]
    assert service.s3.objects[RESULT] is result
    assert set(service.s3.objects) == {KEY, RESULT}
    assert not asked_for(service)


async def test_a_part_whose_pieces_are_joined_before_they_are_listed_is_not_read_again(
    service: Service,
) -> None:
    upload(service)
    for pages in PARTS:
        await run(service, pages)
    result = service.s3.objects.pop(RESULT)

    def another_joins() -> None:
        service.s3.objects[RESULT] = result

    service.faults.add("list", another_joins)
    assert reasons([await run(service, PARTS[0])]) == ["joined meanwhile"]
    assert service.recognizer.pages_read == COUNT
    assert set(service.s3.objects) == {KEY, RESULT}


@pytest.mark.parametrize("lost", ["gone", "torn", "foreign", "bloated"])
async def test_a_piece_that_is_lost_is_read_again(service: Service, lost: str) -> None:
    upload(service)
    for pages in PARTS[:2]:
        await run(service, pages)
    name = next(key for key in service.s3.objects if key.endswith("/1-10.json.gz"))
    stored = service.s3.objects[name]

    def lose() -> None:
        if lost == "gone":
            del service.s3.objects[name]
        else:
            bodies = {
                "torn": stored.body[:-20],
                "foreign": b"foreign",
                "bloated": gzip.compress(b"\n" * 100_000),
            }
            body = bodies[lost]
            service.s3.objects[name] = replace(stored, body=body)

    service.faults.add("read_object", lose)
    assert reasons([await run(service, PARTS[2])]) == ["handed out"]
    assert asked_for(service) == [PARTS[0]]
    assert reasons([await run(service, PARTS[0])]) == ["stored"]
    assert service.texts(KEY) == texts()
    assert set(service.s3.objects) == {KEY, RESULT}


async def test_a_result_whose_pieces_cannot_be_removed_is_announced(service: Service) -> None:
    upload(service)
    for pages in PARTS[:-1]:
        await run(service, pages)
    service.faults.add("delete_objects", Fault.FAILS)
    report = await run(service, PARTS[-1])
    assert (report.outcome, reasons([report])) == (Outcome.DONE, ["stored"])
    assert len(service.cloud.announced) == 1


async def test_a_killed_consumer_loses_only_the_pages_since_it_stored_some(
    world: World, service: Service
) -> None:
    upload(service, seconds=1)
    dead = world.service()
    async with dead.scheduler.running():
        work = asyncio.create_task(run(dead, PARTS[0]))
        await asyncio.sleep(CHECKPOINT_S + 2.5)
        # Nothing of it has any effect from now on.
        dead._network.process.alive = False
        work.cancel()
        with pytest.raises(asyncio.CancelledError):
            await work
    stored = pieces(service)
    assert stored == ["1-3.json.gz"]

    await run(service, PARTS[0])
    assert service.recognizer.pages_read == 7
    for pages in PARTS[1:]:
        await run(service, pages)
    assert service.texts(KEY) == texts(seconds=1)
    assert set(service.s3.objects) == {KEY, RESULT}


@pytest.mark.parametrize(
    ("age_s", "stored"), [(0, ["1-1", "10-10", "2-3", "4-5", "6-7", "8-9"]), (60, ["1-5", "6-10"])]
)
async def test_a_consumer_stores_pages_the_more_often_the_younger_it_is(
    service: Service, age_s: float, stored: list[str]
) -> None:
    upload(service, seconds=0.5)
    part_reader = PartReader(service.documents, service.clock, service.clock.monotonic() - age_s)
    service.jobs = replace(service.jobs, part_reader=part_reader)
    await run(service, PARTS[0])
    assert pieces(service) == [f"{pages}.json.gz" for pages in stored]


async def test_pages_that_come_while_others_are_stored_are_stored_too(service: Service) -> None:
    upload(service, seconds=1)
    work = asyncio.create_task(run(service, PARTS[0]))
    await asyncio.sleep(4)
    # The checkpoint's look at the source takes longer than the rest of the part.
    service.faults.add("head", Fault.SLOW)
    await work
    assert pieces(service) == ["1-3.json.gz", "4-10.json.gz"]


async def test_a_part_whose_pages_are_gone_is_not_done(service: Service) -> None:
    upload(service)

    def lose() -> None:
        for key in [key for key in service.s3.objects if ".ocr/parts/" in key]:
            del service.s3.objects[key]

    # After the listing at the start of the part.
    service.faults.add("list", lambda: None)
    service.faults.add("list", lose)
    assert (await run(service, PARTS[0])).outcome is Outcome.TRANSIENT
    assert reasons([await run(service, PARTS[0])]) == ["part stored"]


async def test_a_part_that_is_stopped_keeps_all_that_was_read(service: Service) -> None:
    upload(service, seconds=1)
    work = asyncio.create_task(run(service, PARTS[0]))
    await asyncio.sleep(8.5)
    work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await work
    assert pieces(service) == ["1-3.json.gz", "4-7.json.gz"]
    await run(service, PARTS[0])
    # The batch that was being read is read again.
    assert service.recognizer.pages_read == 10 + 2


async def test_a_part_that_is_stopped_while_it_stores_pages_keeps_them(service: Service) -> None:
    upload(service, seconds=1)
    service.faults.add("put_new", Fault.SLOW)
    work = asyncio.create_task(run(service, PARTS[0]))
    await asyncio.sleep(8.5)
    work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await work
    assert pieces(service) == ["1-3.json.gz", "4-7.json.gz"]


async def test_an_ordinary_document_that_is_stopped_goes_on_at_its_page(service: Service) -> None:
    upload(service, count=8, seconds=1)
    work = asyncio.create_task(run(service))
    await asyncio.sleep(4.5)
    work.cancel()
    report = await work
    assert report.outcome is Outcome.RELEASED
    assert pieces(service) == ["1-3.json.gz"]
    (body,) = report.continuation
    (job,) = parse(body).jobs
    assert job.part is not None
    assert (job.part.pages, job.part.page_count) == (PageRange(4, 8), 8)

    assert reasons([await run_job(service, job)]) == ["stored"]
    assert service.texts(KEY) == texts(count=8, seconds=1)
    assert service.recognizer.pages_read == 8 + 2
    assert set(service.s3.objects) == {KEY, RESULT}


async def test_a_result_tells_when_its_document_came_and_not_when_its_last_part_did(service: Service) -> None:
    upload(service, seconds=3)
    service.sqs.send(request(BUCKET, KEY), [KEY])
    came_at = service.clock.now()
    await asyncio.sleep(1)
    async with consuming(service):
        while RESULT not in service.s3.objects:
            await asyncio.sleep(1)
    timing = service.result(KEY).timing
    assert timing.queued_at == came_at
    assert (timing.started_at - came_at).total_seconds() == 1
    assert (timing.finished_at - came_at).total_seconds() > COUNT


async def test_an_ordinary_document_whose_pages_cannot_be_stored_is_released_as_it_was(
    service: Service,
) -> None:
    upload(service, count=8, seconds=1)
    work = asyncio.create_task(run(service))
    await asyncio.sleep(4.5)
    service.faults.add("put_new", Fault.FAILS)
    work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await work


async def test_a_source_deleted_meanwhile_ends_the_reading_and_leaves_nothing(service: Service) -> None:
    upload(service, seconds=4)
    await run(service, PARTS[1])
    work = asyncio.create_task(run(service, PARTS[0]))
    await asyncio.sleep(9)
    service.s3.delete(KEY)
    deleted_at = service.clock.seconds

    assert reasons([await work]) == ["source gone"]

    assert service.clock.seconds - deleted_at <= CHECKPOINT_S
    assert not service.s3.objects


async def test_a_source_overwritten_meanwhile_is_left_to_its_own_message(service: Service) -> None:
    upload(service, seconds=4)
    await run(service, PARTS[1])
    work = asyncio.create_task(run(service, PARTS[0]))
    await asyncio.sleep(9)
    upload(service, "new", 12)
    overwritten_at = service.clock.seconds

    assert reasons([await work]) == ["superseded"]

    assert service.clock.seconds - overwritten_at <= CHECKPOINT_S
    assert set(service.s3.objects) == {KEY}
    await run(service)
    for pages in ((1, 10), (11, 12)):
        await run(service, pages)
    assert service.texts(KEY) == texts("new", 12)
    assert set(service.s3.objects) == {KEY, RESULT}


async def test_the_pieces_of_a_newer_source_are_kept(service: Service) -> None:
    old = upload(service)
    await run(service, PARTS[0])
    upload(service, "new")
    await run(service, PARTS[0])
    late = Job(BUCKET, KEY, part=PartRange(*PARTS[1], page_count=COUNT, etag=old.etag))
    assert reasons([await run_job(service, late)]) == ["superseded"]
    assert pieces(service) == ["1-10.json.gz"]
    assert service.recognizer.pages_read == 20


async def test_a_source_that_goes_back_while_its_pieces_are_removed_is_asked_for_again(
    service: Service,
) -> None:
    old = upload(service)
    await run(service, PARTS[0])
    upload(service, "new")
    service.faults.add("delete_objects", lambda: upload(service))
    late = Job(BUCKET, KEY, part=PartRange(*PARTS[1], page_count=COUNT, etag=old.etag))
    assert reasons([await run_job(service, late)]) == ["superseded"]
    assert not pieces(service)
    assert [parse(message.body).jobs for message in service.sqs.messages] == [(Job(BUCKET, KEY),)]


async def test_a_part_that_fails_for_good_ends_the_document_partial_and_can_be_redriven(
    service: Service,
) -> None:
    upload(service)
    await run(service, PARTS[0])
    await run(service, (11, 13))
    assert await give_up(service, PARTS[1]) == "part stored"

    assert reasons([await run(service, PARTS[2])]) == ["stored"]

    result = service.result(KEY)
    assert result.status is Status.PARTIAL
    failed = [page.page_number for page in result.pages if page.status is Status.FAILURE]
    assert failed == [*range(14, 21)]
    assert {(warning.code, warning.message) for warning in result.warnings} == {
        (Code.RETRIES_EXHAUSTED, "pages 11 to 20 were why")
    }
    assert service.s3.objects[RESULT].metadata["ocr-fingerprint"] == "none"
    # What was read is kept for the next try.
    assert pieces(service) == ["1-10.json.gz", "11-13.json.gz", "21-25.json.gz"]

    assert reasons([await run(service, PARTS[1])]) == ["stored"]
    assert service.texts(KEY) == texts()
    assert service.result(KEY).status is Status.SUCCESS
    assert set(service.s3.objects) == {KEY, RESULT}
    assert service.recognizer.pages_read == COUNT


async def test_a_part_that_was_given_up_is_read_if_it_is_asked_for_again(service: Service) -> None:
    upload(service)
    await give_up(service, PARTS[1])
    for pages in PARTS:
        await run(service, pages)
    assert service.result(KEY).status is Status.SUCCESS
    assert set(service.s3.objects) == {KEY, RESULT}


async def test_a_part_is_given_up_only_if_the_source_has_no_result(service: Service) -> None:
    upload(service)
    for pages in PARTS:
        await run(service, pages)
    before = service.s3.objects[RESULT]
    service.s3.objects[RESULT] = replace(before, metadata={**before.metadata, "ocr-fingerprint": "sha256:0"})
    assert await give_up(service, PARTS[1]) == "not stored: the source has a result"
    assert service.s3.objects[RESULT].body == before.body


async def test_the_last_part_to_be_given_up_joins(service: Service) -> None:
    upload(service)
    for pages in PARTS[:2]:
        await run(service, pages)
    assert await give_up(service, PARTS[2]) == "stored"
    assert service.result(KEY).status is Status.PARTIAL


async def test_pages_of_two_engines_are_never_mixed_and_none_is_forgotten(
    world: World, service: Service
) -> None:
    newer = world.service("sha256:2")
    upload(service)
    await run(service)
    await run(service, PARTS[0])
    service.sqs.messages.clear()
    async with newer.scheduler.running():
        assert reasons([await run(newer, PARTS[1])]) == ["part stored"]
        assert reasons([await run(newer, PARTS[2])]) == ["handed out again"]
        assert asked_for(newer) == [PARTS[0]]
        assert pieces(newer) == ["11-20.json.gz", "21-25.json.gz"]
        assert reasons([await run(newer, PARTS[0])]) == ["stored"]
    assert newer.recognizer.pages_read == COUNT
    assert newer.result(KEY).engine.fingerprint == "sha256:2"
    assert newer.texts(KEY) == texts()
    assert set(newer.s3.objects) == {KEY, RESULT}


async def test_pages_that_fail_inside_parts_are_failed_pages_of_the_whole(service: Service) -> None:
    pages = texts()
    pages[3], pages[15] = "torn", "hung"
    service.s3.upload(KEY, b"%PDF-" + "\f".join(pages).encode())
    for part in PARTS:
        await run(service, part)
    # The journal compares a result with all of its source's texts.
    service.cloud.journal.violations.clear()
    result = service.result(KEY)
    assert result.status is Status.PARTIAL
    assert [(warning.page_number, warning.code) for warning in result.warnings] == [
        (4, Code.PAGE_UNREADABLE),
        (16, Code.ENGINE_TIMEOUT),
    ]
    assert service.s3.objects[RESULT].metadata["ocr-fingerprint"] == ENGINE.fingerprint


@pytest.mark.parametrize("counted", [COUNT - 2, COUNT + 2, COUNT + 40])
async def test_a_document_that_another_release_counts_otherwise_is_read_as_it_is_here(
    service: Service, counted: int
) -> None:
    source = upload(service)
    for pages in parts.ranges(counted, PART_PAGES):
        part = PartRange(pages.first, pages.last, counted, source.etag)
        # Those that have counted so are gone.
        while (report := await run_job(service, Job(BUCKET, KEY, part=part))).outcome is Outcome.PASSED_ON:
            (body,) = report.continuation
            (job,) = parse(body).jobs
            assert job.part == replace(part, passed=part.passed + 1)
            part = job.part
        assert part.passed == MOST_PASSES or service.s3.objects.get(RESULT)
    assert service.texts(KEY) == texts()
    assert service.recognizer.pages_read == COUNT
    assert not asked_for(service)


async def test_a_broken_document_fails_as_a_whole_whoever_asks(service: Service) -> None:
    source = service.s3.upload(KEY, b"%PDF-broken")
    job = Job(BUCKET, KEY, part=PartRange(1, 10, COUNT, source.etag))
    assert reasons([await run_job(service, job)]) == ["stored"]
    error = service.result(KEY).error
    assert error is not None
    assert error.code is Code.CORRUPT_DOCUMENT


async def received(service: Service) -> list[JobReport]:
    """Run the jobs of all messages that are waiting, each once."""
    bodies = [message.body for message in service.sqs.waiting()]
    service.sqs.messages.clear()
    return [await run_job(service, job) for body in bodies for job in parse(body).jobs]


async def read_in_parts(service: Service) -> str:
    """Read a document to its end; returns the ETag of its result."""
    await run(service)
    await received(service)
    return service.s3.objects[RESULT].etag


async def test_a_forced_document_is_read_again_in_parts_and_keeps_its_result_until_then(
    service: Service,
) -> None:
    upload(service)
    before = await read_in_parts(service)
    service.clock.seconds += 1

    assert reasons([await run(service, force=True)]) == ["handed out"]
    assert asked_for(service) == PARTS
    assert reasons(await received(service)) == ["part stored", "part stored", "stored"]

    assert service.recognizer.pages_read == 2 * COUNT
    assert service.s3.objects[RESULT].etag != before
    assert service.texts(KEY) == texts()
    assert set(service.s3.objects) == {KEY, RESULT}
    # What is delivered again finds the new result.
    assert reasons([await run(service, PARTS[0])]) == ["already current"]


async def test_a_forced_document_that_is_stopped_goes_on_at_its_page(service: Service) -> None:
    upload(service, count=8, seconds=1)
    await run(service)
    work = asyncio.create_task(run(service, force=True))
    await asyncio.sleep(4.5)
    work.cancel()
    report = await work
    assert report.outcome is Outcome.RELEASED
    (job,) = parse(report.continuation[0]).jobs
    assert reasons([await run_job(service, job)]) == ["stored"]
    assert service.recognizer.pages_read == 8 + 8 + 2
    assert set(service.s3.objects) == {KEY, RESULT}


async def test_a_forced_part_that_fails_for_good_leaves_the_result_that_is_there(service: Service) -> None:
    upload(service)
    before = await read_in_parts(service)
    await run(service, force=True)
    jobs = waiting_jobs(service)
    for job in jobs[:2]:
        await run_job(service, job)
    now, watchdog = service.clock.now(), Watchdog(service.clock)
    done = await service.jobs.write_exhausted_result(jobs[2], now, "why", watchdog)
    assert done == "not stored: the source has a result"
    assert service.s3.objects[RESULT].etag == before
    # A redrive costs that part.
    assert pieces(service) == ["1-10.json.gz", "11-20.json.gz"]
    assert reasons([await run_job(service, jobs[2])]) == ["stored"]
    assert service.recognizer.pages_read == 2 * COUNT


@asynccontextmanager
async def consuming(service: Service) -> AsyncIterator[None]:
    """A consumer at work, as long as the context lasts."""
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(service.worker(slots=8).run(stop))
        try:
            yield
        finally:
            stop.set()


async def test_a_part_that_comes_again_is_asked_for_anew_without_the_pages_that_are_stored(
    service: Service,
) -> None:
    """So a machine that was lost uses up no receive of it; one that has stored nothing does."""
    upload(service)
    await run(service, (1, 4))
    for pages in PARTS:
        part = replace(part_of(service, pages), passed=3)
        service.sqs.send(part_request(BUCKET, KEY, part), [KEY])
    # Received by a consumer that is killed then.
    for _ in PARTS:
        assert service.sqs.receive("killed", 1) is not None
    await asyncio.sleep(2)
    async with consuming(service):
        while RESULT not in service.s3.objects:
            await asyncio.sleep(1)
    sent = {parse(message.body).jobs[0].part for message in service.sqs.sent_again()}
    assert sent == {replace(part_of(service, (5, 10)), passed=3)}
    assert service.recognizer.pages_read == COUNT


async def test_a_document_on_which_page_after_page_hangs_costs_no_time_out_for_each_part(
    service: Service,
) -> None:
    service.s3.upload(KEY, b"%PDF-" + "\f".join(["hung"] * 100).encode())
    await run(service)
    began_at, read = [], []
    for message in service.sqs.waiting():
        began_at.append(service.recognizer.pages_read)
        (job,) = parse(message.body).jobs
        await run_job(service, job)
        read.append(service.recognizer.pages_read)
    service.cloud.journal.violations.clear()
    # Of the three parts that are tried, a batch or two; then nothing.
    assert 0 < read[0] < read[1] < read[2] == read[-1] <= 3 * 5
    result = service.result(KEY)
    assert result.status is Status.FAILURE
    assert result.page_count == 100
    assert "in 3 parts in a row" in result.warnings[-1].message


async def test_pages_that_hang_far_apart_cost_themselves(service: Service) -> None:
    pages = texts(count=100)
    for first in (0, 30, 60, 90):
        pages[first : first + 3] = ["hung"] * 3
    service.s3.upload(KEY, b"%PDF-" + "\f".join(pages).encode())
    await run(service)
    await received(service)
    service.cloud.journal.violations.clear()
    # Of those four parts the rest is not tried, and of no other.
    assert len(service.texts(KEY)) >= 60


async def test_a_document_that_was_hopeless_is_tried_again_an_hour_later(service: Service) -> None:
    service.s3.upload(KEY, b"%PDF-" + "\f".join(["hung"] * 100).encode())
    await run(service)
    await received(service)
    read = service.recognizer.pages_read
    service.s3.delete(RESULT)
    await asyncio.sleep(3600)
    await run(service)
    await received(service)
    assert service.recognizer.pages_read == 2 * read
    service.cloud.journal.violations.clear()


class Fleet:
    """Consumers with two engines that share a queue; who receives a message is chance."""

    def __init__(self, services: Sequence[Service], seed: int) -> None:
        self.services = services
        self._rng = random.Random(seed)
        self.received = 0

    async def consume(self, share: float, *, leaves_after: int = 10**6, killed: float = 0.0) -> None:
        """Handle all messages.

        `share` of the receives are those of the first engine, and none when so many pages are read. This
        share of the parts of the second engine is `killed`, and comes again.
        """
        sqs = self.services[0].sqs
        while sqs.messages:
            message = sqs.messages.pop(self._rng.randrange(len(sqs.messages)))
            is_first = self._rng.random() < share and self.pages_read < leaves_after
            self.received += 1
            assert self.received < 5000
            for job in parse(message.body).jobs:
                if not is_first and self._rng.random() < killed:
                    await self._kill(job)
                report = await self._run(self.services[0 if is_first else 1], job)
                await self.services[0].requests.queue.send(report.continuation)

    async def _kill(self, job: Job) -> None:
        """Store a page of a part, as a consumer has done that is killed then."""
        part = job.part
        if part is not None and part.passed >= MOST_PASSES and part.first < part.last:
            await self._run(self.services[1], replace(job, part=replace(part, last=part.first)))

    async def _run(self, service: Service, job: Job) -> JobReport:
        now, watchdog = service.clock.now(), Watchdog(service.clock)
        report = await service.jobs.run(job, now, watchdog, is_again=True)
        assert report.outcome in {Outcome.DONE, Outcome.PASSED_ON, Outcome.RENEWED}, report
        return report

    @property
    def pages_read(self) -> int:
        return sum(service.recognizer.pages_read for service in self.services)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(("share", "most"), [(0.5, 1.2), (0.9, 1.3), (0.03, 3.0), (0.0, 1.0)])
async def test_two_engines_on_one_queue_read_a_document_about_once(
    world: World, service: Service, seed: int, share: float, most: float
) -> None:
    newer = world.service("sha256:2")
    count = 40 * PART_PAGES
    upload(service, count=count, seconds=0.001)
    fleet = Fleet([service, newer], seed)
    async with newer.scheduler.running():
        await run(service)
        await fleet.consume(share)
    assert service.texts(KEY) == texts(count=count, seconds=0.001)
    assert set(service.s3.objects) == {KEY, RESULT}
    assert fleet.pages_read <= most * count


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("left_at", [0.1, 0.6, 0.95])
@pytest.mark.parametrize("killed", [0.0, 0.3])
async def test_a_release_that_is_rolled_out_in_the_middle_costs_the_pages_that_the_former_one_has_read(
    world: World, service: Service, seed: int, left_at: float, killed: float
) -> None:
    newer = world.service("sha256:2")
    count = 40 * PART_PAGES
    upload(service, count=count, seconds=0.001)
    fleet = Fleet([service, newer], seed)
    async with newer.scheduler.running():
        await run(service)
        await fleet.consume(0.5, leaves_after=round(left_at * count), killed=killed)
    assert service.result(KEY).engine.fingerprint == "sha256:2"
    assert service.texts(KEY) == texts(count=count, seconds=0.001)
    assert fleet.pages_read <= (1.1 + left_at) * count


async def test_a_consumer_with_another_engine_removes_no_pieces_of_a_document_in_work(
    world: World, service: Service
) -> None:
    """It has the current result of its own engine, which says nothing about the other."""
    newer = world.service("sha256:2")
    upload(service)
    await read_in_parts(service)
    async with newer.scheduler.running():
        await run(newer)
        jobs = waiting_jobs(newer)
        await run_job(newer, jobs[0])
        report = await run_job(service, jobs[1])
        assert report.outcome is Outcome.PASSED_ON
        assert reasons([await run(service, PARTS[0])]) == ["already current"]
        assert pieces(service) == ["1-10.json.gz"]


async def test_a_part_for_an_engine_that_is_gone_is_done_if_that_has_made_its_result(
    world: World, service: Service
) -> None:
    newer = world.service("sha256:2")
    upload(service)
    await read_in_parts(service)
    part = replace(part_of(service, PARTS[0]), engine=engine_digest(ENGINE.fingerprint), passed=MOST_PASSES)
    async with newer.scheduler.running():
        assert reasons([await run_job(newer, Job(BUCKET, KEY, part=part))]) == ["already current"]
    assert not newer.recognizer.pages_read
    assert set(service.s3.objects) == {KEY, RESULT}


async def test_a_forced_document_gets_its_result_though_a_client_deletes_the_old_one(
    service: Service,
) -> None:
    upload(service)
    await read_in_parts(service)
    await run(service, force=True)
    jobs = waiting_jobs(service)
    await run_job(service, jobs[0])
    service.s3.delete(RESULT)
    await run_job(service, jobs[1])
    await run_job(service, jobs[2])
    assert service.texts(KEY) == texts()
    assert service.recognizer.pages_read == 2 * COUNT
    assert set(service.s3.objects) == {KEY, RESULT}


async def test_a_forced_part_that_fails_for_good_ends_the_document_partial_if_a_client_deletes_the_old_result(
    service: Service,
) -> None:
    upload(service)
    await read_in_parts(service)
    await run(service, force=True)
    jobs = waiting_jobs(service)
    for job in jobs[:2]:
        await run_job(service, job)
    service.s3.delete(RESULT)
    now, watchdog = service.clock.now(), Watchdog(service.clock)
    assert await service.jobs.write_exhausted_result(jobs[2], now, "why", watchdog) == "stored"
    assert service.result(KEY).status is Status.PARTIAL
    # A redrive costs that part.
    assert reasons([await run_job(service, jobs[2])]) == ["stored"]
    assert service.texts(KEY) == texts()
    assert service.recognizer.pages_read == 2 * COUNT
    assert set(service.s3.objects) == {KEY, RESULT}


async def test_a_part_that_fails_for_good_ends_the_document_partial_also_after_an_outage(
    service: Service,
) -> None:
    upload(service)
    now, watchdog = service.clock.now(), Watchdog(service.clock)
    await service.jobs.write_exhausted_result(Job(BUCKET, KEY), now, "outage", watchdog)
    assert service.result(KEY).status is Status.FAILURE
    # A redrive of the document, and later of the part that has failed again.
    for part in PARTS[:2]:
        await run(service, part)
    for _ in range(2):
        assert await give_up(service, PARTS[2]) == "stored"
        assert service.result(KEY).status is Status.PARTIAL
        assert pieces(service) == ["1-10.json.gz", "11-20.json.gz"]
    await run(service, PARTS[2])
    assert service.result(KEY).status is Status.SUCCESS
    assert set(service.s3.objects) == {KEY, RESULT}


async def test_pieces_and_parts_of_documents_that_are_too_long_were_made_up(service: Service) -> None:
    source = upload(service)
    await run(service, PARTS[0])
    forged = Identity.of(source.etag, source.version_id, ENGINE.fingerprint, 900_000)
    service.s3.upload(Piece.named(KEY, forged, PageRange(1, 900_000)).key, b"forged")
    part = PartRange(1, 900_000, 900_000, source.etag)
    assert reasons([await run_job(service, Job(BUCKET, KEY, part=part))]) == ["no such pages"]
    for pages in PARTS[1:]:
        await run(service, pages)
    assert service.texts(KEY) == texts()
    assert not asked_for(service)


def hold_removals(service: Service, until: asyncio.Event, patch: pytest.MonkeyPatch) -> None:
    """Let the service remove no piece before an event."""
    store = service.documents.parts.pieces.store
    remove = store.delete

    async def late(bucket: str, keys: Sequence[str]) -> None:
        await until.wait()
        await remove(bucket, keys)

    patch.setattr(store, "delete", late)


@pytest.mark.parametrize("both_wait", [False, True])
async def test_two_that_settle_on_different_engines_forget_no_page(
    world: World, service: Service, monkeypatch: pytest.MonkeyPatch, *, both_wait: bool
) -> None:
    newer = world.service("sha256:2")
    upload(service)
    async with newer.scheduler.running():
        for pages in PARTS[:2]:
            await run(service, pages)
        # Both have the second part: neither asks for it.
        await run(newer, PARTS[1])
        can_remove = asyncio.Event()
        for each in (newer, service) if both_wait else (newer,):
            hold_removals(each, can_remove, monkeypatch)
        # One settles on its own engine, and is held up before it removes the pieces of the other.
        stray = replace(part_of(service, PARTS[2]), passed=MOST_PASSES)
        settling = [asyncio.create_task(run_job(newer, Job(BUCKET, KEY, part=stray)))]
        await until(lambda: asked_for(newer) == [PARTS[0]])
        # So the other finds them all, and settles on its own, of which there are more.
        settling.append(asyncio.create_task(run(service, PARTS[1])))
        await until(lambda: asked_for(service) == [PARTS[0], PARTS[2]])
        assert both_wait or reasons([await settling[1]]) == ["handed out again"]
        can_remove.set()
        assert reasons(await asyncio.gather(*settling)) == ["handed out again"] * 2
        await Fleet([service, newer], 1).consume(0.5)
    assert service.texts(KEY) == texts()
    # Pieces of the engine that has lost may stay, for the lifecycle rule.
    folder, whose = parts.folder(KEY), engine_digest(service.result(KEY).engine.fingerprint)
    left = [Piece.parse(KEY, key) for key in service.s3.objects if key.startswith(folder)]
    assert all(piece and piece.identity.engine != whose for piece in left)


async def test_those_that_share_a_document_settle_on_the_engine_that_has_read_more(
    world: World, service: Service
) -> None:
    newer = world.service("sha256:2")
    upload(service)
    async with newer.scheduler.running():
        for pages in PARTS[:2]:
            await run(service, pages)
        assert reasons([await run(newer, PARTS[2])]) == ["handed out again"]
    assert asked_for(service) == [PARTS[2]]
    assert pieces(service) == ["1-10.json.gz", "11-20.json.gz"]
    assert reasons(await received(service)) == ["stored"]
    assert service.texts(KEY) == texts()
    assert service.recognizer.pages_read == COUNT


async def test_pages_that_the_other_engine_has_all_read_are_joined_although_nobody_came_to_it(
    world: World, service: Service
) -> None:
    newer = world.service("sha256:2")
    upload(service)
    for pages in PARTS[:2]:
        await run(service, pages)
    service.faults.add("put", Fault.FAILS)
    assert (await run(service, PARTS[2])).outcome is Outcome.TRANSIENT
    async with newer.scheduler.running():
        assert reasons([await run(newer, PARTS[0])]) == ["handed out again"]
    assert pieces(service) == ["1-10.json.gz", "11-20.json.gz", "21-25.json.gz"]
    assert reasons(await received(service)) == ["stored"]
    assert service.texts(KEY) == texts()
    assert service.recognizer.pages_read == COUNT
    assert set(service.s3.objects) == {KEY, RESULT}


async def test_a_name_that_leaves_no_room_for_pieces_is_read_in_one_go(service: Service) -> None:
    key = "x" * 1000 + ".pdf"
    service.s3.upload(key, b"%PDF-" + "\f".join(texts()).encode())
    assert reasons([await run_job(service, Job(BUCKET, key))]) == ["stored"]
    assert service.texts(key) == texts()


async def test_the_start_and_once_a_minute_the_progress_of_a_document_are_logged(service: Service) -> None:
    upload(service, seconds=9)
    with capture_logs() as lines:
        await run(service)
        for pages in PARTS:
            await run(service, pages)
    (handed_out,) = (line for line in lines if line["event"] == "document.handed_out")
    assert (handed_out["key"], handed_out["pages"], handed_out["parts"]) == (KEY, COUNT, 3)
    progress = [int(line["pages_stored"]) for line in lines if line["event"] == "document.progress"]
    # 25 pages of 9 seconds.
    assert len(progress) == 3
    assert progress == sorted(progress)
    assert 0 < progress[0] < progress[-1] < COUNT


async def test_a_document_that_cannot_be_handed_out_is_tried_again(service: Service) -> None:
    upload(service)
    service.faults.add("send", Fault.FAILS)
    assert (await run(service)).outcome is Outcome.TRANSIENT
