"""The states of results, from a listing and the metadata of results."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from consumer.domain import identity
from consumer.domain.result import SCHEMA_VERSION, Source, Status
from consumer.ports import ObjectInfo
from consumer.service import inventory
from consumer.service.inventory import State


@dataclass
class Listed:
    key: str
    etag: str = "e1"


class Bucket:
    """A bucket of these keys, with the metadata of their results; remembers requests."""

    def __init__(self, keys: list[str], results: Mapping[str, Mapping[str, str]]) -> None:
        self.keys = keys
        self.results = results
        self.heads: list[str] = []

    async def list(self, bucket: str, prefix: str) -> AsyncIterator[Listed]:
        for key in sorted(self.keys):
            if key.startswith(prefix):
                yield Listed(key)

    async def head(self, bucket: str, key: str) -> ObjectInfo | None:
        self.heads.append(key)
        if key not in self.results:
            return None
        modified = datetime(2026, 1, 1, tzinfo=UTC)
        source = Source(
            bucket=bucket,
            key=key,
            version_id=None,
            etag="r1",
            size_bytes=1,
            content_type=None,
            last_modified=modified,
        )
        return ObjectInfo(source, self.results[key])


def metadata(status: Status, source_etag: str = "e1") -> dict[str, str]:
    return {
        identity.STATUS: status.value,
        identity.SOURCE_ETAG: source_etag,
        identity.FINGERPRINT: "f",
        identity.SCHEMA: SCHEMA_VERSION,
    }


async def test_each_source_has_a_state_and_only_existing_results_cost_a_request() -> None:
    results = {
        "a/done.pdf.ocr.json": metadata(Status.SUCCESS),
        "a/failed.pdf.ocr.json": metadata(Status.FAILURE),
        "a/foreign.pdf.ocr.json": {},
        "a/partial.pdf.ocr.json": metadata(Status.PARTIAL),
        "a/stale.pdf.ocr.json": metadata(Status.SUCCESS, "e0"),
    }
    sources = [key.removesuffix(".ocr.json") for key in results]
    bucket = Bucket([*results, *sources, "a/new.png", "a/notes.txt", "b/other.pdf"], results)
    assert [item async for item in inventory.states(bucket, "inbox", "a/")] == [
        ("a/done.pdf", State.DONE),
        ("a/failed.pdf", State.FAILED),
        ("a/foreign.pdf", State.PENDING),
        ("a/new.png", State.PENDING),
        ("a/partial.pdf", State.PARTIAL),
        ("a/stale.pdf", State.STALE),
    ]
    assert sorted(bucket.heads) == sorted(results)


async def test_more_sources_than_requests_at_once_keep_their_order() -> None:
    keys = [f"{number:03}.pdf" for number in range(3 * inventory.PARALLEL_HEADS + 1)]
    states = [key async for key, _ in inventory.states(Bucket(keys, {}), "inbox", "")]
    assert states == keys
