"""A consumer that is stopped or killed in the middle of a document loses nothing and leaves nothing."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from local_cloud import LocalCloud

from tests.e2e import documents
from tests.e2e.conftest import Start
from tests.e2e.stack import Consumer, Document, Stack, gone, until

PAGES = 4
LEASE_S = 10
SOON_S = 5.0
POLL_S = 5.0  # a stopping consumer waits for its long poll
READ_S = 90.0


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
def stack(cloud: LocalCloud, request: pytest.FixtureRequest) -> Iterator[Stack]:
    """A stack for each test: the last long poll of a killed consumer still takes messages for a lease."""
    number = list(request.session.items).index(request.node)
    with Stack.deployed(cloud, f"e2e-stopping-{number}") as stack:
        yield stack


@pytest.fixture
def work(request: pytest.FixtureRequest, stack: Stack, samples: Path) -> Work:
    key = f"{request.node.name}.pdf"
    # In the bucket without events, so that the event of the result is not on the queue as well.
    stack.put(key, documents.long_pdf(samples / "letter.pdf", PAGES), silent=True)
    return Work(stack, key, stack.request(key))


def _left(consumer: Consumer) -> list[Path]:
    return list(consumer.work_dir.iterdir())


def test_sigterm_finishes_the_document_in_work(work: Work, start: Start) -> None:
    consumer = start().wait_ready()
    consumer.wait_at_work()
    family = consumer.children()
    assert consumer.stop(READ_S) == 0
    assert work.finished_by(consumer)["page_count"] == PAGES
    assert gone(family, SOON_S) == []
    assert (_left(consumer), consumer.stderr) == ([], "")


def test_sigterm_without_time_to_drain_hands_the_document_back_at_once(work: Work, start: Start) -> None:
    consumer = start("first", DRAIN_S=0, LEASE_S=600, STALL_S=600).wait_ready()
    consumer.wait_at_work()
    family = consumer.children()
    assert consumer.stop(POLL_S + SOON_S) == 0
    assert work.is_visible()
    line = consumer.line(event="message", message_id=work.message_id)
    assert (line["outcome"], line["settled"]) == ("handed_back", "RetryAfter")
    assert gone(family, SOON_S) == []
    assert (_left(consumer), consumer.stderr) == ([], "")
    assert work.finished_by(start("second"))["page_count"] == PAGES


def test_the_document_of_a_killed_consumer_is_read_by_another_within_a_lease(
    work: Work, start: Start
) -> None:
    first = start("consumer", LEASE_S=LEASE_S).wait_ready()
    first.wait_at_work()
    family = first.children()
    left = _left(first)
    first.process.kill()
    killed_s = time.monotonic()
    first.process.wait()
    assert gone(family, SOON_S) == []
    assert _left(first) == left != []
    assert not work.is_visible()
    until(work.is_visible, LEASE_S + SOON_S, "the message of the killed consumer")
    assert time.monotonic() - killed_s < LEASE_S + SOON_S
    second = start("consumer").wait_ready()
    assert not any(folder.exists() for folder in left)
    assert work.finished_by(second)["page_count"] == PAGES


def test_an_idle_consumer_stops_within_its_long_poll(start: Start) -> None:
    consumer = start().wait_ready()
    family = consumer.children()
    assert consumer.stop(POLL_S + SOON_S) == 0
    assert gone(family, SOON_S) == []
    assert (_left(consumer), consumer.lines[-1]["event"]) == ([], "stopped")
