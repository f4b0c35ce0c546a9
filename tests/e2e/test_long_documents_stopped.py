"""Consumers of a long document are killed or stopped, again and again: hardly a page is read twice."""

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.e2e import documents
from tests.e2e.conftest import Start
from tests.e2e.long_documents import (
    SETTINGS,
    Journal,
    ask_for,
    assert_only_result,
    assert_read,
    kill,
    limit_receives,
    pieces,
)
from tests.e2e.stack import QUICK, RESULT_S, Consumer, Stack, null_engine, until

MAX_RECEIVE_COUNT = 3
SOAK = (pytest.mark.soak, pytest.mark.timeout(3600))


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path / "journal")


@dataclass
class Fleet:
    """Two consumers. When one is killed, another one is started at once, and is ready before another dies."""

    start: Callable[[str], Consumer]
    killed: list[Consumer] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._chance = random.Random(0)
        self._alive = [self.start(f"consumer-{number}").wait_ready() for number in range(2)]

    def kill_one(self) -> None:
        victim = self._alive.pop(self._chance.randrange(2))
        kill(victim)
        self.killed.append(victim)
        self._alive.append(self.start(f"consumer-{len(self.killed) + 1}").wait_ready())


@dataclass(frozen=True)
class Case:
    """A document. `allowed_share` of its pages may be read again, and `allowed` pages for each kill."""

    pages: int
    part_pages: int
    allowed_share: float
    allowed: int


SMALL, FULL = Case(240, 120, 0.0, 40), Case(2000, 64, 0.05, 0)
PAGE_S = 0.1
EVERY_S = 10.0


@pytest.mark.parametrize("case", [SMALL, pytest.param(FULL, marks=SOAK)], ids=["small", "full"])
def test_a_long_document_survives_the_death_of_a_consumer_every_ten_seconds(
    lone_stack: Stack, start: Start, journal: Journal, case: Case, capsys: pytest.CaptureFixture[str]
) -> None:
    stack, key, settings = lone_stack, "long.pdf", SETTINGS | {"PART_PAGES": case.part_pages}
    fleet = Fleet(lambda folder: start(stack, folder, journal.engine(PAGE_S), **settings))
    ask_for(stack, key, case.pages)
    journal.wait(1)
    while not has_result(stack, key, EVERY_S):
        fleet.kill_one()

    assert_read(stack.result(key, silent=True), case.pages)
    assert_only_result(stack, key)
    again = journal.pages.total() - case.pages
    killed = len(fleet.killed)
    with capsys.disabled():
        print(f"\n{case.pages} pages; {killed=}, read {again=}")  # noqa: T201
    assert fleet.killed
    assert again <= case.allowed_share * case.pages + case.allowed * killed


def has_result(stack: Stack, key: str, deadline_s: float) -> bool:
    """Wait for a result, but no longer."""
    try:
        until(lambda: stack.object(f"{key}.ocr.json", silent=True), deadline_s, "a result")
    except AssertionError:
        return False
    return True


@pytest.mark.parametrize("stops", [5, pytest.param(30, marks=SOAK)])
def test_a_long_document_whose_consumers_are_stopped_again_and_again_is_read_in_the_end(
    lone_stack: Stack, start: Start, journal: Journal, stops: int
) -> None:
    stack, key, pages = lone_stack, "long.pdf", 30 * stops
    limit_receives(stack, MAX_RECEIVE_COUNT)
    engine = journal.engine(0.1)
    # Two messages, each of which comes again and again.
    settings = SETTINGS | {"PART_PAGES": pages // 2}
    ask_for(stack, key, pages)
    for number in range(stops):
        begun = journal.pages.total()
        consumer = start(stack, f"stopped-{number}", engine, DRAIN_S=0, **settings)
        journal.wait(begun + 10)
        assert consumer.stop() == 0
    start(stack, "last", engine, **settings)

    assert_read(stack.result(key, silent=True), pages)
    assert_only_result(stack, key)
    # The page that the engine had, and perhaps the next one.
    assert journal.pages.total() - pages <= stops * 2


def test_a_short_document_that_is_stopped_goes_on_where_it_was(lone_stack: Stack, start: Start) -> None:
    stack, key, pages = lone_stack, "ordinary.pdf", 16
    engine = (*QUICK, *null_engine(0.5, lines=1))
    first = start(stack, "first", engine, DRAIN_S=0, **SETTINGS).wait_ready()
    stack.put(key, documents.blank_pdf(100, pages), silent=True)
    stack.request(key)
    first.wait_at_work()
    # Until the third page is there, two are read.
    until(lambda: len({path.name for path in first.work_dir.rglob("*.bgr")}) >= 2, RESULT_S, "more pages")
    assert first.stop() == 0
    assert len(pieces(stack, key)) <= 1
    start(stack, "second", engine, **SETTINGS)
    result = stack.result(key, silent=True)
    assert [page["page_number"] for page in result["pages"]] == [*range(1, pages + 1)]
    assert_only_result(stack, key)
