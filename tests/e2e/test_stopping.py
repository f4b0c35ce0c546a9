"""A consumer that is stopped or killed in the middle of a document loses nothing and leaves nothing."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.e2e import documents
from tests.e2e.conftest import Start
from tests.e2e.stack import Consumer, Document, Stack, gone

# They take far longer to read than a poll.
PAGES = 6
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
        (message,) = [
            message
            for message in self.stack.cloud.messages(self.stack.queue_url)
            if message.message_id == self.message_id
        ]
        return message.visible


@pytest.fixture
def work(request: pytest.FixtureRequest, lone_stack: Stack, samples: Path) -> Work:
    key = f"{request.node.name}.pdf"
    # In the bucket without events, so that the event of the result is not on the queue as well.
    lone_stack.put(key, documents.long_pdf(samples / "letter.pdf", PAGES), silent=True)
    return Work(lone_stack, key, lone_stack.request(key))


def _left(consumer: Consumer) -> list[Path]:
    return list(consumer.work_dir.iterdir())


def test_sigterm_finishes_the_document_in_work(work: Work, start: Start) -> None:
    consumer = start(work.stack).wait_ready()
    consumer.wait_at_work()
    family = consumer.children()
    assert consumer.stop(READ_S) == 0
    assert work.finished_by(consumer)["page_count"] == PAGES
    assert gone(family, SOON_S) == []
    assert (_left(consumer), consumer.stderr) == ([], "")


def test_sigterm_without_time_to_drain_hands_the_document_back_at_once(work: Work, start: Start) -> None:
    consumer = start(work.stack, "first", DRAIN_S=0, LEASE_S=600, STALL_S=600).wait_ready()
    consumer.wait_at_work()
    family = consumer.children()
    assert consumer.stop(POLL_S + SOON_S) == 0
    assert work.is_visible()
    line = consumer.line(event="message", message_id=work.message_id)
    assert (line["outcome"], line["settled"]) == ("handed_back", "RetryAfter")
    assert gone(family, SOON_S) == []
    assert (_left(consumer), consumer.stderr) == ([], "")
    assert work.finished_by(start(work.stack, "second"))["page_count"] == PAGES


def test_the_document_of_a_killed_consumer_is_read_by_another_within_a_lease(
    work: Work, start: Start
) -> None:
    first = start(work.stack, "consumer", LEASE_S=LEASE_S).wait_ready()
    first.wait_at_work()
    family = first.children()
    left = _left(first)
    first.process.kill()
    killed_at = datetime.now(UTC)
    first.process.wait()
    assert gone(family, SOON_S) == []
    assert _left(first) == left != []
    assert not work.is_visible()
    second = start(work.stack, "consumer").wait_ready()
    assert not any(folder.exists() for folder in left)
    result = work.finished_by(second)
    assert result["page_count"] == PAGES
    assert datetime.fromisoformat(result["timing"]["started_at"]) < killed_at + LATEST
