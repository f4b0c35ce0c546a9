"""`bucket-ocr backfill` as a real process: it plans, and queues what has no current result."""

import json
import subprocess
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from consumer.domain import identity
from consumer.domain.result import SCHEMA_VERSION, Status
from tests.e2e.inventories import put_inventory
from tests.e2e.stack import Stack, bucket_ocr, until

SAMPLES = Path(__file__).parents[1] / "samples"
#: Documents and images of the samples, and their pages.
PAGES = {"report.pdf": 3, "letter.pdf": 1, "scan.png": 1}


def plan(
    stack: Stack, folder: Path, prefix: str, *options: object
) -> tuple[subprocess.CompletedProcess[str], dict[str, str], dict[str, object]]:
    """Run a backfill; returns what it did, the reason of each source, and the totals."""
    done = bucket_ocr(
        stack.environment(), folder, "backfill", f"s3://{stack.silent_bucket}/{prefix}", "--json", *options
    )
    assert done.returncode == 0, done.stderr
    *lines, totals = [json.loads(line) for line in done.stdout.splitlines()]
    return done, {line["source"]: line["reason"] for line in lines}, totals["totals"]


def inventory(stack: Stack, file_format: str, keys: list[str]) -> str:
    """Store an inventory with these keys; returns the location of its manifest."""
    return put_inventory(stack.s3, stack.silent_bucket, stack.silent_bucket, "lists", keys, file_format)


def test_a_backfill_plans_first_and_queues_with_yes(lone_stack: Stack, tmp_path: Path) -> None:
    stack = lone_stack
    for name in PAGES:
        stack.put(f"in/a b+{name}", (SAMPLES / name).read_bytes(), silent=True)
    stack.put("in/no.pdf", b"not what its name says", silent=True)
    stack.put("out/d.pdf", b"%PDF-", silent=True)
    here = f"s3://{stack.silent_bucket}/in/"
    wanted = dict.fromkeys([*(f"{here}a b+{name}" for name in PAGES), f"{here}no.pdf"], "new")

    _, planned, totals = plan(stack, tmp_path, "in/")

    assert planned == wanted
    assert totals["pages"] == sum(PAGES.values())
    assert (totals["documents_counted"], totals["documents_of_estimated_pages"]) == (3, 0)
    assert not any("in/" in message.body for message in stack.cloud.messages(stack.queue_url))
    keys = sorted(stack.keys(silent=True))
    for file_format in ("CSV", "Parquet"):
        manifest = inventory(stack, file_format, keys)
        assert plan(stack, tmp_path, "in/", "--inventory", manifest, "--sample", 0)[1] == wanted

    again = ("--journal", tmp_path / "journal", "--sample", 0)
    plan(stack, tmp_path, "in/", "--yes", *again)

    bodies = [json.loads(message.body) for message in stack.cloud.messages(stack.queue_url)]
    queued = {f"s3://{body['bucket']}/{body['key']}" for body in bodies if "bucket-ocr" in body}
    assert queued == set(wanted)

    # What was queued is not planned again, nor are its pages.
    _, planned, totals = plan(stack, tmp_path, "in/", *again)
    assert planned == {}
    assert (totals["to_queue"], totals["queued_before"], totals["pages"]) == (0, len(wanted), 0)


@pytest.mark.parametrize("file_format", ["ORC", "CSV"])
def test_an_inventory_that_cannot_be_read_is_one_line_and_queues_nothing(
    lone_stack: Stack, tmp_path: Path, file_format: str
) -> None:
    stack = lone_stack
    manifest = inventory(stack, "CSV", ["in/a.pdf"])
    if file_format == "ORC":
        text = stack.s3.get_object(Bucket=stack.silent_bucket, Key="lists/manifest.json")["Body"].read()
        stack.put("lists/manifest.json", text.replace(b"CSV", b"ORC"), silent=True)
    else:
        stack.put("lists/data/1", b"no gzip", silent=True)
    target = f"s3://{stack.silent_bucket}/"
    done = bucket_ocr(stack.environment(), tmp_path, "backfill", target, "--inventory", manifest, "--yes")
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert manifest in done.stderr
    assert not done.stdout


def put_many(stack: Stack, sources: int, current: int) -> set[str]:
    """Store so many sources, the first of them with results; returns the keys of the others."""
    keys = [f"many/{number:05}.pdf" for number in range(sources)]

    def put(place: int) -> None:
        etag = stack.put(keys[place], b"%PDF-", silent=True)
        if place < current:
            stack.s3.put_object(
                Bucket=stack.silent_bucket,
                Key=f"{keys[place]}.ocr.json",
                Metadata={
                    identity.STATUS: Status.SUCCESS.value,
                    identity.SOURCE_ETAG: etag,
                    identity.FINGERPRINT: "sha256:1",
                    identity.SCHEMA: SCHEMA_VERSION,
                    "ocr-page-count": "3",
                },
            )

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(put, range(sources)))
    return set(keys[current:])


@pytest.mark.soak
@pytest.mark.timeout(3000)
def test_of_20_000_sources_a_backfill_that_is_killed_and_run_again_queues_each_of_5_000(
    lone_stack: Stack, tmp_path: Path
) -> None:
    stack, journal = lone_stack, tmp_path / "journal"
    wanted = put_many(stack, 20_000, 15_000)
    prefix = f"s3://{stack.silent_bucket}/many/"

    _, planned, totals = plan(stack, tmp_path, "many/", "--sample", 0)

    assert {source.rpartition(f"{stack.silent_bucket}/")[2] for source in planned} == wanted
    assert (totals["objects"], totals["to_queue"], totals["pages"]) == (20_000, 5_000, 15_000)
    command = [sys.executable, "-m", "consumer", "backfill", prefix, "--yes", "--sample", "0", "--summary"]
    with subprocess.Popen(
        [*command, "--rate", "500", "--journal", str(journal)],
        cwd=tmp_path,
        env=stack.environment(),
        stderr=subprocess.DEVNULL,
    ) as process:
        until(
            lambda: journal.exists() and len(journal.read_bytes()) > 1_000 * 33, 600, "1,000 in the journal"
        )
        process.kill()
    _, again, totals = plan(
        stack, tmp_path, "many/", "--yes", "--sample", 0, "--rate", 1_000, "--journal", journal
    )

    bodies = [json.loads(message.body) for message in stack.cloud.messages(stack.queue_url)]
    queued = Counter(body["key"] for body in bodies if "bucket-ocr" in body)
    assert set(queued) == wanted
    assert len(again) < 4_001
    # The messages of one request may be sent and not noted.
    assert queued.total() <= 5_000 + 10
