"""A consumer that is stopped or killed in the middle of a document loses nothing and leaves nothing."""

import contextlib
import json
import signal
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from local_cloud import QueuedMessage

from tests.e2e import documents
from tests.e2e.conftest import Start
from tests.e2e.proxy import FaultProxy, hold
from tests.e2e.stack import QUICK, RESULT_S, STOP_S, Consumer, Document, Stack, gone, null_engine, until

PAGES, ENGINE = 3, (*QUICK, *null_engine(0.05, lines=1))
LEASE_S = 6
MAX_RECEIVE_COUNT = 3
# From when another consumer could begin until it has begun, on a busy machine.
BEGIN = timedelta(seconds=30)


@dataclass(frozen=True)
class Work:
    """A document, the only one on the queue."""

    stack: Stack
    key: str
    message_id: str

    def finished_by(self, consumer: Consumer) -> Document:
        """Wait until the consumer has read it; returns its result."""
        line = consumer.line(RESULT_S, event="message", key=self.key)
        assert (line["job_result"], line["settled"]) == ("stored", "Delete")
        self.stack.wait_until_settled()
        return self.stack.result(self.key, silent=True)

    def sent_again(self) -> QueuedMessage:
        """The message that a stopped consumer has sent in place of the one that it held."""
        return _sent_again(self.stack, self.message_id)


@pytest.fixture
def gate(tmp_path: Path) -> Path:
    """The file that `waiting` waits for."""
    return tmp_path / "gate"


@pytest.fixture
def waiting(gate: Path) -> tuple[str, ...]:
    """An engine that reads no page before the gate is there."""
    return (*QUICK, *null_engine(gate, lines=1))


@pytest.fixture
def work(request: pytest.FixtureRequest, lone_stack: Stack) -> Work:
    key = f"{request.node.name}.pdf"
    # In the bucket without events, so that the event of the result is not on the queue as well.
    lone_stack.put(key, documents.blank_pdf(100, PAGES), silent=True)
    return Work(lone_stack, key, lone_stack.request(key))


def _left(consumer: Consumer) -> list[Path]:
    return list(consumer.work_dir.iterdir())


def test_sigterm_finishes_the_document_in_flight(
    work: Work, start: Start, waiting: Sequence[str], gate: Path
) -> None:
    consumer = start(work.stack, "consumer", waiting).wait_ready()
    consumer.wait_at_work()
    family = consumer.children()
    consumer.process.send_signal(signal.SIGTERM)
    consumer.line(event="drain.started", in_flight=1)
    gate.touch()
    assert consumer.process.wait(RESULT_S) == 0
    assert work.finished_by(consumer)["page_count"] == PAGES
    assert gone(family, STOP_S) == []
    assert (_left(consumer), consumer.stderr) == ([], "")


def test_sigterm_without_time_to_drain_releases_the_document_at_once(
    work: Work, start: Start, waiting: Sequence[str]
) -> None:
    consumer = start(work.stack, "first", waiting, DRAIN_S=0, LEASE_S=600, STALL_S=600).wait_ready()
    consumer.wait_at_work()
    family = consumer.children()
    assert consumer.stop() == 0
    message = work.sent_again()
    assert (message.visible, message.receive_count) == (True, 0)
    line = consumer.line(event="message", message_id=work.message_id)
    assert (line["outcome"], line["settled"]) == ("released", "SendAgain")
    assert gone(family, STOP_S) == []
    assert (_left(consumer), consumer.stderr) == ([], "")
    assert work.finished_by(start(work.stack, "second", ENGINE))["page_count"] == PAGES


def test_a_document_whose_consumers_are_stopped_again_and_again_is_read_in_the_end(
    work: Work, start: Start, waiting: Sequence[str], gate: Path
) -> None:
    policy = {"deadLetterTargetArn": _arn(work.stack, work.stack.dead_letter_queue_url)}
    work.stack.sqs.set_queue_attributes(
        QueueUrl=work.stack.queue_url,
        Attributes={"RedrivePolicy": json.dumps(policy | {"maxReceiveCount": MAX_RECEIVE_COUNT})},
    )
    for number in range(MAX_RECEIVE_COUNT + 2):
        consumer = start(work.stack, f"stopped-{number}", waiting, DRAIN_S=0).wait_ready()
        consumer.wait_at_work()
        assert consumer.stop() == 0
        line = consumer.line(event="message", key=work.key)
        assert (line["outcome"], line["receive_count"]) == ("released", 1)
    assert work.stack.keys(silent=True) == {work.key}
    gate.touch()
    assert work.finished_by(start(work.stack, "last", waiting))["status"] == "SUCCESS"
    assert not work.stack.dead_letters()


def _arn(stack: Stack, queue_url: str) -> str:
    answer = stack.sqs.get_queue_attributes(QueueUrl=queue_url, AttributeNames=["QueueArn"])
    return answer["Attributes"]["QueueArn"]


def test_the_document_of_a_killed_consumer_is_read_by_another_within_a_lease(
    work: Work, start: Start, waiting: Sequence[str]
) -> None:
    first = start(work.stack, "consumer", waiting, LEASE_S=LEASE_S).wait_ready()
    first.wait_at_work()
    family = first.children()
    left = _left(first)
    first.process.kill()
    killed_at = datetime.now(UTC)
    first.process.wait()
    assert gone(family, STOP_S) == []
    assert _left(first) == left != []
    second = start(work.stack, "consumer", ENGINE).wait_ready()
    could_begin_at = max(killed_at + timedelta(seconds=LEASE_S), datetime.now(UTC))
    assert not any(folder.exists() for folder in left)
    result = work.finished_by(second)
    assert result["page_count"] == PAGES
    assert datetime.fromisoformat(result["timing"]["started_at"]) < could_begin_at + BEGIN


def test_eight_documents_are_finished_or_released_within_the_time_to_drain(
    lone_stack: Stack, start: Start
) -> None:
    stack = lone_stack
    with FaultProxy(stack.cloud.endpoint_url) as proxy:
        _eight_documents(stack, proxy, start)


def _eight_documents(stack: Stack, proxy: FaultProxy, start: Start) -> None:
    settings = {"MAX_IN_FLIGHT": 8, "BATCH_PAGES": 1, "DRAIN_S": 10, "LEASE_S": 600, "STALL_S": 600}
    engine = (*QUICK, *null_engine(0.5, lines=1))
    consumer = start(stack.seen_at(proxy.url), "consumer", engine, **settings).wait_ready()
    stack.wait_until_settled()
    # The short ones begin when the time to drain does; the long ones have more pages than that is enough for.
    begin = hold()
    for number in range(12):
        key = f"{number}.pdf"
        is_short = number % 2 == 1
        if is_short:
            proxy.fail("GetObject", begin, key=key, times=None)
        stack.put(key, documents.blank_pdf(100, pages=1 if is_short else 64), silent=True)
        stack.request(key)
    until(
        lambda: [message.visible for message in stack.cloud.messages(stack.queue_url)].count(False) == 8,
        RESULT_S,
        "eight messages in flight",
    )
    unstarted = {m.message_id for m in stack.cloud.messages(stack.queue_url) if m.visible}
    consumer.process.send_signal(signal.SIGTERM)
    consumer.line(event="drain.started")
    begin.release()
    # A platform that is impatient, or an operator, changes nothing.
    for number in (signal.SIGTERM, signal.SIGINT):
        consumer.process.send_signal(number)
    assert consumer.process.wait(STOP_S) == 0
    # By its own clock it was in time.
    assert all(line["event"] != "drain.cut_short" for line in consumer.lines)
    left = {message.message_id: message for message in stack.cloud.messages(stack.queue_url)}
    assert all(message.visible for message in left.values())
    assert unstarted <= left.keys()
    assert {message.receive_count for message in left.values()} == {0}
    outcomes = [line["outcome"] for line in consumer.lines if line["event"] == "message" and "key" in line]
    done = outcomes.count("done")
    assert (outcomes.count("released"), len(left)) == (8 - done, 12 - done)
    # The short ones had time enough.
    assert 0 < done == len([key for key in stack.keys(silent=True) if key.endswith(".ocr.json")]) < 8
    assert (_left(consumer), consumer.stderr) == ([], "")


def test_a_message_that_comes_with_the_last_poll_of_a_stopped_consumer_is_released(
    lone_stack: Stack, start: Start
) -> None:
    stack = lone_stack
    with FaultProxy(stack.cloud.endpoint_url) as proxy:
        # The first poll, and no other message for it.
        stack.sqs.purge_queue(QueueUrl=stack.queue_url)
        message_id = stack.request("polled.pdf")
        poll = hold(carried_out=True)
        proxy.fail("ReceiveMessage", poll)
        consumer = start(stack.seen_at(proxy.url), "consumer", ENGINE, LEASE_S=600, STALL_S=600)
        assert poll.reached.wait(RESULT_S)
        (held,) = stack.cloud.messages(stack.queue_url)
        assert (held.message_id, held.visible) == (message_id, False)
        consumer.process.send_signal(signal.SIGTERM)
        consumer.line(event="drain.started")
        poll.release()
        assert consumer.process.wait(RESULT_S) == 0
        assert proxy.count("s3") == 0
    assert _sent_again(stack, message_id).visible
    line = consumer.line(event="message", message_id=message_id)
    assert (line["outcome"], line["settled"]) == ("released", "SendAgain")


def _sent_again(stack: Stack, message_id: str) -> QueuedMessage:
    (found,) = stack.cloud.messages(stack.queue_url)
    assert found.message_id != message_id
    return found


def test_a_consumer_stopped_before_it_is_ready_ends_well(lone_stack: Stack, start: Start) -> None:
    consumer = start(lone_stack)
    status = Path(f"/proc/{consumer.process.pid}/status")
    if not status.exists():
        pytest.skip("what a process catches is told by Linux alone")

    def catches_sigterm() -> bool:
        (caught,) = [line for line in status.read_text().splitlines() if line.startswith("SigCgt")]
        return bool(int(caught.split()[1], 16) & 1 << (signal.SIGTERM - 1))

    until(catches_sigterm, RESULT_S, "a handler of SIGTERM")
    assert _stop_impatiently(consumer) == 0
    assert consumer.stderr == ""


def test_signals_to_the_very_end_change_nothing(lone_stack: Stack, start: Start) -> None:
    consumer = start(lone_stack, "consumer", ENGINE).wait_ready()
    assert _stop_impatiently(consumer) == 0
    assert (_left(consumer), consumer.stderr) == ([], "")


def _stop_impatiently(consumer: Consumer) -> int:
    """Send SIGTERM again and again until there is nobody left; returns the exit status."""

    def ended() -> bool:
        consumer.process.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            consumer.process.wait(0.005)
        return consumer.process.returncode is not None

    until(ended, RESULT_S, "the end", every_s=0)
    return consumer.process.returncode
