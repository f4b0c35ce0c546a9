"""S3 and SQS answer with faults, or not at all: every document gets its one right result."""

import json
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from local_cloud import LocalCloud

from tests.e2e import documents
from tests.e2e.proxy import (
    Fault,
    FaultProxy,
    answer,
    delay,
    lost_response,
    reset_before,
    reset_midway,
    stall_midway,
    truncated,
)
from tests.e2e.stack import QUICK, RESULT_S, Consumer, Document, Stack, null_engine, until

#: On a busy machine a renewal takes seconds, and documents that are refused wait for some.
LEASE_S = 30

#: So much of a source comes before the rest does not.
PART_BYTES = 300


@dataclass(frozen=True)
class Case:
    """One fault of the call that is made for a document, and what becomes of its message.

    `times`: how often it is met; 4 are one more than the SDK tries again; `after`: so many sound calls.
    `receives`: how often the message is received then. `job_result`: the last one in the log.
    """

    operation: str
    fault: Fault
    times: int = 1
    after: int = 0
    receives: int = 1
    job_result: str = "stored"
    of_result: bool = False


SLOW_DOWN = answer(503, "SlowDown", "Please reduce your request rate.")
NO_BUCKET = answer(404, "NoSuchBucket")
CASES = {
    "503 of the first look": Case("HeadObject", SLOW_DOWN, times=2),
    "503 until the SDK gives up": Case("GetObject", SLOW_DOWN, times=4, receives=2),
    "500 of the download": Case("GetObject", answer(500, "InternalError"), times=2),
    "throttled download": Case("GetObject", answer(503, "Throttling"), times=2),
    "connection reset before the download": Case("GetObject", reset_before()),
    "reset within the download": Case("GetObject", reset_midway(PART_BYTES)),
    "stall within the download": Case("GetObject", stall_midway(PART_BYTES)),
    "truncated download": Case("GetObject", truncated(PART_BYTES)),
    "source changed says the download": Case("GetObject", answer(412, "PreconditionFailed")),
    "clock skew of the look": Case("HeadObject", answer(403, "RequestTimeTooSkewed")),
    "clock skew of the download": Case("GetObject", answer(403, "RequestTimeTooSkewed")),
    "expired credentials": Case("GetObject", answer(400, "ExpiredToken")),
    "access denied for a while": Case("GetObject", answer(403, "AccessDenied")),
    "a bucket that is missing for a while": Case("GetObject", NO_BUCKET, receives=2),
    "500 of the put": Case("PutObject", answer(500, "InternalError"), times=2, of_result=True),
    "dropped response of the put": Case(
        "PutObject", lost_response(), job_result="stored meanwhile", of_result=True
    ),
    "409 of the put": Case("PutObject", answer(409, "ConditionalRequestConflict"), times=3, of_result=True),
    "412 of the put and nothing there": Case("PutObject", answer(412, "PreconditionFailed"), of_result=True),
    "late look before the put": Case("HeadObject", delay(3.0), after=1),
    "503 of the look after the put": Case("HeadObject", SLOW_DOWN, times=2, after=2),
}


@dataclass(frozen=True)
class Survivor:
    """The end of a case's document. `width_pt` is its own."""

    case: Case
    key: str
    width_pt: int
    message_id: str


class World:
    """One consumer behind a proxy, with an engine that reads nothing, and the documents of all cases."""

    def __init__(self, stack: Stack, proxy: FaultProxy, consumer: Consumer) -> None:
        self.stack = stack
        self.proxy = proxy
        self.consumer = consumer
        self.survivors: dict[str, Survivor] = {}

    def meet(self, name: str, case: Case, width_pt: int) -> None:
        key = f"{name}.pdf"
        target = f"{key}.ocr.json" if case.of_result else key
        self.proxy.fail(case.operation, case.fault, key=target, times=case.times, after=case.after)
        self.stack.put(key, documents.blank_pdf(width_pt), silent=True)
        self.survivors[name] = Survivor(case, key, width_pt, self.stack.request(key))

    def met(self, operation: str, fault: Fault) -> int:
        """How often a fault has been met."""
        calls = self.proxy.calls
        return sum(call.fault == fault.name and call.matches(operation, None) for call in calls)

    def settle_all(self) -> None:
        for survivor in self.survivors.values():
            self.last_line(survivor.message_id)
        self.stack.wait_until_settled(RESULT_S)

    def last_line(self, message_id: str) -> Document:
        return self.consumer.line(RESULT_S, event="message", message_id=message_id, settled="Delete")


@pytest.fixture(scope="module")
def world(cloud: LocalCloud, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with (
        FaultProxy(cloud.endpoint_url) as proxy,
        Stack.deployed(cloud, "e2e-faults") as stack,
        Consumer(
            stack.seen_at(proxy.url),
            tmp_path_factory.mktemp("faults"),
            (*QUICK, *null_engine(0.05, lines=1)),
            ENGINE_WORKERS=1,
            RENDER_WORKERS=1,
            MAX_IN_FLIGHT=16,
            LEASE_S=LEASE_S,
        ) as consumer,
    ):
        consumer.wait_ready()
        world = World(stack, proxy, consumer)
        for width_pt, (name, case) in enumerate(CASES.items(), start=100):
            world.meet(name, case, width_pt)
        yield world
        assert consumer.stop() == 0
        assert consumer.stderr == ""


@pytest.mark.parametrize("name", CASES)
def test_a_fault_costs_no_document_its_result(world: World, name: str) -> None:
    case, survivor = CASES[name], world.survivors[name]
    line = world.last_line(survivor.message_id)
    assert (line["job_result"], line["receive_count"]) == (case.job_result, case.receives)
    result = world.stack.result(survivor.key, silent=True)
    assert result["status"] == "SUCCESS"
    assert result["detections"][0]["text"].startswith(f"Page 1, {2 * survivor.width_pt} x 100,")
    met = [call for call in world.proxy.calls if call.fault == case.fault.name and call.key is not None]
    assert sum(call.key.startswith(survivor.key) for call in met if call.key) == case.times


@pytest.mark.parametrize(
    "name", ["reset within the download", "stall within the download", "truncated download"]
)
def test_a_cut_transfer_goes_on_where_it_ended_and_with_the_same_object(world: World, name: str) -> None:
    survivor = world.survivors[name]
    world.last_line(survivor.message_id)
    first, second = (call for call in world.proxy.calls if call.matches("GetObject", survivor.key))
    assert "Range" not in first.headers
    assert second.headers["Range"] == f"bytes={PART_BYTES}-"
    assert first.headers["If-Match"] == second.headers["If-Match"]


def test_the_redelivery_of_a_finished_document_costs_two_looks_and_nothing_else(world: World) -> None:
    key = "finished.pdf"
    world.stack.put(key, documents.blank_pdf(90), silent=True)
    world.last_line(world.stack.request(key))
    before = [call for call in world.proxy.calls if call.service == "s3"]
    line = world.last_line(world.stack.request(key))
    assert line["job_result"] == "already current"
    assert "engine_s" not in line
    asked = [call for call in world.proxy.calls if call.service == "s3" and (call.key or "").startswith(key)]
    assert [call.operation for call in asked if call not in before] == ["HeadObject", "HeadObject"]


def test_the_event_of_an_own_output_costs_no_call_to_s3(world: World) -> None:
    key = "own.pdf"
    line = world.last_line(world.stack.request(f"{key}.ocr.json"))
    assert line["ignored"] == ["own output"]
    assert not [call for call in world.proxy.calls if (call.key or "").startswith(key)]


def test_of_a_message_that_partly_fails_the_part_that_was_done_is_not_done_again(world: World) -> None:
    names = ("done.pdf", "pending.pdf")
    for width_pt, key in enumerate(names, start=80):
        world.stack.put(key, documents.blank_pdf(width_pt), silent=True)
    world.proxy.fail("GetObject", NO_BUCKET, key=names[1])
    records = [
        {
            "eventName": "ObjectCreated:Put",
            "s3": {"bucket": {"name": world.stack.silent_bucket}, "object": {"key": key}},
        }
        for key in names
    ]
    line = world.last_line(world.stack.send({"Records": records}))
    assert line["receive_count"] == 2
    assert [document["job_result"] for document in line["documents"]] == ["already current", "stored"]
    assert world.proxy.count("GetObject", key=names[0]) == 1


@pytest.mark.parametrize(
    ("operation", "fault"),
    [
        ("ReceiveMessage", answer(400, "RequestThrottled")),
        ("ReceiveMessage", answer(400, "ExpiredTokenException")),
        ("ReceiveMessage", answer(500, "InternalFailure")),
        ("ReceiveMessage", reset_before()),
        ("DeleteMessage", answer(500, "InternalFailure")),
        ("DeleteMessage", lost_response()),
    ],
    ids=lambda value: value.name if isinstance(value, Fault) else value,
)
def test_a_queue_that_fails_for_a_moment_loses_no_message(world: World, operation: str, fault: Fault) -> None:
    key = f"{operation} {fault.name}.pdf"
    world.stack.put(key, documents.blank_pdf(70), silent=True)
    met = world.met(operation, fault)
    world.proxy.fail(operation, fault)
    if operation == "ReceiveMessage":
        # A poll that was admitted before would take the message.
        until(lambda: world.met(operation, fault) > met, RESULT_S, "the fault to be met")
    line = world.last_line(world.stack.request(key))
    until(lambda: world.met(operation, fault) == met + 1, RESULT_S, "the fault to be met once")
    assert (line["job_result"], line["receive_count"]) == ("stored", 1)
    until(
        lambda: (
            line["message_id"]
            not in {m.message_id for m in world.stack.cloud.messages(world.stack.queue_url)}
        ),
        RESULT_S,
        "the message to be deleted",
    )


def test_a_delete_that_fails_for_good_costs_two_looks_at_the_redelivery(world: World) -> None:
    key = "undeleted.pdf"
    # Until then the failures could meet the deletes of others.
    world.settle_all()
    world.stack.put(key, documents.blank_pdf(60), silent=True)
    world.proxy.fail("DeleteMessage", answer(500, "InternalFailure"), times=4)
    message_id = world.stack.request(key)
    world.consumer.line(RESULT_S, event="settle.failed", message_id=message_id)
    line = world.consumer.line(RESULT_S, event="message", message_id=message_id, job_result="already current")
    assert line["receive_count"] == 2
    assert world.proxy.count("GetObject", key=key) == 1
    world.stack.wait_until_settled()


def test_no_dead_letter_came_of_all_that(world: World) -> None:
    world.settle_all()
    assert world.stack.dead_letters() == set()


def test_tries_that_run_out_leave_a_result_that_says_so_which_a_redrive_replaces(world: World) -> None:
    stack, key = world.stack, "denied.pdf"
    queue = {"QueueUrl": stack.queue_url}
    policy = stack.sqs.get_queue_attributes(**queue, AttributeNames=["RedrivePolicy"])["Attributes"]
    once = json.dumps(json.loads(policy["RedrivePolicy"]) | {"maxReceiveCount": 1})
    stack.sqs.set_queue_attributes(**queue, Attributes={"RedrivePolicy": once})
    world.proxy.fail("GetObject", NO_BUCKET, key=key)
    stack.put(key, documents.blank_pdf(120), silent=True)
    message_id = stack.request(key)
    result = stack.result(key, silent=True)
    assert (result["status"], result["error"]["code"]) == ("FAILURE", "RETRIES_EXHAUSTED")
    assert result["error"]["retryable"] is True
    assert "NoSuchBucket" in result["error"]["message"]
    until(lambda: message_id in stack.dead_letters(), RESULT_S, "a dead letter")
    # LocalStack goes on counting the receives of a message that is moved, so it would be exhausted at once.
    world.proxy.fail("GetObject", NO_BUCKET, key=key)
    stack.sqs.start_message_move_task(
        SourceArn=stack.sqs.get_queue_attributes(
            QueueUrl=stack.dead_letter_queue_url, AttributeNames=["QueueArn"]
        )["Attributes"]["QueueArn"]
    )
    until(lambda: stack.result(key, silent=True)["status"] == "SUCCESS", RESULT_S, "the right result")
    world.consumer.line(event="message", message_id=message_id, settled="SendAgain")
