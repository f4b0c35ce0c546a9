"""Which sources `backfill` queues and why, its estimates, its journal, and manifests of S3 Inventory."""

import gzip
import json
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet

from consumer.clock import SystemClock
from consumer.domain import events, identity
from consumer.domain.backfill import Estimate, Reason, Selection
from consumer.domain.errors import ChildError, Code, DocumentError, UnavailableError
from consumer.domain.formats import Format
from consumer.domain.identity import NOT_READ
from consumer.domain.result import SCHEMA_VERSION, Status
from consumer.ports import ListedObject
from consumer.service.backfill import Candidate, Journal, Planner, send
from consumer.service.pace import Pace
from consumer.service.page_sample import PageCounter, PageSample
from consumer.service.s3_inventory import InventoryError, Manifest
from tests.fakes import BUCKET
from tests.fakes.cloud import Cloud
from tests.fakes.network import Fault, Faults, Network
from tests.fakes.ports import FakeStore
from tests.fakes.virtual_time import VirtualClock

AT = datetime(2026, 11, 1, 10, tzinfo=UTC)


class ListingStore(FakeStore):
    """A bucket that is listed with sizes and times."""

    async def listed(self, bucket: str, prefix: str) -> AsyncGenerator[ListedObject]:
        async for key, etag in self.list(bucket, prefix):
            yield ListedObject(key, etag, 1, AT)


@pytest.fixture
def network() -> Network:
    return Network(Cloud(VirtualClock()), Faults())


def put(
    network: Network, key: str, fingerprint: str | None, *, etag: str | None = None, pages: int = 3
) -> None:
    """Upload a source, and, unless `fingerprint` is None, a result of it, or of the source `etag`."""
    source = network.cloud.s3.upload(key, key.encode())
    if fingerprint is not None:
        metadata = {
            identity.STATUS: Status.SUCCESS.value,
            identity.SOURCE_ETAG: etag or source.etag,
            identity.FINGERPRINT: fingerprint,
            identity.SCHEMA: SCHEMA_VERSION,
            "ocr-page-count": str(pages),
        }
        network.cloud.s3.upload(f"{key}.ocr.json", b"{}", metadata)


def planner(network: Network, **options: Any) -> Planner:
    chosen: dict[str, Any] = {
        "selection": Selection(),
        "fingerprint": "ours",
        "force": False,
        "sample": PageSample(50),
    } | options
    return Planner(ListingStore(network), BUCKET, **chosen)


async def reasons(found: AsyncGenerator[Candidate]) -> dict[str, Reason | None]:
    return {each.key: each.reason async for each in found}


def put_one_of_each(network: Network) -> dict[str, Reason | None]:
    put(network, "a/changed.pdf", "ours", etag="older")
    put(network, "a/current.pdf", "ours")
    put(network, "a/engine.pdf", "another")
    put(network, "a/failed.pdf", NOT_READ)
    put(network, "a/new.pdf", None)
    put(network, "a/notes.txt", None)
    put(network, "b/other.pdf", None)
    return {
        "a/changed.pdf": Reason.CHANGED,
        "a/current.pdf": None,
        "a/engine.pdf": Reason.ENGINE,
        "a/failed.pdf": Reason.FAILED,
        "a/new.pdf": Reason.NEW,
    }


async def test_each_source_has_the_reason_why_it_is_to_be_read(network: Network) -> None:
    wanted = put_one_of_each(network)
    assert await reasons(planner(network).under("a/")) == wanted
    any_engine = await reasons(planner(network, fingerprint=None).under("a/"))
    assert any_engine == wanted | {"a/engine.pdf": None}
    forced = await reasons(planner(network, force=True).under("a/"))
    assert forced == wanted | {"a/current.pdf": Reason.FORCED}


async def test_a_list_of_keys_gives_the_plan_of_the_listing(network: Network) -> None:
    wanted = put_one_of_each(network)
    names = [*wanted, "a/notes.txt", "a/new.pdf.ocr.json", "a/gone.pdf"]
    assert await reasons(planner(network).of(names)) == wanted


async def test_of_very_many_sources_exactly_those_without_a_current_result_are_queued(
    network: Network,
) -> None:
    for number in range(400):
        put(network, f"{number:05}.pdf", "ours" if number % 4 else None)
    plan = planner(network)
    found = [each async for each in plan.under("")]
    assert Counter(each.reason for each in found) == {None: 300, Reason.NEW: 100}
    assert plan.estimate.pages == 0
    for each in found:
        if each.reason is not None:
            plan.count(each)
    assert plan.estimate.pages == 300
    assert len(plan.sample.keys) == 50
    heads = [key for operation, key in network.calls if operation == "head"]
    assert len(heads) == 300


async def test_a_document_without_an_extension_is_looked_after_if_it_was_read(network: Network) -> None:
    put(network, "a/scan", "another")
    for output in ("a/scan.ocr.pdf", "a/scan.ocr/page-0001.png"):
        network.cloud.s3.upload(output, b"%PDF-", {identity.SOURCE_ETAG: "e"})
    network.cloud.s3.upload("a/plain", b"never read")
    # Named like outputs, and clients' own.
    put(network, "a/plain.ocr.pdf", None)
    put(network, "a/scan.ocr.page.xml.pdf", None)
    assert await reasons(planner(network).under("a/")) == {
        "a/scan": Reason.ENGINE,
        "a/plain.ocr.pdf": Reason.NEW,
        "a/scan.ocr.page.xml.pdf": Reason.NEW,
    }


class CountedRenderer:
    """Knows how many pages files have, by their first bytes."""

    def __init__(self, error: Exception | None = None) -> None:
        self.paths: list[Path] = []
        self._error = error

    @asynccontextmanager
    async def open(self, path: Path, file_format: Format) -> AsyncGenerator[Any]:
        self.paths.append(path)
        if self._error is not None:
            raise self._error
        yield SimpleNamespace(page_count=int(path.read_bytes().removeprefix(b"%PDF-")))


def counter(network: Network, folder: Path, renderer: CountedRenderer, **options: Any) -> PageCounter:
    return PageCounter(FakeStore(network), renderer, folder, options.get("max_file_bytes", 1000))


async def test_each_document_of_a_sample_has_its_own_pages(network: Network, tmp_path: Path) -> None:
    renderer = CountedRenderer()
    counting = counter(network, tmp_path, renderer)
    for pages in (3, 1, 1):
        network.cloud.s3.upload(f"{pages}.pdf", f"%PDF-{pages}".encode())
    assert [await counting.count(BUCKET, key) for key in ("3.pdf", "1.pdf", "3.pdf")] == [3, 1, 3]
    # A process keeps what it has opened by its path.
    assert len(set(renderer.paths)) == 3
    assert not list(tmp_path.iterdir())


async def test_a_document_that_will_fail_has_no_pages(network: Network, tmp_path: Path) -> None:
    network.cloud.s3.upload("a.pdf", b"%PDF-3")
    network.cloud.s3.upload("text.pdf", b"text")
    corrupt = CountedRenderer(DocumentError(Code.CORRUPT_DOCUMENT, "no page"))
    assert await counter(network, tmp_path, corrupt).count(BUCKET, "a.pdf") == 0
    renderer = CountedRenderer()
    for key in ("text.pdf", "gone.pdf"):
        assert await counter(network, tmp_path, renderer).count(BUCKET, key) == 0
    assert await counter(network, tmp_path, renderer, max_file_bytes=5).count(BUCKET, "a.pdf") == 0
    assert not renderer.paths


async def test_a_document_that_cannot_be_had_does_not_end_the_plan(network: Network, tmp_path: Path) -> None:
    network.cloud.s3.upload("a.pdf", b"%PDF-3")
    killed = CountedRenderer(ChildError("killed by signal 9"))
    assert await counter(network, tmp_path, killed).count(BUCKET, "a.pdf") is None
    network.faults.add("download", Fault.FORBIDDEN)
    assert await counter(network, tmp_path, CountedRenderer()).count(BUCKET, "a.pdf") is None

    def away() -> None:
        raise UnavailableError("GET: no answer")

    network.faults.add("download", away)
    with pytest.raises(UnavailableError):
        await counter(network, tmp_path, CountedRenderer()).count(BUCKET, "a.pdf")


async def test_patterns_and_times_choose_sources_and_exclude_wins(network: Network) -> None:
    for key in ("a/1.pdf", "a/2.png", "b/1.pdf"):
        put(network, key, None)

    async def chosen(**options: Any) -> list[str]:
        return sorted(await reasons(planner(network, selection=Selection(**options)).under("")))

    assert await chosen(include=("*.pdf",)) == ["a/1.pdf", "b/1.pdf"]
    assert await chosen(include=("*.pdf",), exclude=("b/*",)) == ["a/1.pdf"]
    assert await chosen(since=AT) == ["a/1.pdf", "a/2.png", "b/1.pdf"]
    assert await chosen(before=AT) == []


def test_pages_are_estimated_by_documents_with_the_same_extension() -> None:
    estimate = Estimate()
    assert estimate.note_queued("new.png", None)
    assert estimate.note_queued("new.JPG", None)
    assert (estimate.pages, estimate.estimated) == (2, 0)
    assert not estimate.note_queued("new.pdf", None)
    assert estimate.note_queued("again.pdf", 100)
    assert estimate.pages is None
    estimate.note_result("scan.tiff", 500, AT)
    by_another: int | None = estimate.pages
    assert by_another == 602
    estimate.note_result("one.pdf", 10, AT)
    estimate.note_result("two.PDF", 20, AT)
    by_results: int | None = estimate.pages
    assert by_results == 117
    estimate.note_counted("new.pdf", 4)
    exact: tuple[int | None, int, int] = estimate.pages, estimate.counted, estimate.estimated
    assert exact == (106, 1, 0)


def test_documents_are_estimated_by_those_that_were_counted() -> None:
    estimate = Estimate()
    estimate.note_result("old.pdf", 900, AT)
    for number in range(10):
        estimate.note_queued(f"{number}.pdf", None)
    # One that gets no pages, because it will fail, counts too.
    for pages in (6, 0):
        estimate.note_counted("1.pdf", pages)
    assert (estimate.pages, estimate.counted, estimate.estimated) == (30, 2, 8)


def test_a_sample_has_documents_from_everywhere_and_is_the_same_again() -> None:
    samples = [PageSample(50), PageSample(50)]
    for sample in samples:
        for number in range(10_000):
            sample.offer(f"{number:05}.pdf")
    assert samples[0].keys == samples[1].keys
    assert len(set(samples[0].keys)) == 50
    thirds = Counter(int(key[:5]) * 3 // 10_000 for key in samples[0].keys)
    assert all(thirds[third] > 5 for third in range(3))
    few = PageSample(50)
    few.offer("one.pdf")
    assert few.keys == ["one.pdf"]


def test_the_rate_is_that_of_the_busiest_ten_minutes() -> None:
    estimate = Estimate()
    assert estimate.pages_per_hour is None
    for minute, pages in ((0, 100), (9, 50), (10, 70), (40, 10)):
        estimate.note_result("a.pdf", pages, AT.replace(minute=minute))
    assert estimate.pages_per_hour == 150 * 6


class Sent:
    """A queue that fails at the request with this number."""

    def __init__(self, fails_at: int = 0) -> None:
        self.bodies: list[str] = []
        self._left = fails_at

    async def send(self, bodies: list[str], delay_s: int = 0) -> None:
        self._left -= 1
        if not self._left:
            raise ConnectionError
        self.bodies += bodies


async def test_a_run_that_is_cut_short_is_continued_by_its_journal(tmp_path: Path) -> None:
    candidates = [Candidate(f"ü{number}.pdf", "e", Reason.NEW) for number in range(25)]
    path, pace = tmp_path / "journal", Pace(SystemClock(), None)
    cut: Any = Sent(fails_at=2)
    journal = Journal(path)
    with pytest.raises(ConnectionError):
        _ = [count async for count in send(candidates, BUCKET, cut, journal, pace)]
    journal.close()
    # What a kill in the middle of a line leaves.
    with path.open("ab") as file:
        file.write(b"012")
    again = Journal(path)
    left = [each for each in candidates if not again.has(each)]
    assert left == candidates[10:]
    rest: Any = Sent()
    assert [count async for count in send(left, BUCKET, rest, again, pace)] == [10, 5]
    again.close()
    keys = [events.parse(body).jobs[0].key for body in cut.bodies + rest.bodies]
    assert keys == [each.key for each in candidates]
    last = Journal(path)
    assert all(last.has(each) for each in candidates)
    assert not last.has(candidates[0]._replace(etag="another"))
    last.close()


def test_a_journal_is_told_from_other_files(tmp_path: Path) -> None:
    for name, text in (("letter.txt", b"Dear Sir"), ("bytes", bytes(range(256)) * 10)):
        path = tmp_path / name
        path.write_bytes(text)
        with pytest.raises(ValueError, match=f"{name} is no journal"):
            Journal(path)
        assert path.read_bytes() == text
    for device in (tmp_path, Path("/dev/full")):
        with pytest.raises(ValueError, match="is no file"):
            Journal(device)


async def test_a_forced_source_is_asked_for_with_force() -> None:
    queue: Any = Sent()
    candidates = [Candidate("a.pdf", "e", Reason.FORCED), Candidate("b.pdf", "e", Reason.NEW)]
    _ = [count async for count in send(candidates, BUCKET, queue, Journal(None), Pace(SystemClock(), None))]
    assert [events.parse(body).jobs[0].force for body in queue.bodies] == [True, False]


def manifest(**changes: object) -> bytes:
    schema = "Bucket, Key, VersionId, IsLatest, IsDeleteMarker, Size"
    fields = {
        "sourceBucket": BUCKET,
        "destinationBucket": "arn:aws:s3:::lists",
        "fileFormat": "CSV",
        "fileSchema": schema,
        "files": [{"key": "inbox/data/1.csv.gz", "size": 1, "MD5checksum": "0"}],
    }
    return json.dumps(fields | changes).encode()


def test_keys_of_an_inventory_are_decoded_and_older_versions_left_out(tmp_path: Path) -> None:
    rows = [
        f'"{BUCKET}","a+b/%C3%BC%2B1%25.pdf","v2","true","false","1"',
        f'"{BUCKET}","a+b/%C3%BC%2B1%25.pdf","v1","false","false","1"',
        f'"{BUCKET}","deleted.pdf","v3","true","true","0"',
        f'"{BUCKET}","dt%3D2026/x.pdf","","true","false","1"',
    ]
    path = tmp_path / "1.csv.gz"
    path.write_bytes(gzip.compress("\n".join(rows).encode()))
    found = Manifest.parse(manifest())
    assert (found.place, list(found.keys(path))) == ("lists", ["a b/ü+1%.pdf", "dt=2026/x.pdf"])
    path.write_bytes(b"no gzip")
    with pytest.raises(InventoryError, match="cannot be read"):
        list(found.keys(path))
    with pytest.raises(InventoryError, match="has no Key"):
        list(Manifest.parse(manifest(fileSchema="Bucket, Size")).keys(path))


def test_keys_of_an_inventory_in_parquet_are_as_they_are(tmp_path: Path) -> None:
    path = tmp_path / "1.parquet"
    names = ["a b/ü+1%.pdf", "a b/ü+1%.pdf", "deleted.pdf", "dt%3D2026/x.pdf"]
    versions = {
        "is_latest": [True, False, True, None],
        "is_delete_marker": [False, False, True, None],
    }
    found = Manifest.parse(manifest(fileFormat="Parquet", fileSchema="message s3.inventory { … }"))
    for text in (pa.string(), pa.binary()):
        keys = pa.array([key.encode() for key in names], pa.binary()).cast(text)
        parquet.write_table(pa.table(versions | {"key": keys}), path)
        assert list(found.keys(path)) == ["a b/ü+1%.pdf", "dt%3D2026/x.pdf"]
    # Without older versions there are no columns about them.
    parquet.write_table(pa.table({"key": names}), path)
    assert len(list(found.keys(path))) == 4
    parquet.write_table(pa.table({"bucket": ["b"]}), path)
    with pytest.raises(InventoryError, match="no column `key`"):
        list(found.keys(path))
    path.write_bytes(b"PAR1 and no more")
    with pytest.raises(InventoryError, match="cannot be read"):
        list(found.keys(path))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (b"no JSON", "it: "),
        (b"{}", "sourceBucket: "),
        (manifest(fileFormat="ORC"), "is ORC: only CSV and Parquet are read"),
    ],
)
def test_what_is_no_manifest_of_files_that_are_read_is_an_error_that_says_why(
    text: bytes, problem: str
) -> None:
    with pytest.raises(InventoryError, match=problem):
        Manifest.parse(text)
