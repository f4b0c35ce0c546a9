"""The loop: how messages are received, handled and settled, in virtual time."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, fields, replace
from datetime import datetime
from pathlib import Path
from typing import ClassVar, TypeVar

import pytest

from consumer.clock import Watchdog
from consumer.domain import identity
from consumer.domain.errors import Code, ServiceError, UnavailableError
from consumer.domain.events import Job, PartRange, part_request
from consumer.domain.result import Status
from consumer.domain.settle import Outcome
from consumer.metrics import Metrics
from consumer.service.jobs import JobReport, JobRunner
from consumer.service.worker import Worker
from tests.fakes.cloud import LEASE_S, Cloud
from tests.fakes.network import Fault, Faults, Network
from tests.fakes.service import DRAIN_S, SLOTS, Service
from tests.fakes.virtual_time import running_loop

Jobs = TypeVar("Jobs", bound=JobRunner)

#: In virtual time, which costs nothing.
DEADLINE_S = 3600.0
IDLE_EXIT_S = 60.0

#: How long a part is in flight.
PART_S = 20.0


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[Service]:
    network = Network(Cloud(running_loop().clock, max_receive_count=5), Faults())
    service = Service(network, tmp_path, Metrics())
    async with service.scheduler.running():
        yield service
    assert not service.cloud.journal.violations


def request(*keys: str) -> str:
    records = [
        {"eventName": "ObjectCreated:Put", "s3": {"bucket": {"name": "inbox"}, "object": {"key": key}}}
        for key in keys
    ]
    return json.dumps({"Records": records})


def send(service: Service, message_id: str, *keys: str, receive_count: int = 1) -> None:
    """Send a message; when it comes, it is received for the `receive_count`-th time."""
    message = service.sqs.send(request(*keys), keys, message_id=message_id)
    message.receive_count = receive_count - 1


def raises(error: Exception) -> Callable[[], None]:
    def fail() -> None:
        raise error

    return fail


def counted(service: Service, name: str, **labels: str) -> float:
    """Sum of the series with these labels, whatever others they have."""
    families = service.metrics.registry.collect()
    samples = [sample for family in families for sample in family.samples]
    mine = [
        each
        for each in samples
        if each.name == f"bucket_ocr_{name}" and labels.items() <= each.labels.items()
    ]
    return sum(sample.value for sample in mine)


def has_result(service: Service, key: str = "a.pdf") -> bool:
    return f"{key}.ocr.json" in service.s3.objects


def in_flight(service: Service) -> set[str]:
    return set(service.queue.held.values())


def sent_again(service: Service) -> list[str]:
    """Bodies of the messages that consumers have sent."""
    return [message.body for message in service.sqs.sent_again()]


def operations(service: Service) -> list[str]:
    return [operation for operation, _ in service.calls]


@dataclass
class Run:
    """A worker at work."""

    worker: Worker
    stop: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.task = asyncio.create_task(self.worker.run(self.stop))


@asynccontextmanager
async def consuming(
    service: Service, slots: int = SLOTS, drain_s: float = DRAIN_S, idle_exit_s: float | None = None
) -> AsyncIterator[Run]:
    """A worker that is stopped, and has drained, when the context ends."""
    async with asyncio.timeout(DEADLINE_S):
        run = Run(service.worker(slots, drain_s, idle_exit_s))
        yield run
        run.stop.set()
        await run.task


async def until(holds: Callable[[], object]) -> None:
    """Let time pass until something holds."""
    async with asyncio.timeout(DEADLINE_S):
        while not holds():
            await asyncio.sleep(0.01)


async def test_a_message_is_deleted_once_all_its_documents_have_results(service: Service) -> None:
    service.s3.upload("a.pdf", b"%PDF-a")
    service.s3.upload("b.pdf", b"%PDF-b")
    send(service, "m", "a.pdf", "b.pdf", "gone.pdf")

    async with consuming(service):
        await until(lambda: service.sqs.deleted == ["m"])

    assert has_result(service, "a.pdf")
    assert has_result(service, "b.pdf")


async def test_an_event_of_our_own_output_is_deleted_without_a_request_to_s3(service: Service) -> None:
    send(service, "m", "a.pdf.ocr.json")

    async with consuming(service):
        await until(lambda: service.sqs.deleted == ["m"])

    assert set(operations(service)) == {"receive", "delete"}


async def test_events_of_own_outputs_change_no_figure_of_documents_or_waiting(service: Service) -> None:
    service.s3.upload("scan", b"%PDF-a")
    service.s3.upload("scan.ocr.json", b"{}", {identity.SOURCE_ETAG: "of the scan"})
    # The one is known by its name, the other by its metadata.
    send(service, "by name", "a.pdf.ocr.json")
    send(service, "by metadata", "scan.ocr.json")
    send(service, "a folder", "in/")
    async with consuming(service):
        await until(lambda: len(service.sqs.deleted) == 3)
    assert counted(service, "messages_total", outcome="ignored", reason="own_output") == 2
    assert counted(service, "messages_total", outcome="ignored", reason="event") == 1
    assert counted(service, "messages_total") == 3
    assert counted(service, "documents_total") == 0
    # Of the one that is known by its metadata it is known too late.
    assert counted(service, "queue_wait_seconds_count") == 1


@pytest.mark.parametrize(
    ("error", "reason"), [(ServiceError("403"), "refused"), (UnavailableError("503"), "unavailable")]
)
async def test_a_message_that_fails_is_counted_with_the_reason(
    service: Service, error: Exception, reason: str
) -> None:
    service.s3.upload("a.pdf", b"%PDF-a")
    service.faults.add("download", raises(error))
    send(service, "m", "a.pdf")
    async with consuming(service):
        await until(lambda: has_result(service))
    assert counted(service, "messages_total", outcome="transient", reason=reason) == 1
    assert counted(service, "document_seconds_count") == 1


async def test_a_malformed_record_keeps_its_message_and_the_good_records_are_done(service: Service) -> None:
    service.s3.upload("a.pdf", b"%PDF-a")
    body = json.loads(request("a.pdf"))
    body["Records"].append({"who": "knows"})
    service.sqs.send(json.dumps(body), ["a.pdf"], malformed=True, message_id="bad")
    send(service, "good", "a.pdf")

    async with consuming(service, slots=1):
        await until(lambda: service.sqs.deleted == ["good"])

    assert not service.sqs.returned
    assert has_result(service)


@pytest.mark.parametrize("fault", [Fault.FAILS, raises(ZeroDivisionError("a bug"))])
async def test_a_transient_failure_releases_the_message_and_harms_no_other(
    service: Service, fault: Fault | Callable[[], None]
) -> None:
    service.s3.upload("a.pdf", b"%PDF-a")
    service.faults.add("head", fault)
    send(service, "m", "a.pdf")
    send(service, "n", "a.pdf")

    async with consuming(service, slots=1):
        await until(lambda: service.sqs.deleted == ["n"])
        assert service.sqs.returned["m"] >= 1


async def test_an_unforeseen_answer_of_the_queue_ends_no_work_in_flight(service: Service) -> None:
    service.s3.upload("a.pdf", b"%PDF-a 30")
    send(service, "m", "a.pdf")
    async with consuming(service):
        await until(lambda: service.recognizer.batches)
        service.faults.add("receive", raises(KeyError("Attributes")))
        await until(lambda: service.sqs.deleted == ["m"])
    assert service.sqs.messages[0].receive_count == 1
    assert await service.faults.take("receive") is None


async def test_no_more_messages_are_received_than_there_are_slots(service: Service) -> None:
    for number in range(5):
        service.s3.upload(f"{number}.pdf", b"%PDF-a 10")
        send(service, str(number), f"{number}.pdf")

    # The queue itself notes a receive for which there is no slot.
    async with consuming(service, slots=2):
        await asyncio.sleep(5)
        assert operations(service).count("receive") == 2
        await until(lambda: len(service.sqs.deleted) == 5)


async def test_a_lost_lease_ends_the_work_and_leaves_the_message_alone(service: Service) -> None:
    service.s3.upload("a.pdf", b"%PDF-a 100")
    send(service, "m", "a.pdf")

    async with consuming(service):
        await until(lambda: service.recognizer.batches)
        service.sqs.reappear(service.sqs.messages[0])
        service.sqs.receive("another consumer", LEASE_S)
        await until(lambda: not in_flight(service))

    assert (service.sqs.deleted, service.sqs.returned) == ([], {})
    assert not has_result(service)
    assert counted(service, "messages_total", outcome="lease_lost") == 1


@pytest.mark.parametrize(("drain_s", "finished"), [(20, True), (0, False)])
async def test_a_stop_finishes_documents_in_flight_or_releases_them_at_once(
    service: Service, drain_s: float, finished: bool
) -> None:
    service.s3.upload("a.pdf", b"%PDF-a 10")
    send(service, "m", "a.pdf")

    async with consuming(service, drain_s=drain_s):
        await until(lambda: service.recognizer.batches)

    assert service.sqs.deleted == ["m"]
    assert has_result(service) is finished
    assert sent_again(service) == ([] if finished else [request("a.pdf")])
    assert not service.sqs.returned


async def test_a_message_that_comes_with_the_last_poll_is_released_unstarted(service: Service) -> None:
    service.s3.upload("a.pdf", b"%PDF-a")

    async with consuming(service) as run:
        await asyncio.sleep(1)
        run.stop.set()
        send(service, "m", "a.pdf")

    assert service.sqs.deleted == ["m"]
    assert sent_again(service) == [request("a.pdf")]
    assert "head" not in operations(service)


async def test_a_failed_document_does_not_hold_up_the_others_of_its_message(service: Service) -> None:
    service.s3.upload("a.pdf", b"%PDF-a")
    service.s3.upload("b.pdf", b"%PDF-b")
    service.faults.add("head", Fault.FAILS)
    send(service, "m", "a.pdf", "b.pdf")

    async with consuming(service):
        await until(lambda: "m" in service.sqs.returned)

    assert has_result(service, "b.pdf")


async def test_no_text_that_a_sender_makes_up_ends_the_consumer(service: Service) -> None:
    nonsense = json.dumps({"Records": [{"eventName": "Object\ud800", "s3": {}}]})
    for body in (nonsense, request("gone\ud800.pdf")):
        service.sqs.send(body, ())
    send(service, "m", "gone.pdf")

    async with consuming(service, slots=1):
        await until(lambda: "m" in service.sqs.deleted)


async def test_the_last_receive_leaves_a_result_and_the_message_to_the_dead_letters(service: Service) -> None:
    service.s3.upload("a.pdf", b"%PDF-a")
    service.faults.add("read", Fault.FAILS, times=2)
    send(service, "4th", "a.pdf", receive_count=4)
    send(service, "5th", "a.pdf", receive_count=5)

    async with consuming(service, slots=1):
        await until(lambda: has_result(service))

    assert service.sqs.returned.keys() == {"4th"}
    assert service.sqs.deleted == []
    result = service.result("a.pdf")
    assert result.error is not None
    assert (result.status, result.error.code) == (Status.FAILURE, Code.RETRIES_EXHAUSTED)
    assert result.error.retryable
    assert result.error.message == "not read in 5 tries; the last one: read: 503"


async def test_work_without_progress_is_tried_again_and_in_the_end_has_a_result_that_says_so(
    service: Service,
) -> None:
    service.s3.upload("a.pdf", b"%PDF-a 1000")
    send(service, "m", "a.pdf", receive_count=4)
    async with consuming(service):
        await until(lambda: "m" in service.sqs.returned)
        assert service.sqs.returned["m"] >= 1
        assert not has_result(service)
        await until(lambda: has_result(service))
    error = service.result("a.pdf").error
    assert error is not None
    assert error.message == "not read in 5 tries; the last one: no progress in 150 s"


async def test_a_message_for_a_bucket_that_does_not_exist_holds_up_no_other(service: Service) -> None:
    service.s3.upload("a.pdf", b"%PDF-a")
    for _ in range(5):
        service.sqs.send(request("gone.pdf").replace("inbox", "typo"), ())
    send(service, "good", "a.pdf")
    async with consuming(service, slots=1):
        await until(lambda: service.sqs.deleted == ["good"])


async def test_a_redriven_message_replaces_the_result_of_exhausted_tries(service: Service) -> None:
    service.s3.upload("a.pdf", b"%PDF-a")
    service.faults.add("read", raises(ZeroDivisionError("a bug")))
    send(service, "m", "a.pdf", receive_count=5)
    async with consuming(service, slots=1):
        await until(lambda: has_result(service))
        assert "ZeroDivisionError" in str(service.result("a.pdf").error)
        send(service, "redriven", "a.pdf")
        await until(lambda: service.sqs.deleted == ["redriven"])
    assert service.result("a.pdf").status is Status.SUCCESS


async def test_without_a_dead_letter_queue_there_is_no_last_try(service: Service) -> None:
    service.s3.upload("a.pdf", b"%PDF-a")
    service.sqs.max_receive_count = None
    service.faults.add("read", Fault.FAILS)
    send(service, "m", "a.pdf", receive_count=1000)
    async with consuming(service):
        await until(lambda: "m" in service.sqs.returned)
    assert not has_result(service)


async def test_a_stop_at_the_last_receive_costs_nothing_and_leaves_no_result(service: Service) -> None:
    service.s3.upload("a.pdf", b"%PDF-a 100")
    send(service, "m", "a.pdf", receive_count=5)

    async with consuming(service, drain_s=0):
        await until(lambda: service.recognizer.batches)
    assert not has_result(service)
    assert [message.receive_count for message in service.sqs.waiting()] == [0]

    async with consuming(service):
        await until(lambda: not service.sqs.waiting())
    assert service.result("a.pdf").status is Status.SUCCESS


@pytest.mark.parametrize("fault", [Fault.FAILS, Fault.LOST, Fault.SLOW])
async def test_a_stopped_document_that_cannot_be_sent_again_is_released(
    service: Service, fault: Fault
) -> None:
    service.s3.upload("a.pdf", b"%PDF-a 100")
    service.faults.add("send", fault)
    send(service, "m", "a.pdf")

    async with consuming(service, drain_s=30):
        await until(lambda: service.recognizer.batches)
        stopped_at = service.clock.seconds

    assert service.clock.seconds <= stopped_at + 30
    assert service.sqs.returned == {"m": 0}
    assert not service.sqs.deleted


async def test_a_document_is_sent_again_before_its_message_is_deleted(service: Service) -> None:
    service.s3.upload("a.pdf", b"%PDF-a 100")
    send(service, "m", "a.pdf")
    async with consuming(service, drain_s=0):
        await until(lambda: service.recognizer.batches)
    settling = {"attributes", "send", "delete", "retry"}
    assert [each for each in operations(service) if each in settling] == ["send", "delete"]


class PartJobs(JobRunner):
    """Jobs for parts take `part_s`; one that is stopped leaves a part for each of its pages."""

    part_s: ClassVar = PART_S

    async def run(self, job: Job, queued_at: datetime, watchdog: Watchdog, **_: object) -> JobReport:
        if job.part is None:
            return await super().run(job, queued_at, watchdog)
        log_fields = {"bucket": job.bucket, "key": job.key}
        try:
            await asyncio.sleep(self.part_s)
        except asyncio.CancelledError:
            pages = range(job.part.first, job.part.last + 1)
            rest = [replace(job.part, first=page, last=page) for page in pages]
            bodies = tuple(part_request(job.bucket, job.key, part) for part in rest)
            return JobReport(job, Outcome.RELEASED, "stopped", log_fields, bodies)
        return JobReport(job, Outcome.DONE, "", log_fields)


class FastPartJobs(PartJobs):
    """Jobs of an engine that is faster than messages can be postponed."""

    part_s: ClassVar = 0.7


def jobs_of_kind(service: Service, kind: type[Jobs]) -> Jobs:
    return kind(*(getattr(service.jobs, each.name) for each in fields(JobRunner)))


@pytest.fixture
def with_parts(service: Service) -> Service:
    service.jobs = jobs_of_kind(service, PartJobs)
    return service


def part(first: int, last: int) -> str:
    return part_request("inbox", "book.pdf", PartRange(first, last, 5000, "etag"))


def send_parts(service: Service, count: int) -> None:
    for number in range(count):
        service.sqs.send(part(number + 1, number + 1), (), message_id=f"p{number}")


async def test_a_stopped_job_is_continued_by_the_messages_that_it_leaves(with_parts: Service) -> None:
    service = with_parts
    service.sqs.send(part(1, 3), (), message_id="m")
    async with consuming(service, drain_s=0):
        await until(lambda: in_flight(service))
    assert service.sqs.deleted == ["m"]
    assert sent_again(service) == [part(1, 1), part(2, 2), part(3, 3)]
    assert counted(service, "messages_total", outcome="released") == 1


async def test_a_job_without_progress_is_not_continued_but_tried_again(with_parts: Service) -> None:
    service = with_parts
    service.jobs = jobs_of_kind(service, StoppedJobs)
    service.sqs.send(part(1, 3), (), message_id="m")
    async with consuming(service):
        await until(lambda: "m" in service.sqs.returned)
        assert service.sqs.returned["m"] >= 1
    assert counted(service, "messages_total", outcome="transient") == 1


class StoppedJobs(JobRunner):
    """Jobs that only a stop ends; of each document the last page is left then."""

    async def run(self, job: Job, queued_at: datetime, watchdog: Watchdog, **_: object) -> JobReport:
        try:
            await asyncio.sleep(DEADLINE_S)
        except asyncio.CancelledError:
            return JobReport(job, Outcome.RELEASED, "stopped", {}, (part(9, 9),))
        raise AssertionError


@pytest.mark.parametrize("malformed", [True, False])
async def test_a_message_of_more_than_the_stopped_job_is_sent_again_as_it_was(
    service: Service, malformed: bool
) -> None:
    service.jobs = jobs_of_kind(service, StoppedJobs)
    keys = ["a.pdf"] if malformed else ["a.pdf", "b.pdf"]
    body = json.dumps({"Records": json.loads(request(*keys))["Records"] + [{}] * malformed})
    service.sqs.send(body, keys, malformed=malformed, message_id="m")
    async with consuming(service, drain_s=0):
        await until(lambda: in_flight(service))
        stopped_at = service.clock.seconds
    assert service.clock.seconds < stopped_at + 7
    assert service.sqs.deleted == ["m"]
    assert sent_again(service) == [body]


async def test_whole_documents_take_no_slots_of_parts(with_parts: Service) -> None:
    for key in ("a.pdf", "b.pdf"):
        with_parts.s3.upload(key, b"%PDF-a 10")
        send(with_parts, key, key)
    send_parts(with_parts, 3)
    async with consuming(with_parts, slots=5):
        await asyncio.sleep(1)
        assert in_flight(with_parts) == {"a.pdf", "b.pdf", "p0", "p1"}
        await until(lambda: not with_parts.sqs.waiting())


async def test_a_letter_behind_many_parts_is_read_at_once(with_parts: Service) -> None:
    service = with_parts
    service.s3.upload("letter.pdf", b"%PDF-a")
    send_parts(service, 20)
    send(service, "letter", "letter.pdf")
    async with consuming(service, slots=4):
        await until(lambda: has_result(service, "letter.pdf"))
        assert service.clock.seconds < 1
        assert in_flight(service) == {"p0", "p1"}
        assert counted(service, "messages_in_flight") == 2
        # One waits for a slot.
        assert counted(service, "messages_total", outcome="postponed") == 17
        assert all(1 <= message.visible_at - message.sent_at <= 30 for message in service.sqs.sent_again())
        # The letter alone: how long a part has waited is not known before it is taken.
        assert counted(service, "queue_wait_seconds_count") == 3
        await until(lambda: not service.sqs.waiting())
    assert counted(service, "messages_total", outcome="done") == 21
    assert not service.sqs.returned


async def test_a_part_that_cannot_be_postponed_by_sending_is_postponed_by_its_visibility(
    with_parts: Service,
) -> None:
    service = with_parts
    service.faults.add("send", Fault.FAILS)
    send_parts(service, 2)
    async with consuming(service, slots=2):
        await until(lambda: "p1" in service.sqs.returned)
        assert 1 <= service.sqs.returned["p1"] <= 30
        await until(lambda: not service.sqs.waiting())


@pytest.mark.parametrize(("slots", "parts"), [(1, 1), (2, 1), (3, 1), (8, 4)])
async def test_parts_have_half_of_the_slots(with_parts: Service, slots: int, parts: int) -> None:
    send_parts(with_parts, 10)
    async with consuming(with_parts, slots=slots):
        await asyncio.sleep(1)
        assert len(in_flight(with_parts)) == parts
        await until(lambda: not with_parts.sqs.waiting())


@pytest.mark.parametrize("kind", [FastPartJobs, PartJobs])
async def test_slots_of_parts_are_seldom_empty(service: Service, kind: type[PartJobs]) -> None:
    service.jobs = jobs_of_kind(service, kind)
    send_parts(service, 60)
    async with consuming(service, slots=4):
        await until(lambda: not service.sqs.waiting())
        assert service.clock.seconds < 1.3 * 60 * kind.part_s / 2


async def test_a_consumer_does_not_end_while_parts_are_postponed(with_parts: Service) -> None:
    send_parts(with_parts, 4)
    async with consuming(with_parts, slots=2, idle_exit_s=0.5) as run:
        await run.task
    assert not with_parts.sqs.waiting()


async def test_a_message_received_but_not_begun_at_a_stop_is_released(service: Service) -> None:
    for number in range(8):
        service.s3.upload(f"{number}.pdf", b"%PDF-a 100")
        send(service, str(number), f"{number}.pdf")
    async with consuming(service, slots=8, drain_s=0) as run:
        # All messages come at once, and the stop with the last of them.
        service.faults.add("receive", lambda: None, times=7)
        service.faults.add("receive", run.stop.set)
        await run.task
    assert sorted(service.sqs.deleted) == [str(number) for number in range(8)]
    assert sorted(sent_again(service)) == [request(f"{number}.pdf") for number in range(8)]


async def test_the_platform_knows_when_the_consumer_is_busy_and_when_it_is_not(service: Service) -> None:
    for key in ("a.pdf", "b.pdf"):
        service.s3.upload(key, b"%PDF-a 10")
        send(service, key, key)
    async with consuming(service):
        await until(lambda: len(in_flight(service)) == 2)
        assert service.busy == [True]
        await until(lambda: len(service.sqs.deleted) == 2)
    assert service.busy == [True, False]


async def test_an_unhealthy_host_receives_nothing_until_it_is_well(service: Service) -> None:
    service.s3.upload("a.pdf", b"%PDF-a")
    service.host.problem = "the disk is full"
    send(service, "m", "a.pdf")
    async with consuming(service):
        await asyncio.sleep(600)
        assert "receive" not in operations(service)
        service.host.problem = None
        await until(lambda: service.sqs.deleted == ["m"])


async def test_parts_do_not_multiply_while_the_queue_deletes_nothing(service: Service) -> None:
    """Each of two copies of a part that is postponed would be sent again in its turn."""
    count = 60
    body = b"%PDF-" + b"\f".join(b"p%d 3" % number for number in range(count))
    source = service.s3.upload("a.pdf", body)
    for first in range(1, count, 10):
        part = PartRange(first, first + 9, count, source.etag)
        service.sqs.send(part_request("inbox", "a.pdf", part), ["a.pdf"])
    # A part that is not sent again uses up receives.
    service.sqs.max_receive_count = None
    service.faults.add("delete", Fault.FAILS, times=10**6)
    async with consuming(service):
        for _ in range(900):
            await asyncio.sleep(1)
            # Once in a while a delete may be tried, which costs a copy.
            assert len(service.sqs.waiting()) <= 6 + 900 / 60
        service.faults.heal()
        await until(lambda: not service.sqs.waiting())
    assert len(service.texts("a.pdf")) == count
    assert service.recognizer.pages_read == count
    assert service.s3.objects.keys() == {"a.pdf", "a.pdf.ocr.json"}


async def test_a_host_that_fails_leaves_the_message_to_others(service: Service) -> None:
    service.s3.upload("a.pdf", b"%PDF-a")
    service.faults.add("read", Fault.REFUSED)
    send(service, "m", "a.pdf")
    async with consuming(service):
        await until(lambda: service.sqs.returned == {"m": 10})


async def test_after_a_failure_of_the_host_messages_are_tried_one_at_a_time(service: Service) -> None:
    for key in ("a.pdf", "b.pdf", "c.pdf"):
        service.s3.upload(key, b"%PDF-a 3" if key == "a.pdf" else b"%PDF-b 20")
    service.faults.add("read", Fault.REFUSED)
    send(service, "a", "a.pdf")
    async with consuming(service, slots=2):
        await asyncio.sleep(4)
        # It comes with a poll that began before the host failed.
        send(service, "b", "b.pdf")
        await until(lambda: service.sqs.deleted == ["b"])
        (again,) = service.sqs.sent_again()
        assert not in_flight(service)
        send(service, "c", "c.pdf")
        await until(lambda: in_flight(service) == {again.message_id})
        await asyncio.sleep(15)
        assert in_flight(service) == {again.message_id}
        # It works: both slots are used again.
        await until(lambda: len(in_flight(service)) == 2)
        await until(lambda: not service.sqs.waiting())


async def test_a_document_is_announced_before_its_message_is_deleted(service: Service) -> None:
    service.faults.add("announce", Fault.FAILS)
    service.s3.upload("a.pdf", b"%PDF-a\fb")
    send(service, "m", "a.pdf")

    async with consuming(service):
        await until(lambda: "m" in service.sqs.returned)
        assert has_result(service)
        await until(lambda: service.sqs.deleted == ["m"])

    # The first try stored the result and could not announce it; the second found it.
    assert service.sqs.returned["m"] >= 1
    assert service.recognizer.pages_read == 2
    (completion,) = service.cloud.announced
    assert (
        completion.source.key,
        completion.result.status,
        completion.result.code,
        completion.result.page_count,
    ) == (
        "a.pdf",
        "SUCCESS",
        None,
        2,
    )


async def test_a_document_that_cannot_be_read_is_announced_with_its_code(service: Service) -> None:
    service.s3.upload("a.pdf", b"no document")
    send(service, "m", "a.pdf")
    async with consuming(service):
        await until(lambda: service.sqs.deleted == ["m"])
    assert [(each.result.status, each.result.code) for each in service.cloud.announced] == [
        ("FAILURE", "UNSUPPORTED_TYPE")
    ]


async def test_a_source_without_a_result_is_not_announced(service: Service) -> None:
    service.s3.upload("notes.txt", b"no document")
    send(service, "m", "notes.txt", "gone.pdf")
    async with consuming(service):
        await until(lambda: service.sqs.deleted == ["m"])
    assert not service.cloud.announced


async def test_messages_and_documents_are_counted(service: Service) -> None:
    service.s3.upload("a.pdf", b"%PDF-a\fb")
    service.s3.upload("b.pdf", b"no document")
    send(service, "good", "a.pdf")
    send(service, "bad", "b.pdf")
    service.sqs.send("nonsense", (), malformed=True)
    async with consuming(service, slots=1):
        await until(lambda: counted(service, "messages_total", outcome="malformed") == 1)
    assert service.sqs.deleted == ["good", "bad"]
    assert counted(service, "messages_total", outcome="done") == 2
    assert counted(service, "documents_total", status="SUCCESS", code="") == 1
    assert counted(service, "documents_total", status="FAILURE", code="UNSUPPORTED_TYPE") == 1
    assert counted(service, "stage_seconds_count", stage="download") == 2
    assert counted(service, "stage_seconds_count", stage="publish") == 2
    assert counted(service, "messages_in_flight") == 0


async def test_a_consumer_without_work_for_long_enough_ends_by_itself(service: Service) -> None:
    service.s3.upload("a.pdf", b"%PDF-a 100")
    send(service, "m", "a.pdf")
    async with consuming(service, idle_exit_s=IDLE_EXIT_S) as run:
        await asyncio.sleep(80)
        # It is not idle while it works, however long.
        assert not run.task.done()
        send(service, "n", "gone.pdf")
        await run.task
    assert service.sqs.deleted == ["n", "m"]
    assert service.clock.seconds >= 100 + IDLE_EXIT_S


async def test_a_consumer_that_cannot_ask_for_work_is_not_idle(service: Service) -> None:
    service.host.problem = "the disk is full"
    async with consuming(service, idle_exit_s=IDLE_EXIT_S) as run:
        await asyncio.sleep(600)
        assert not run.task.done()
        service.host.problem = None
        await run.task


async def test_it_is_not_ready_without_queue_or_healthy_host_or_while_it_stops(service: Service) -> None:
    async with consuming(service) as run:
        await asyncio.sleep(1)
        assert run.worker.problem is None
        service.host.problem = "the disk is full"
        await until(lambda: run.worker.problem == "the disk is full")
        assert counted(service, "healthy") == 0
        service.host.problem = None
        await until(lambda: run.worker.problem is None and counted(service, "healthy") == 1)
        service.faults.add("receive", Fault.FAILS)
        await until(lambda: run.worker.problem == "receive: 503")
        run.stop.set()
        await until(lambda: run.worker.problem == "stopping")


async def test_a_topic_that_does_not_answer_is_no_failure_of_storage_and_denies_no_result(
    service: Service, capsys: pytest.CaptureFixture[str]
) -> None:
    service.sqs.max_receive_count = 1
    service.faults.add("announce", raises(UnavailableError("the topic is gone")), times=20)
    for number in range(6):
        service.s3.upload(f"{number}.pdf", b"%PDF-a")
        send(service, str(number), f"{number}.pdf")
    async with consuming(service, slots=1) as run:
        await until(lambda: counted(service, "messages_total", outcome="transient") == 6)
        assert run.worker.problem is None
    said = capsys.readouterr().out
    assert "the result is stored, and was not announced: the topic is gone" in said
    assert "without a result" not in said


async def _pass_on(service: Service) -> list[str]:
    """Let a consumer receive the parts that another engine is to read; returns the dead letters."""
    count = 600
    source = service.s3.upload("a.pdf", b"%PDF-" + b"\f".join(b"p%d 0.1" % n for n in range(count)))
    for first in range(1, count, 10):
        part = PartRange(first, first + 9, count, source.etag, engine="ffffff")
        service.sqs.send(part_request("inbox", "a.pdf", part), ["a.pdf"])
    async with consuming(service, slots=8):
        await until(lambda: not service.sqs.waiting())
    return [message.message_id for message in service.sqs.there() if message.dead]


async def test_parts_that_are_passed_on_side_by_side_use_up_no_receives(tmp_path: Path) -> None:
    cloud = Cloud(running_loop().clock, max_receive_count=3)
    service = Service(Network(cloud, Faults(), seed=1), tmp_path, Metrics(), max_file_bytes=10**6)
    async with service.scheduler.running():
        assert not await _pass_on(service)
    assert has_result(service)


async def test_one_delete_that_fails_does_not_keep_a_consumer_from_passing_on(tmp_path: Path) -> None:
    cloud = Cloud(running_loop().clock, max_receive_count=10)
    service = Service(Network(cloud, Faults()), tmp_path, Metrics(), max_file_bytes=10**6)
    service.faults.add("delete", Fault.FAILS)
    async with service.scheduler.running():
        assert not await _pass_on(service)
    assert has_result(service)


@pytest.mark.parametrize("keeps_count", [True, False])
async def test_a_dead_letter_that_is_moved_back_has_all_its_tries_whatever_the_queue_counts(
    service: Service, keeps_count: bool
) -> None:
    service.s3.upload("a.pdf", b"%PDF-a")
    service.faults.add("download", Fault.FAILS, 5 + 4)
    send(service, "m", "a.pdf")
    async with consuming(service):
        await until(lambda: any(message.dead for message in service.sqs.messages))
        assert service.result("a.pdf").error is not None
        # Another such result would be stored if the first failure counted as the last.
        service.s3.delete_result("a.pdf")
        service.sqs.redrive(keeps_count=keeps_count)
        await until(lambda: not service.sqs.waiting())
    assert service.result("a.pdf").status is Status.SUCCESS
    assert not any(message.dead for message in service.sqs.messages)
    assert counted(service, "documents_total", code="RETRIES_EXHAUSTED") == 1
