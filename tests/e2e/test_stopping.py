"""A consumer that is stopped or killed in the middle of a document loses nothing and leaves nothing."""

import contextlib
import signal
import subprocess
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from local_cloud import QueuedMessage

from tests.e2e import documents
from tests.e2e.conftest import Start
from tests.e2e.proxy import FaultProxy, hold
from tests.e2e.stack import SCRIPTED, Consumer, Document, Stack, gone, null_engine, until

# An engine that reads nothing: they take longer than a poll.
PAGES, ENGINE = 6, (*SCRIPTED, *null_engine(1.2, lines=1))
LEASE_S = 10
SOON_S = 5.0
POLL_S = 5.0  # a stopping consumer waits for its long poll
READ_S = 90.0
# Or as soon as the second consumer is ready, on a busy machine.
LATEST = timedelta(seconds=LEASE_S + 20)


@dataclass(frozen=True)
class Work:
    """A document of several seconds, the only one on the queue."""

    stack: Stack
    key: str
    message_id: str

    def finished_by(self, consumer: Consumer) -> Document:
        """Wait until the consumer has read it; returns its result."""
        line = consumer.line(READ_S, event="message", message_id=self.message_id)
        assert (line["answer"], line["settled"]) == ("stored", "Delete")
        self.stack.wait_until_settled()
        return self.stack.result(self.key, silent=True)

    def is_visible(self) -> bool:
        return _message(self.stack, self.message_id).visible


@pytest.fixture
def work(request: pytest.FixtureRequest, lone_stack: Stack) -> Work:
    key = f"{request.node.name}.pdf"
    # In the bucket without events, so that the event of the result is not on the queue as well.
    lone_stack.put(key, documents.blank_pdf(100, PAGES), silent=True)
    return Work(lone_stack, key, lone_stack.request(key))


def _left(consumer: Consumer) -> list[Path]:
    return list(consumer.work_dir.iterdir())


def test_sigterm_finishes_the_document_in_work(work: Work, start: Start) -> None:
    consumer = start(work.stack, "consumer", ENGINE).wait_ready()
    consumer.wait_at_work()
    family = consumer.children()
    assert consumer.stop(READ_S) == 0
    assert work.finished_by(consumer)["page_count"] == PAGES
    assert gone(family, SOON_S) == []
    assert (_left(consumer), consumer.stderr) == ([], "")


def test_sigterm_without_time_to_drain_hands_the_document_back_at_once(work: Work, start: Start) -> None:
    consumer = start(work.stack, "first", ENGINE, DRAIN_S=0, LEASE_S=600, STALL_S=600).wait_ready()
    consumer.wait_at_work()
    family = consumer.children()
    assert consumer.stop(POLL_S + SOON_S) == 0
    assert work.is_visible()
    line = consumer.line(event="message", message_id=work.message_id)
    assert (line["outcome"], line["settled"]) == ("released", "RetryAfter")
    assert gone(family, SOON_S) == []
    assert (_left(consumer), consumer.stderr) == ([], "")
    assert work.finished_by(start(work.stack, "second", ENGINE))["page_count"] == PAGES


def test_the_document_of_a_killed_consumer_is_read_by_another_within_a_lease(
    work: Work, start: Start
) -> None:
    first = start(work.stack, "consumer", ENGINE, LEASE_S=LEASE_S).wait_ready()
    first.wait_at_work()
    family = first.children()
    left = _left(first)
    first.process.kill()
    killed_at = datetime.now(UTC)
    first.process.wait()
    assert gone(family, SOON_S) == []
    assert _left(first) == left != []
    assert not work.is_visible()
    second = start(work.stack, "consumer", ENGINE).wait_ready()
    assert not any(folder.exists() for folder in left)
    result = work.finished_by(second)
    assert result["page_count"] == PAGES
    assert datetime.fromisoformat(result["timing"]["started_at"]) < killed_at + LATEST


def test_eight_documents_in_work_are_finished_or_handed_back_before_the_time_to_drain_is_over(
    lone_stack: Stack, start: Start
) -> None:
    stack, drain_s = lone_stack, 10
    engine = (*SCRIPTED, *null_engine(2, lines=1))
    consumer = start(
        stack, "consumer", engine, MAX_IN_FLIGHT=8, BATCH_PAGES=1, DRAIN_S=drain_s, LEASE_S=600, STALL_S=600
    ).wait_ready()
    stack.wait_until_settled()
    for number in range(12):
        stack.put(f"{number}.pdf", documents.blank_pdf(100, pages=1 if number % 2 else 20), silent=True)
        stack.request(f"{number}.pdf")
    until(
        lambda: [message.visible for message in stack.cloud.messages(stack.queue_url)].count(False) == 8,
        SOON_S,
        "eight messages in work",
    )
    unstarted = {m.message_id for m in stack.cloud.messages(stack.queue_url) if m.visible}
    asked_at = time.monotonic()
    consumer.process.send_signal(signal.SIGTERM)
    consumer.line(event="drain.started")
    # A platform that is impatient, or an operator, changes nothing.
    for number in (signal.SIGTERM, signal.SIGINT):
        consumer.process.send_signal(number)
    assert consumer.process.wait(drain_s + SOON_S) == 0
    assert time.monotonic() - asked_at < drain_s + 2
    left = {message.message_id: message for message in stack.cloud.messages(stack.queue_url)}
    assert all(message.visible for message in left.values())
    assert {left[message_id].receive_count for message_id in unstarted} == {0}
    outcomes = [line["outcome"] for line in consumer.lines if line["event"] == "message" and "key" in line]
    done = outcomes.count("done")
    assert (outcomes.count("released"), len(left)) == (8 - done, 12 - done)
    # The short ones had time enough.
    assert 0 < done == len([key for key in stack.keys(silent=True) if key.endswith(".ocr.json")]) < 8
    assert (_left(consumer), consumer.stderr) == ([], "")


def test_a_message_that_comes_with_the_poll_under_way_when_the_consumer_is_stopped_is_handed_back(
    lone_stack: Stack, start: Start
) -> None:
    stack = lone_stack
    with FaultProxy(stack.cloud.endpoint_url) as proxy:
        engine = (*SCRIPTED, *null_engine(0.05, lines=1))
        # The first poll, and no other message for it.
        stack.sqs.purge_queue(QueueUrl=stack.queue_url)
        message_id = stack.request("polled.pdf")
        poll = hold(carried_out=True)
        proxy.fail("ReceiveMessage", poll)
        consumer = start(stack.seen_at(proxy.url), "consumer", engine, LEASE_S=600, STALL_S=600)
        assert poll.reached.wait(READ_S)
        assert not _message(stack, message_id).visible
        consumer.process.send_signal(signal.SIGTERM)
        consumer.line(event="drain.started")
        poll.release()
        assert consumer.process.wait(READ_S) == 0
        assert proxy.count("s3") == 0
    assert _message(stack, message_id).visible
    line = consumer.line(event="message", message_id=message_id)
    assert (line["outcome"], line["settled"]) == ("released", "RetryAfter")


def _message(stack: Stack, message_id: str) -> QueuedMessage:
    (found,) = [m for m in stack.cloud.messages(stack.queue_url) if m.message_id == message_id]
    return found


def test_a_consumer_stopped_before_it_is_ready_ends_well(lone_stack: Stack, start: Start) -> None:
    consumer = start(lone_stack)
    status = Path(f"/proc/{consumer.process.pid}/status")
    if not status.exists():
        pytest.skip("what a process catches is told by Linux alone")

    def catches_sigterm() -> bool:
        (caught,) = [line for line in status.read_text().splitlines() if line.startswith("SigCgt")]
        return bool(int(caught.split()[1], 16) & 1 << (signal.SIGTERM - 1))

    until(catches_sigterm, SOON_S, "a handler of SIGTERM")
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

    until(ended, READ_S, "the end", every_s=0)
    return consumer.process.returncode
