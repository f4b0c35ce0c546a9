"""The states of results, from a listing and the metadata of results."""

import pytest

from consumer.domain import identity
from consumer.domain.result import SCHEMA_VERSION, Status
from consumer.service import inventory
from consumer.service.inventory import State
from tests.fakes import BUCKET
from tests.fakes.cloud import Cloud
from tests.fakes.network import Faults, Network
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


async def test_each_source_has_a_state_and_only_existing_results_cost_a_request(network: Network) -> None:
    s3 = network.cloud.s3
    etag = s3.upload("a/new.png", b"document").etag
    results = {
        "a/done.pdf": metadata(Status.SUCCESS, etag),
        "a/failed.pdf": metadata(Status.FAILURE, etag),
        "a/foreign.pdf": {},
        "a/partial.pdf": metadata(Status.PARTIAL, etag),
        "a/stale.pdf": metadata(Status.SUCCESS, "older"),
    }
    for key, result in results.items():
        s3.upload(key, b"document")
        s3.upload(f"{key}.ocr.json", b"{}", result)
    s3.upload("a/notes.txt", b"document")
    s3.upload("b/other.pdf", b"document")
    assert [item async for item in inventory.states(FakeStore(network), BUCKET, "a/")] == [
        ("a/done.pdf", State.DONE),
        ("a/failed.pdf", State.FAILED),
        ("a/foreign.pdf", State.PENDING),
        ("a/new.png", State.PENDING),
        ("a/partial.pdf", State.PARTIAL),
        ("a/stale.pdf", State.STALE),
    ]
    heads = [key for operation, key in network.calls if operation == "head"]
    assert sorted(heads) == [f"{key}.ocr.json" for key in results]


async def test_more_sources_than_requests_at_once_keep_their_order(network: Network) -> None:
    keys = [f"{number:03}.pdf" for number in range(3 * inventory.PARALLEL_HEADS + 1)]
    for key in keys:
        network.cloud.s3.upload(key, b"document")
    assert [key async for key, _ in inventory.states(FakeStore(network), BUCKET, "")] == keys
