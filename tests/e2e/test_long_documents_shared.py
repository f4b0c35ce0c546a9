"""A long document whose source changes, whose messages come twice, or that two consumers join."""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import pytest
from aiohttp import web

from tests.e2e.conftest import Start
from tests.e2e.long_documents import (
    PART_PAGES,
    SETTINGS,
    Journal,
    ask_for,
    ask_for_part,
    assert_only_result,
    assert_read,
    limit_receives,
    pieces,
)
from tests.e2e.proxy import Exchange, Fault, FaultProxy, hold
from tests.e2e.stack import RESULT_S, Consumer, Stack, until

PAGES = 48
#: So long that it is not finished before something happens to it, and no part of it either.
LONG_PAGES = 400
LONG_PARTS = SETTINGS | {"PART_PAGES": 200}


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path / "journal")


@pytest.fixture
def proxy(lone_stack: Stack) -> Iterator[FaultProxy]:
    with FaultProxy(lone_stack.cloud.endpoint_url) as proxy:
        yield proxy


def read_half_way(stack: Stack, key: str, start: Start, journal: Journal) -> None:
    """Let two consumers begin a long document, until pages of it are stored."""
    for folder in ("first", "second"):
        start(stack, folder, journal.engine(0.05), **LONG_PARTS).wait_ready()
    ask_for(stack, key, LONG_PAGES)
    until(lambda: pieces(stack, key), RESULT_S, "stored pages")


def test_a_long_document_that_is_overwritten_in_the_middle_gets_the_result_of_the_new_one(
    lone_stack: Stack, start: Start, journal: Journal
) -> None:
    stack, key = lone_stack, "long.pdf"
    read_half_way(stack, key, start, journal)
    ask_for(stack, key, PAGES, shift=LONG_PAGES)
    assert_read(stack.result(key, silent=True), PAGES, shift=LONG_PAGES)
    assert_only_result(stack, key)
    assert journal.pages.total() < LONG_PAGES


def test_a_long_document_that_is_deleted_in_the_middle_leaves_nothing_and_stops_the_engines(
    lone_stack: Stack, start: Start, journal: Journal
) -> None:
    stack, key = lone_stack, "long.pdf"
    read_half_way(stack, key, start, journal)
    stack.s3.delete_object(Bucket=stack.silent_bucket, Key=key)
    stack.wait_until_settled()
    begun = journal.pages.total()
    assert (stack.keys(silent=True), stack.dead_letters()) == (set(), set())
    ask_for(stack, "letter.pdf", 1)
    assert_read(stack.result("letter.pdf", silent=True), 1)
    assert journal.pages.total() == begun + 1 < LONG_PAGES


@dataclass(frozen=True)
class Pair:
    """Two consumers behind a proxy, each with one message at a time: one that is held takes no other."""

    consumers: tuple[Consumer, Consumer]
    proxy: FaultProxy

    @classmethod
    def started(cls, stack: Stack, start: Start, journal: Journal, proxy: FaultProxy) -> Self:
        seen, settings = stack.seen_at(proxy.url), SETTINGS | {"MAX_IN_FLIGHT": 1}
        first, second = (start(seen, name, journal.engine(0.01), **settings) for name in ("first", "second"))
        return cls((first.wait_ready(), second.wait_ready()), proxy)

    def puts(self, key: str) -> int:
        """How many puts of a result there were; one that is tried again counts once."""
        calls = [call for call in self.proxy.calls if call.matches("PutObject", f"{key}.ocr.json")]
        return len({call.headers["amz-sdk-invocation-id"] for call in calls})

    def wait_for(self, key: str, *results: str) -> None:
        """Wait until both have worked on it, and jobs of theirs have ended so."""

        def ended() -> bool:
            both = [consumer.job_results(key) for consumer in self.consumers]
            return all(both) and {*results} <= {result for one in both for result in one}

        until(ended, RESULT_S, f"jobs that ended as {results}")


def test_two_that_join_at_once_store_one_result(
    lone_stack: Stack, start: Start, journal: Journal, proxy: FaultProxy
) -> None:
    stack, key, put = lone_stack, "long.pdf", hold()
    pair = Pair.started(stack, start, journal, proxy)
    proxy.fail("PutObject", put, key=f"{key}.ocr.json", times=None)
    ask_for(stack, key, PAGES)
    assert put.reached.wait(RESULT_S)
    ask_for_part(stack, key, 1, PART_PAGES, PAGES)
    until(lambda: pair.puts(key) == 2, RESULT_S, "a second put")
    put.release()
    assert_read(stack.result(key, silent=True), PAGES)
    assert_only_result(stack, key)
    pair.wait_for(key, "stored", "stored meanwhile")
    assert journal.pages.total() == PAGES


def test_one_that_joins_while_another_removes_the_pieces_finds_the_result(
    lone_stack: Stack, start: Start, journal: Journal, proxy: FaultProxy
) -> None:
    stack, key, put, get = lone_stack, "long.pdf", hold(), hold()
    pair = Pair.started(stack, start, journal, proxy)
    proxy.fail("PutObject", put, key=f"{key}.ocr.json", times=None)
    ask_for(stack, key, PAGES)
    assert put.reached.wait(RESULT_S)
    for piece in pieces(stack, key):
        proxy.fail("GetObject", get, key=piece, times=None)
    stack.request(key)
    assert get.reached.wait(RESULT_S)
    put.release()
    until(lambda: not pieces(stack, key), RESULT_S, "removed pieces")
    get.release()
    pair.wait_for(key, "stored", "joined meanwhile")
    assert_read(stack.result(key, silent=True), PAGES)
    assert_only_result(stack, key)
    assert journal.pages.total() == PAGES


def test_a_part_that_fails_for_good_ends_the_document_partial_until_it_is_redriven(
    lone_stack: Stack, start: Start, journal: Journal, proxy: FaultProxy
) -> None:
    stack, key, failed = lone_stack, "long.pdf", range(17, 33)
    limit_receives(stack, 3)
    proxy.fail("PutObject", refused(failed), times=None)
    start(stack.seen_at(proxy.url), "consumer", journal.engine(0.01), **SETTINGS).wait_ready()
    ask_for(stack, key, PAGES)
    result = stack.result(key, silent=True)
    assert (result["status"], result["page_count"]) == ("PARTIAL", PAGES)
    statuses = [page["status"] for page in result["pages"]]
    assert statuses == ["FAILURE" if n in failed else "SUCCESS" for n in range(1, PAGES + 1)]
    assert [(w["code"], w["page_number"]) for w in result["warnings"]] == [
        ("RETRIES_EXHAUSTED", number) for number in failed
    ]
    assert all("pages 17 to 32" in warning["message"] for warning in result["warnings"])
    until(stack.dead_letters, RESULT_S, "a dead letter")

    proxy.heal()
    (dead,) = stack.cloud.messages(stack.dead_letter_queue_url)
    stack.sqs.purge_queue(QueueUrl=stack.dead_letter_queue_url)
    stack.send(dead.body)
    until(lambda: metadata(stack, key)["ocr-status"] == "SUCCESS", RESULT_S, "the whole result")
    assert_read(stack.result(key, silent=True), PAGES)
    assert_only_result(stack, key)
    assert {number for number, times in journal.pages.items() if times > 1} <= {*failed}


def refused(pages: range) -> Fault:
    """A fault that refuses to store pieces with any of these pages that were read."""

    async def play(exchange: Exchange) -> web.StreamResponse:
        match = re.search(r"/(\d+)-(\d+)\.json\.gz$", exchange.call.key or "")
        if match and int(match[1]) < pages.stop and int(match[2]) >= pages.start:
            return exchange.error(404, "NoSuchBucket", "refused")
        return await exchange.relay()

    return Fault("refused", play)


def metadata(stack: Stack, key: str) -> dict[str, str]:
    """Metadata of the result."""
    head = stack.object(f"{key}.ocr.json", silent=True)
    assert head is not None
    return dict(head["Metadata"])


def test_no_page_of_a_document_whose_messages_all_come_twice_is_read_twice(
    lone_stack: Stack, start: Start, journal: Journal
) -> None:
    stack, key = lone_stack, "long.pdf"
    ask_for(stack, key, PAGES)
    stack.request(key)
    for first in range(1, PAGES, PART_PAGES):
        for _ in range(2):
            ask_for_part(stack, key, first, first + PART_PAGES - 1, PAGES)
    # One message at a time: a part that is read twice at once is not stored yet.
    start(stack, "consumer", journal.engine(0.01), **SETTINGS | {"MAX_IN_FLIGHT": 1})
    assert_read(stack.result(key, silent=True), PAGES)
    assert_only_result(stack, key)
    assert journal.pages == Counter(range(1, PAGES + 1))
