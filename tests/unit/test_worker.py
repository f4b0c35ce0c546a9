"""The loop: what becomes of messages, on a queue in memory."""

import asyncio
import json
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from consumer.clock import SystemClock, Watchdog
from consumer.domain.completion import Completion
from consumer.domain.errors import Code, HostError, ServiceError, UnavailableError
from consumer.domain.result import ResultDocument, Status
from consumer.service.circuit_breaker import CircuitBreaker
from consumer.service.jobs import JobRunner
from consumer.service.message import MessageHandler
from consumer.service.worker import Worker
from tests.fakes import FakeLeases, MemoryQueue, World, memory_world


def request(*keys: str) -> str:
    records = [
        {"eventName": "ObjectCreated:Put", "s3": {"bucket": {"name": "inbox"}, "object": {"key": key}}}
        for key in keys
    ]
    return json.dumps({"Records": records})


class WorkerWorld:
    """A world in memory with a queue and the worker that consumes it."""

    def __init__(self, world: World) -> None:
        self.store = world.store
        self.recognizer = world.recognizer
        self._world = world
        self.queue = MemoryQueue()
        self.leases = FakeLeases()
        self.stop = asyncio.Event()
        #: What is wrong with the machine.
        self.problem: HostError | None = None
        self.looked = asyncio.Event()
        self.busy: list[bool] = []
        self.metrics = world.metrics
        self.announced: list[Completion] = []
        #: Why the next announcements fail.
        self.unannounced: list[ServiceError] = []

    async def announce(self, completion: Completion) -> None:
        if self.unannounced:
            raise self.unannounced.pop()
        self.announced.append(completion)

    def counted(self, name: str, **labels: str) -> float | None:
        return self.metrics.registry.get_sample_value(f"bucket_ocr_{name}", labels)

    def result(self, key: str) -> ResultDocument:
        return ResultDocument.model_validate_json(self.store.objects[f"{key}.ocr.json"].body)

    async def _check(self) -> None:
        self.looked.set()
        if self.problem is not None:
            raise self.problem

    @asynccontextmanager
    async def worker(
        self, max_in_flight: int = 2, drain_s: float = 10, idle_exit_s: float | None = None
    ) -> AsyncIterator[Worker]:
        """A worker that is stopped, and has drained, when the context ends."""
        clock = SystemClock()
        watchdog = Watchdog(clock)
        breaker = CircuitBreaker([self._check], clock)
        handler = MessageHandler(
            self.queue,
            self.leases,
            JobRunner(self._world.publisher, self._world.documents, breaker, self.announce),
            watchdog=watchdog,
            clock=clock,
            rng=random.Random(1),
            metrics=self.metrics,
        )
        worker = Worker(
            self.queue,
            handler,
            breaker,
            max_in_flight=max_in_flight,
            drain_s=drain_s,
            idle_exit_s=idle_exit_s,
            on_busy=self.busy.append,
            watchdog=watchdog,
            clock=clock,
            metrics=self.metrics,
        )
        async with asyncio.timeout(20), asyncio.TaskGroup() as group:
            self.running = group.create_task(worker.run(self.stop))
            yield worker
            self.stop.set()


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[WorkerWorld]:
    async with memory_world(tmp_path) as world:
        yield WorkerWorld(world)


async def test_a_message_is_deleted_once_all_its_documents_have_results(world: WorkerWorld) -> None:
    world.store.upload("a.pdf", b"%PDF-a")
    world.store.upload("b.pdf", b"%PDF-b")
    world.queue.put("m", request("a.pdf", "b.pdf", "gone.pdf"))

    async with world.worker():
        await world.queue.until(lambda: world.queue.deleted == ["m"])

    assert {"a.pdf.ocr.json", "b.pdf.ocr.json"} <= set(world.store.objects)


async def test_an_event_of_our_own_output_is_acknowledged_without_a_request_to_s3(world: WorkerWorld) -> None:
    world.queue.put("m", request("a.pdf.ocr.json"))

    async with world.worker():
        await world.queue.until(lambda: world.queue.deleted == ["m"])

    assert world.store.calls == []


async def test_a_message_with_a_record_nobody_understands_is_not_touched_but_its_good_records_are_done(
    world: WorkerWorld,
) -> None:
    world.store.upload("a.pdf", b"%PDF-a")
    body = json.loads(request("a.pdf"))
    body["Records"].append({"who": "knows"})
    world.queue.put("bad", json.dumps(body))
    world.queue.put("good", request("a.pdf"))

    async with world.worker(max_in_flight=1):
        await world.queue.until(lambda: world.queue.deleted == ["good"])

    assert not world.queue.returned
    assert "a.pdf.ocr.json" in world.store.objects


@pytest.mark.parametrize("error", [ServiceError("503"), ZeroDivisionError("a bug")])
async def test_a_failure_that_may_pass_gives_the_message_back_and_harms_no_other(
    world: WorkerWorld, error: Exception
) -> None:
    def fail() -> None:
        raise error

    world.store.upload("a.pdf", b"%PDF-a")
    world.store.before["head"] = fail
    world.queue.put("m", request("a.pdf"))
    world.queue.put("n", request("a.pdf"))

    async with world.worker(max_in_flight=1):
        await world.queue.until(lambda: world.queue.deleted == ["n"])

    assert world.queue.returned["m"] >= 1


async def test_an_answer_of_the_queue_that_nobody_foresaw_ends_nothing(world: WorkerWorld) -> None:
    world.recognizer.breaker.clear()
    world.store.upload("a.pdf", b"%PDF-a")
    world.queue.put("m", request("a.pdf"))
    async with world.worker():
        await asyncio.wait_for(world.recognizer.reading.wait(), 10)
        world.queue.failures.append(KeyError("Attributes"))
        await until(lambda: not world.queue.failures)
        world.recognizer.breaker.set()
        await world.queue.until(lambda: world.queue.deleted == ["m"])


async def test_no_more_messages_are_received_than_there_are_slots(world: WorkerWorld) -> None:
    world.recognizer.breaker.clear()
    for number in range(5):
        world.store.upload(f"{number}.pdf", b"%PDF-a")
        world.queue.put(str(number), request(f"{number}.pdf"))

    async with world.worker(max_in_flight=2):
        await asyncio.wait_for(world.recognizer.reading.wait(), 10)
        await until(lambda: world.queue.received == 2)
        # Nothing more may come as long as both are in work; several polls' time is given to prove it.
        with pytest.raises(TimeoutError):
            await until(lambda: world.queue.received > 2, deadline_s=0.3)
        world.recognizer.breaker.set()
        await world.queue.until(lambda: len(world.queue.deleted) == 5)


async def test_a_lost_lease_ends_the_work_and_leaves_the_message_alone(world: WorkerWorld) -> None:
    world.recognizer.breaker.clear()
    world.store.upload("a.pdf", b"%PDF-a")
    world.queue.put("m", request("a.pdf"))

    async with world.worker():
        await asyncio.wait_for(world.recognizer.reading.wait(), 10)
        world.leases.held["m"].lost.set()
        await until(lambda: not world.leases.held)
        world.recognizer.breaker.set()

    assert (world.queue.deleted, world.queue.returned) == ([], {})
    assert "a.pdf.ocr.json" not in world.store.objects


@pytest.mark.parametrize(("drain_s", "finished"), [(10, True), (0, False)])
async def test_a_stop_finishes_documents_in_work_or_hands_them_back_at_once(
    world: WorkerWorld, drain_s: float, finished: bool
) -> None:
    world.recognizer.breaker.clear()
    world.store.upload("a.pdf", b"%PDF-a")
    world.queue.put("m", request("a.pdf"))

    async with world.worker(drain_s=drain_s):
        await asyncio.wait_for(world.recognizer.reading.wait(), 10)
        world.stop.set()
        if finished:
            world.recognizer.breaker.set()

    assert world.queue.deleted == (["m"] if finished else [])
    assert world.queue.returned == ({} if finished else {"m": 0})


async def test_a_message_that_comes_with_the_last_poll_is_handed_back_unstarted(world: WorkerWorld) -> None:
    world.store.upload("a.pdf", b"%PDF-a")

    async with world.worker():
        await asyncio.wait_for(world.queue.asked.wait(), 10)
        world.stop.set()
        world.queue.put("m", request("a.pdf"))

    assert world.queue.returned == {"m": 0}
    assert world.store.calls == []


async def test_a_document_that_fails_does_not_hold_up_the_others_of_its_message(world: WorkerWorld) -> None:
    def fail() -> None:
        raise ServiceError("503")

    world.store.upload("a.pdf", b"%PDF-a")
    world.store.upload("b.pdf", b"%PDF-b")
    world.store.before["head"] = fail
    world.queue.put("m", request("a.pdf", "b.pdf"))

    async with world.worker():
        await world.queue.until(lambda: "m" in world.queue.returned)

    assert "b.pdf.ocr.json" in world.store.objects


async def test_no_text_a_sender_makes_up_ends_the_consumer(world: WorkerWorld) -> None:
    world.queue.put("m", json.dumps({"Records": [{"eventName": "Object\ud800", "s3": {}}]}))
    world.queue.put("n", request("gone\ud800.pdf"))
    world.queue.put("o", request("gone.pdf"))

    async with world.worker(max_in_flight=1):
        await world.queue.until(lambda: "o" in world.queue.deleted)


async def test_the_last_receive_leaves_a_result_that_says_so_and_the_message_to_the_dead_letters(
    world: WorkerWorld,
) -> None:
    world.store.upload("a.pdf", b"%PDF-a")
    world.recognizer.failure = ServiceError("GET s3://inbox/a.pdf: 503")
    world.queue.put("4th", request("a.pdf"), receive_count=4)
    world.queue.put("5th", request("a.pdf"), receive_count=5)

    async with world.worker(max_in_flight=1):
        await until(lambda: "a.pdf.ocr.json" in world.store.objects)

    assert world.queue.returned.keys() == {"4th"}
    assert world.queue.deleted == []
    result = world.result("a.pdf")
    assert result.error is not None
    assert (result.status, result.error.code) == (Status.FAILURE, Code.RETRIES_EXHAUSTED)
    assert result.error.retryable
    assert result.error.message == "not read in 5 tries; the last one: GET s3://inbox/a.pdf: 503"


async def test_work_that_makes_no_progress_is_ended_and_tried_again_and_at_last_said_to_be_in_vain(
    world: WorkerWorld,
) -> None:
    world.recognizer.breaker.clear()
    world.store.upload("a.pdf", b"%PDF-a")
    world.queue.put("4th", request("a.pdf"), receive_count=4)
    async with world.worker(max_in_flight=1):
        for message_id in ("4th", "5th"):
            await until(lambda: bool(world.leases.held))
            world.leases.held[message_id].overdue.set()
            await until(lambda: not world.leases.held)
            world.queue.put("5th", request("a.pdf"), receive_count=5)
            if message_id == "4th":
                assert world.queue.returned["4th"] >= 1
                assert "a.pdf.ocr.json" not in world.store.objects
        world.recognizer.breaker.set()
    error = world.result("a.pdf").error
    assert error is not None
    assert error.message == "not read in 5 tries; the last one: no progress in 300 s"


async def test_a_message_for_a_bucket_that_is_not_there_holds_up_no_other(world: WorkerWorld) -> None:
    world.store.upload("a.pdf", b"%PDF-a")
    for number in range(5):
        world.queue.put(str(number), request("gone.pdf").replace("inbox", "typo"))
    world.queue.put("good", request("a.pdf"))
    async with world.worker(max_in_flight=1):
        await world.queue.until(lambda: world.queue.deleted == ["good"])


async def test_a_redriven_message_replaces_the_result_that_said_that_tries_ran_out(
    world: WorkerWorld,
) -> None:
    world.store.upload("a.pdf", b"%PDF-a")
    world.recognizer.failure = ZeroDivisionError("a bug")
    world.queue.put("m", request("a.pdf"), receive_count=5)
    async with world.worker(max_in_flight=1):
        await until(lambda: "a.pdf.ocr.json" in world.store.objects)
        assert "ZeroDivisionError" in str(world.result("a.pdf").error)
        world.recognizer.failure = None
        world.queue.put("redriven", request("a.pdf"), receive_count=1)
        await world.queue.until(lambda: world.queue.deleted == ["redriven"])
    assert world.result("a.pdf").status is Status.SUCCESS


async def test_a_queue_without_dead_letters_is_served_for_ever(world: WorkerWorld) -> None:
    world.store.upload("a.pdf", b"%PDF-a")
    world.queue.most_receives = None
    world.recognizer.failure = ServiceError("503")
    world.queue.put("m", request("a.pdf"), receive_count=1000)
    async with world.worker():
        await world.queue.until(lambda: "m" in world.queue.returned)
    assert "a.pdf.ocr.json" not in world.store.objects


async def test_a_document_cut_off_by_a_stop_at_its_last_receive_has_a_result_that_says_so(
    world: WorkerWorld,
) -> None:
    world.recognizer.breaker.clear()
    world.store.upload("a.pdf", b"%PDF-a")
    world.queue.put("m", request("a.pdf"), receive_count=5)

    async with world.worker(drain_s=0):
        await asyncio.wait_for(world.recognizer.reading.wait(), 10)

    assert world.queue.returned == {"m": 0}
    assert str(world.result("a.pdf").error).count("the consumer was stopped") == 1


async def test_a_message_taken_but_not_begun_when_the_consumer_is_stopped_is_ended_by_the_drain(
    world: WorkerWorld,
) -> None:
    # All messages come at once, and the stop with them: none may be forgotten by the drain.
    world.recognizer.breaker.clear()
    for number in range(8):
        world.store.upload(f"{number}.pdf", b"%PDF-a")
        world.queue.put(str(number), request(f"{number}.pdf"))
    async with world.worker(max_in_flight=8, drain_s=0):
        await until(lambda: world.queue.received == 8)
        world.stop.set()
    assert world.queue.returned == {str(number): 0 for number in range(8)}


async def test_the_platform_is_told_when_the_consumer_is_busy_and_when_it_is_not(world: WorkerWorld) -> None:
    world.recognizer.breaker.clear()
    for key in ("a.pdf", "b.pdf"):
        world.store.upload(key, b"%PDF-a")
        world.queue.put(key, request(key))
    async with world.worker():
        await until(lambda: len(world.leases.held) == 2)
        assert world.busy == [True]
        world.recognizer.breaker.set()
        await world.queue.until(lambda: len(world.queue.deleted) == 2)
    assert world.busy == [True, False]


async def until(holds: Callable[[], object], deadline_s: float = 10) -> None:
    """Let the loop run until something holds; raises TimeoutError after the deadline."""
    async with asyncio.timeout(deadline_s):
        while not holds():
            await asyncio.sleep(0)


async def test_a_machine_that_is_not_well_receives_nothing_until_it_is(world: WorkerWorld) -> None:
    world.store.upload("a.pdf", b"%PDF-a")
    world.problem = HostError("the disk is full")
    world.queue.put("1", request("a.pdf"))
    async with world.worker():
        await world.looked.wait()
        assert world.queue.received == 0
        world.problem = None
        await world.queue.until(lambda: world.queue.deleted == ["1"])


async def test_a_machine_that_fails_gives_the_message_to_others(world: WorkerWorld) -> None:
    world.store.upload("a.pdf", b"%PDF-a")
    world.recognizer.failure = HostError("the disk is full")
    world.queue.put("1", request("a.pdf"))
    async with world.worker():
        await world.queue.until(lambda: world.queue.returned == {"1": 10})


async def test_a_message_that_comes_with_a_poll_during_which_the_machine_failed_is_not_begun(
    world: WorkerWorld,
) -> None:
    world.store.upload("a.pdf", b"%PDF-a")
    world.recognizer.failure = HostError("the disk is full")
    world.recognizer.breaker.clear()
    world.queue.put("1", request("a.pdf"))
    world.queue.poll_s = 5
    async with world.worker(max_in_flight=2):
        await world.recognizer.reading.wait()
        world.queue.asked.clear()
        await world.queue.asked.wait()
        world.recognizer.breaker.set()
        await world.queue.until(lambda: "1" in world.queue.returned)
        world.queue.put("2", request("a.pdf"))
        await world.queue.until(lambda: world.queue.returned.get("2") == 0)
        # One is tried alone; once it is done, both slots are there again.
        world.recognizer.failure = None
        await both_are_held_once_one_was_done(world)


async def both_are_held_once_one_was_done(world: WorkerWorld) -> None:
    world.recognizer.breaker.clear()
    world.recognizer.reading.clear()
    for number in ("3", "4"):
        world.queue.put(number, request("a.pdf"))
    await world.recognizer.reading.wait()
    assert world.leases.held.keys() == {"3"}
    world.recognizer.breaker.set()
    await world.queue.until(lambda: {"3", "4"} <= set(world.queue.deleted))
    world.store.upload("b.pdf", b"%PDF-b")
    world.store.upload("c.pdf", b"%PDF-c")
    world.recognizer.breaker.clear()
    world.queue.put("5", request("b.pdf"))
    world.queue.put("6", request("c.pdf"))
    while world.leases.held.keys() != {"5", "6"}:
        await asyncio.sleep(0)
    world.recognizer.breaker.set()


async def test_a_document_is_announced_when_its_result_is_stored_and_before_its_message_goes(
    world: WorkerWorld,
) -> None:
    world.unannounced = [ServiceError("the topic does not answer")]
    world.store.upload("a.pdf", b"%PDF-a\fb")
    world.queue.put("m", request("a.pdf"))

    async with world.worker():
        await world.queue.until(lambda: "m" in world.queue.returned)
        world.queue.clock.seconds += 1000
        await world.queue.until(lambda: world.queue.deleted == ["m"])

    # The first try stored the result and could not tell of it; the second found it.
    assert world.queue.returned["m"] >= 1
    assert world.recognizer.pages_read == 2
    (told,) = world.announced
    assert told.source.key == "a.pdf"
    assert (told.result.status, told.result.code, told.result.page_count) == ("SUCCESS", None, 2)


async def test_a_document_that_cannot_be_read_is_announced_with_its_code(world: WorkerWorld) -> None:
    world.store.upload("a.pdf", b"no document")
    world.queue.put("m", request("a.pdf"))
    async with world.worker():
        await world.queue.until(lambda: world.queue.deleted == ["m"])
    assert [(told.result.status, told.result.code) for told in world.announced] == [
        ("FAILURE", "UNSUPPORTED_TYPE")
    ]


async def test_what_has_no_result_is_not_announced(world: WorkerWorld) -> None:
    world.store.upload("notes.txt", b"no document")
    world.queue.put("m", request("notes.txt", "gone.pdf"))
    async with world.worker():
        await world.queue.until(lambda: world.queue.deleted == ["m"])
    assert not world.announced


async def test_what_happens_to_messages_and_documents_is_counted(world: WorkerWorld) -> None:
    world.store.upload("a.pdf", b"%PDF-a\fb")
    world.store.upload("b.pdf", b"no document")
    world.queue.put("good", request("a.pdf"))
    world.queue.put("bad", request("b.pdf"))
    world.queue.put("odd", "nonsense")
    async with world.worker(max_in_flight=1):
        await world.queue.until(lambda: sorted(world.queue.deleted) == ["bad", "good"])
        await until(lambda: world.counted("messages_total", outcome="malformed") == 1)
    assert world.counted("messages_total", outcome="done") == 2
    assert world.counted("documents_total", status="SUCCESS", code="") == 1
    assert world.counted("documents_total", status="FAILURE", code="UNSUPPORTED_TYPE") == 1
    assert world.counted("stage_seconds_count", stage="download") == 2
    assert world.counted("stage_seconds_count", stage="publish") == 2
    assert world.counted("messages_in_flight") == 0


async def test_a_consumer_ends_by_itself_when_it_has_been_without_work_for_long_enough(
    world: WorkerWorld,
) -> None:
    world.recognizer.breaker.clear()
    world.store.upload("a.pdf", b"%PDF-a")
    world.queue.put("m", request("a.pdf"))
    async with world.worker(idle_exit_s=0.2):
        await asyncio.wait_for(world.recognizer.reading.wait(), 10)
        # It is not idle while it works, however long.
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.shield(world.running), 0.4)
        world.queue.put("n", request("gone.pdf"))
        await world.queue.until(lambda: world.queue.deleted == ["n"])
        world.recognizer.breaker.set()
        await asyncio.wait_for(world.running, 10)
    assert world.queue.deleted == ["n", "m"]


async def test_it_is_not_ready_while_the_queue_does_not_answer_the_machine_is_not_well_or_it_stops(
    world: WorkerWorld,
) -> None:
    async with world.worker() as worker:
        await asyncio.wait_for(world.queue.asked.wait(), 10)
        assert worker.problem is None
        world.problem = HostError("the disk is full")
        await until(lambda: worker.problem == "the disk is full")
        assert world.counted("healthy") == 0
        world.problem = None
        await until(lambda: worker.problem is None and world.counted("healthy") == 1)
        world.queue.failures.append(ServiceError("the queue is gone"))
        await until(lambda: worker.problem == "the queue is gone")
        world.stop.set()
        await until(lambda: worker.problem == "stopping")


async def test_a_topic_that_does_not_answer_is_no_failure_of_storage_and_denies_no_result(
    world: WorkerWorld, capsys: pytest.CaptureFixture[str]
) -> None:
    world.queue.most_receives = 1
    world.unannounced = [UnavailableError("the topic is gone")] * 20
    for number in range(6):
        world.store.upload(f"{number}.pdf", b"%PDF-a")
        world.queue.put(str(number), request(f"{number}.pdf"))
    async with world.worker(max_in_flight=1) as worker:
        await until(lambda: world.counted("messages_total", outcome="transient") == 6)
        assert worker.problem is None
    said = capsys.readouterr().out
    assert "the result is stored, and was not announced: the topic is gone" in said
    assert "without a result" not in said


async def test_a_consumer_that_cannot_ask_for_work_is_not_idle(world: WorkerWorld) -> None:
    world.problem = HostError("the disk is full")
    async with world.worker(idle_exit_s=0.2) as worker:
        await until(lambda: worker.problem is not None)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.shield(world.running), 1.5)
        world.problem = None
        await asyncio.wait_for(world.running, 10)
