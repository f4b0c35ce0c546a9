"""The consumer's own figures: those that there are before anything has happened, and what moves them."""

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from consumer.domain.errors import Code
from consumer.domain.result import Engine, Failure, ResultDocument, Source, Status, Timing
from consumer.domain.settle import Outcome
from consumer.metrics import Metrics
from consumer.processes.collector import WorkerProcessCollector
from tests.children.fake_process import FakeSlot

OPERATIONS = (Path(__file__).parents[2] / "docs/operations.md").read_text(encoding="utf-8")
ROWS = re.findall(r"^\| `(bucket_ocr_\w+)` \| ([^|]*)\|", OPERATIONS, re.MULTILINE)
ENGINE = Engine(name="toy", version="1", models={}, device="cpu", fingerprint="sha256:12ab")


@pytest.fixture
def metrics() -> Metrics:
    """Metrics of a consumer that is ready, and has received nothing."""
    ready = Metrics()
    ready.set_engine("2.0", ENGINE)
    ready.registry.register(WorkerProcessCollector([FakeSlot()], [FakeSlot()], list))
    return ready


def samples(metrics: Metrics) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    families = metrics.registry.collect()
    return {(s.name, frozenset(s.labels.items())): s.value for family in families for s in family.samples}


@pytest.mark.parametrize(("name", "labels"), ROWS)
def test_every_documented_series_is_there_before_the_first_message(
    metrics: Metrics, name: str, labels: str
) -> None:
    if "gpu" in name:
        pytest.skip("only with GPUs")
    found = [each for series, each in samples(metrics) if re.sub("_(bucket|sum|count)$", "", series) == name]
    assert found
    documented = set(re.findall(r"`(\w+)`", labels))
    names = {label for each in found for label, _ in each} - {"le"}
    assert names <= documented
    # Every value that the page has is a series: its first time is an increase from 0.
    assert documented - names - {"SUCCESS"} <= {value for each in found for _, value in each}


def test_failures_of_every_code_begin_at_0(metrics: Metrics) -> None:
    codes = {
        dict(labels)["code"] for name, labels in samples(metrics) if name == "bucket_ocr_documents_total"
    }
    assert codes == {code.value for code in Code} - {"PAGE_DOWNSCALED", "LOW_CONFIDENCE"} | {""}


def test_the_fingerprint_is_one_of_the_facts_about_the_consumer(metrics: Metrics) -> None:
    (labels,) = [dict(labels) for name, labels in samples(metrics) if name == "bucket_ocr_info"]
    assert labels["fingerprint"] == "sha256:12ab"


def test_the_longest_waits_and_transfers_have_buckets(metrics: Metrics) -> None:
    def longest_s(name: str) -> float:
        bounds = [dict(labels)["le"] for series, labels in samples(metrics) if series == f"{name}_bucket"]
        return max(float(bound) for bound in bounds if bound != "+Inf")

    assert (
        longest_s("bucket_ocr_queue_wait_seconds") == longest_s("bucket_ocr_document_seconds") == 14 * 86400
    )
    # A minute, and 1 GiB at 256 KiB a second.
    assert longest_s("bucket_ocr_stage_seconds") >= 60 + 4096


def test_a_result_is_counted_with_the_seconds_since_its_message_was_sent(metrics: Metrics) -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    timing = Timing(queued_at=now - timedelta(seconds=90), started_at=now, finished_at=now)
    source = Source(
        bucket="b", key="k", version_id=None, etag="e", size_bytes=0, content_type=None, last_modified=now
    )
    metrics.count_result(
        ResultDocument(
            status=Status.FAILURE,
            source=source,
            engine=ENGINE,
            page_count=0,
            pages=[],
            detections=[],
            warnings=[],
            error=Failure(code=Code.EMPTY_FILE, message="It is empty.", retryable=False),
            timing=timing,
        ),
        now,
    )
    assert samples(metrics)["bucket_ocr_document_seconds_sum", frozenset()] == 90
    of_code = frozenset({("status", "FAILURE"), ("code", "EMPTY_FILE")})
    assert samples(metrics)["bucket_ocr_documents_total", of_code] == 1


def test_a_message_has_a_reason_of_a_closed_list(metrics: Metrics) -> None:
    before = samples(metrics).keys()
    for outcome in Outcome:
        metrics.count_message(outcome, "refused")
    assert samples(metrics).keys() == before
    refused = frozenset({("outcome", "transient"), ("reason", "refused")})
    assert samples(metrics)["bucket_ocr_messages_total", refused] == 1
