"""The states of results, from a listing and the metadata of results."""

import asyncio
import contextlib
import itertools
from collections import defaultdict
from collections.abc import AsyncGenerator

import pytest

from consumer.domain import identity
from consumer.domain.errors import ServiceError
from consumer.domain.parts import Identity, PageRange, Piece, Progress
from consumer.domain.result import SCHEMA_VERSION, Status
from consumer.ports import ObjectInfo
from consumer.service import inventory
from consumer.service.inventory import State
from tests.fakes import BUCKET
from tests.fakes.cloud import Cloud
from tests.fakes.network import Fault, Faults, Network
from tests.fakes.ports import FakeStore
from tests.fakes.virtual_time import VirtualClock


def metadata(status: Status, source_etag: str) -> dict[str, str]:
    return {
        identity.STATUS: status.value,
        identity.SOURCE_ETAG: source_etag,
        identity.FINGERPRINT: "f",
        identity.SCHEMA: SCHEMA_VERSION,
    }


@pytest.fixture
def network() -> Network:
    return Network(Cloud(VirtualClock()), Faults())


async def test_a_source_without_an_extension_has_a_state_and_its_outputs_have_none(network: Network) -> None:
    s3 = network.cloud.s3
    etag = s3.upload("a/scan", b"document").etag
    s3.upload("a/scan.ocr.json", b"{}", metadata(Status.SUCCESS, etag))
    s3.upload("a/scan.ocr.pdf", b"document", {identity.SOURCE_ETAG: etag})
    # A client's own, beside it.
    s3.upload("a/scan.ocr/page-0001.png", b"document")
    s3.upload("a/text", b"document")
    found = [item async for item in inventory.states(FakeStore(network), BUCKET, "a/", 10)]
    assert [(each.key, each.state) for each in found] == [
        ("a/scan.ocr/page-0001.png", State.PENDING),
        ("a/scan", State.DONE),
    ]


async def test_each_source_has_a_state_and_only_existing_results_cost_a_request(network: Network) -> None:
    s3 = network.cloud.s3
    etag = s3.upload("a/new.png", b"document").etag
    results = {
        "a/done.pdf": metadata(Status.SUCCESS, etag),
        "a/failed.pdf": metadata(Status.FAILURE, etag) | {"ocr-code": "ENCRYPTED"},
        "a/foreign.pdf": {},
        "a/partial.pdf": metadata(Status.PARTIAL, etag),
        "a/stale.pdf": metadata(Status.SUCCESS, "older"),
    }
    for key, result in results.items():
        s3.upload(key, b"document")
        s3.upload(f"{key}.ocr.json", b"{}", result)
    s3.upload("a/notes.txt", b"document")
    s3.upload("b/other.pdf", b"document")
    assert [item async for item in inventory.states(FakeStore(network), BUCKET, "a/", 10)] == [
        ("a/done.pdf", State.DONE, None, None),
        ("a/failed.pdf", State.FAILED, None, "ENCRYPTED"),
        ("a/foreign.pdf", State.PENDING, None, None),
        ("a/new.png", State.PENDING, None, None),
        ("a/partial.pdf", State.PARTIAL, None, None),
        ("a/stale.pdf", State.STALE, None, None),
    ]
    heads = [key for operation, key in network.calls if operation == "head"]
    assert sorted(heads) == [f"{key}.ocr.json" for key in results]


async def test_more_sources_than_requests_at_once_keep_their_order(network: Network) -> None:
    keys = [f"{number:03}.pdf" for number in range(3 * inventory.PARALLEL_HEADS + 1)]
    for key in keys:
        network.cloud.s3.upload(key, b"document")
    assert [key async for key, *_ in inventory.states(FakeStore(network), BUCKET, "", 10)] == keys


class HeldStore(FakeStore):
    """A bucket whose HEADs are answered when a test wants it. `asked`: their keys, in order."""

    def __init__(self, network: Network) -> None:
        super().__init__(network)
        self.asked: list[str] = []
        self.answers: dict[str, asyncio.Event] = defaultdict(asyncio.Event)

    async def head(self, bucket: str, key: str) -> ObjectInfo | None:
        self.asked.append(key)
        await self.answers[key].wait()
        return await super().head(bucket, key)

    def answer(self, number: int) -> None:
        self.answers[result_key(number)].set()


def result_key(number: int) -> str:
    return f"{number:03}.pdf.ocr.json"


@pytest.fixture
def held_store(network: Network) -> HeldStore:
    """Make one with three times as many results as are looked at together."""
    for number in range(3 * inventory.PARALLEL_HEADS):
        etag = network.cloud.s3.upload(f"{number:03}.pdf", b"document").etag
        network.cloud.s3.upload(result_key(number), b"{}", metadata(Status.SUCCESS, etag))
    return HeldStore(network)


async def settled() -> None:
    """Let all tasks go as far as they can."""
    for _ in range(20):
        await asyncio.sleep(0)


async def test_a_state_is_told_at_once_and_another_looked_at_in_its_place(held_store: HeldStore) -> None:
    states = inventory.states(held_store, BUCKET, "", 10)
    held_store.answer(0)
    assert await anext(states) == ("000.pdf", State.DONE, None, None)
    assert len(held_store.asked) == inventory.PARALLEL_HEADS

    second = asyncio.ensure_future(anext(states))
    await settled()
    assert held_store.asked[-1] == result_key(inventory.PARALLEL_HEADS)
    assert not second.done()
    held_store.answer(1)
    assert await second == ("001.pdf", State.DONE, None, None)


async def test_a_look_that_fails_ends_the_others(held_store: HeldStore, network: Network) -> None:
    network.faults.add("head", Fault.FAILS)
    held_store.answer(0)
    with pytest.raises(ServiceError):
        assert [state async for state in inventory.states(held_store, BUCKET, "", 10)]
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_a_long_document_in_work_has_a_progress_that_costs_no_request(network: Network) -> None:
    s3 = network.cloud.s3
    etag = s3.upload("a.pdf", b"document").etag
    older = Identity.of("older", None, "sha256:1", 90)
    whose = Identity.of(etag, None, "sha256:1", 25)
    for identity_of, pages in (
        (older, (1, 80)),
        (whose, (1, 4)),
        (whose, (5, 12)),
        (whose, (11, 13)),
        (whose, (21, 25)),
    ):
        s3.upload(Piece.named("a.pdf", identity_of, PageRange(*pages)).key, b"", {"ocr-source-etag": etag})
    network.calls.clear()

    states = [state async for state in inventory.states(FakeStore(network), BUCKET, "", 10)]

    assert states == [("a.pdf", State.WORKING, Progress(2, 3, 18, 25), None)]
    assert str(states[0].progress) == "2/3 parts (18/25 pages)"
    assert [operation for operation, _ in network.calls] == ["list"]

    s3.upload("a.pdf.ocr.json", b"{}", metadata(Status.SUCCESS, etag))
    states = [state async for state in inventory.states(FakeStore(network), BUCKET, "", 10)]
    assert states == [("a.pdf", State.DONE, None, None)]


async def test_pieces_of_a_versioned_source_tell_its_progress_too(network: Network) -> None:
    s3 = network.cloud.s3
    etag = s3.upload("a.pdf", b"document").etag
    for whose, last in ((Identity.of(etag, "v1", "f", 25), 20), (Identity.of("other", "v0", "f", 9), 3)):
        s3.upload(Piece.named("a.pdf", whose, PageRange(1, last)).key, b"", {"ocr-source-etag": etag})
    (state,) = [state async for state in inventory.states(FakeStore(network), BUCKET, "", 10)]
    assert state.progress == Progress(2, 3, 20, 25)


class EndlessStore(FakeStore):
    """A bucket that is listed object by object. `listed`: how many so far."""

    listed = 0

    async def list(self, bucket: str, prefix: str) -> AsyncGenerator[tuple[str, str]]:
        for number in itertools.count():
            for ending in ("", ".ocr.json"):
                self.listed += 1
                yield f"{number:09}.pdf{ending}", "etag"


async def test_the_first_states_come_while_a_bucket_without_end_is_listed(network: Network) -> None:
    store = EndlessStore(network)
    async with contextlib.aclosing(inventory.states(store, BUCKET, "", 10)) as states:
        assert await anext(states) == ("000000000.pdf", State.PENDING, None, None)
        assert store.listed <= 2 * (inventory.PARALLEL_HEADS + 2)
        for _ in range(1000):
            await anext(states)
        assert store.listed <= 2 * (1000 + inventory.PARALLEL_HEADS + 2)


async def test_keys_between_a_source_and_its_result_belong_to_neither(network: Network) -> None:
    s3 = network.cloud.s3
    whose = Identity.of(s3.upload("a.pdf", b"document").etag, None, "f", 9)
    for key in ("a.pdf", "a.pdf+b.pdf", "a.pdf-1.pdf", "a.pdf.ocr.jpg", "a.pdf.z.pdf"):
        etag = s3.upload(key, b"document").etag
        if key != "a.pdf.z.pdf":
            s3.upload(f"{key}.ocr.json", b"{}", metadata(Status.SUCCESS, etag))
    # Not of a source: its own was deleted.
    s3.upload("b.pdf.ocr.json", b"{}", metadata(Status.SUCCESS, etag))
    s3.upload(Piece.named("a.pdf", whose, PageRange(1, 2)).key, b"", {"ocr-source-etag": etag})
    states = [item async for item in inventory.states(FakeStore(network), BUCKET, "", 10)]
    assert {key: state for key, state, *_ in states} == {
        "a.pdf": State.DONE,
        "a.pdf+b.pdf": State.DONE,
        "a.pdf-1.pdf": State.DONE,
        "a.pdf.ocr.jpg": State.DONE,
        "a.pdf.z.pdf": State.PENDING,
    }


async def test_another_look_asks_for_new_results_alone(network: Network) -> None:
    s3 = network.cloud.s3
    etag = s3.upload("a.pdf", b"document").etag
    s3.upload("b.pdf", b"document")
    s3.upload("a.pdf.ocr.json", b"{}", metadata(Status.SUCCESS, etag))
    store, seen = FakeStore(network), inventory.SeenResults()

    async def look() -> tuple[dict[str, State], list[str]]:
        network.calls.clear()
        states = {key: state async for key, state, *_ in inventory.states(store, BUCKET, "", 10, seen)}
        return states, [key for operation, key in network.calls if operation == "head"]

    assert await look() == ({"a.pdf": State.DONE, "b.pdf": State.PENDING}, ["a.pdf.ocr.json"])
    assert await look() == ({"a.pdf": State.DONE, "b.pdf": State.PENDING}, [])
    s3.upload("b.pdf.ocr.json", b"{}", metadata(Status.FAILURE, etag))
    assert await look() == ({"a.pdf": State.DONE, "b.pdf": State.FAILED}, ["b.pdf.ocr.json"])
    s3.upload("a.pdf", b"another")
    assert await look() == ({"a.pdf": State.STALE, "b.pdf": State.FAILED}, [])
    s3.upload("a.pdf.ocr.json", b"{1}", metadata(Status.PARTIAL, s3.upload("a.pdf", b"third").etag))
    assert await look() == ({"a.pdf": State.PARTIAL, "b.pdf": State.FAILED}, ["a.pdf.ocr.json"])
