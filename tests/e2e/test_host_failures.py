"""A host that cannot work now takes no work until it can, and no document is worse off."""

import os
import shutil
import subprocess
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import psutil
import pytest

from tests.children import hostile
from tests.e2e.conftest import Start
from tests.e2e.stack import (
    QUICK,
    RESULT_S,
    STOP_S,
    Consumer,
    Stack,
    free_port,
    null_engine,
    until,
)

KEYS = ("a.pdf", "b.pdf", "c.pdf")
ENGINE = (*QUICK, *null_engine(0.05, lines=1))
#: A page of the letter is an image of 6 MB.
SMALL_DISK_BYTES = 8 * 1024**2


#: Makes a file system of so many bytes.
Disk = Callable[[int], Path]


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    folder = tmp_path / "disk"
    folder.mkdir()

    def mounted(size_bytes: int) -> Path:
        options = f"size={size_bytes}"
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
        if (
            os.geteuid()
            or subprocess.run(command, check=False, timeout=STOP_S, capture_output=True).returncode
        ):
            pytest.skip("a file system can be mounted by root alone")
        return folder

    yield mounted
    if folder.is_mount():
        subprocess.run(["umount", "--lazy", str(folder)], check=True, timeout=STOP_S)


@pytest.fixture
def small_disk(disk: Disk) -> Path:
    """A file system of 8 MB."""
    return disk(SMALL_DISK_BYTES)


def fill(folder: Path, left_bytes: int = 0) -> Path:
    """Leave so much space in a folder, by a file; returns the file."""
    path = folder / "of-somebody-else"
    path.write_bytes(bytes(shutil.disk_usage(folder).free - left_bytes))
    return path


def queued(stack: Stack) -> str:
    return " ".join(message.body for message in stack.cloud.messages(stack.queue_url))


def receive_counts(consumer: Consumer, keys: Iterable[str]) -> dict[str, int]:
    """How often each document's message had been received when it was done."""
    return {key: consumer.line(event="message", key=key, status="SUCCESS")["receive_count"] for key in keys}


def test_a_full_disk_stops_the_polling_and_costs_no_receives_until_there_is_space(
    lone_stack: Stack, start: Start, samples: Path, small_disk: Path
) -> None:
    filler = fill(small_disk)
    consumer = start(
        lone_stack, "consumer", ENGINE, WORK_DIR=small_disk, HEALTH_PORT=free_port()
    ).wait_ready()
    consumer.line(event="host.unhealthy")
    status, why = consumer.asked("/readyz")
    assert (status, "BUCKET_OCR_WORK_DIR" in why) == (503, True), why
    assert consumer.asked("/healthz")[0] == 200
    for key in KEYS:
        lone_stack.put(key, (samples / "letter.pdf").read_bytes())
    until(lambda: all(key in queued(lone_stack) for key in KEYS), RESULT_S, "three messages")
    assert {m.receive_count for m in lone_stack.cloud.messages(lone_stack.queue_url)} == {0}
    assert lone_stack.keys() == set(KEYS)

    filler.unlink()

    for key in KEYS:
        assert lone_stack.result(key)["status"] == "SUCCESS"
    lone_stack.wait_until_settled()
    consumer.line(event="host.healthy")
    assert consumer.asked("/readyz") == (200, "ok\n")
    assert receive_counts(consumer, KEYS) == dict.fromkeys(KEYS, 1)
    assert lone_stack.dead_letters() == set()
    assert list(small_disk.rglob("*.*")) == []


def test_a_disk_that_fills_up_during_a_document_costs_one_receive(
    lone_stack: Stack, start: Start, samples: Path, small_disk: Path
) -> None:
    consumer = start(lone_stack, "consumer", ENGINE, WORK_DIR=small_disk).wait_ready()
    filler = fill(small_disk, left_bytes=2 * 1024**2)
    lone_stack.put("a.pdf", (samples / "letter.pdf").read_bytes())
    line = consumer.line(event="message", outcome="host_failure")
    assert "no space for a page image" in line["error"]
    unhealthy = consumer.line(event="host.unhealthy")
    assert "no space" in unhealthy["error"]

    filler.unlink()

    assert lone_stack.result("a.pdf")["status"] == "SUCCESS"
    assert consumer.line(key="a.pdf", status="SUCCESS")["receive_count"] == 2


def test_a_disk_for_one_page_at_a_time_is_enough_for_many(
    lone_stack: Stack, start: Start, samples: Path, small_disk: Path
) -> None:
    """Two pages do not fit at the same time: a document without a page waits, which is no failure."""
    # Long enough for the next page to find the first one there.
    engine = (*QUICK, *null_engine(0.5, lines=1))
    consumer = start(
        lone_stack, "consumer", engine, WORK_DIR=small_disk, ENGINE_WORKERS=2, RENDER_WORKERS=2
    ).wait_ready()
    keys = KEYS[:2]
    for key in keys:
        lone_stack.put(key, (samples / "report.pdf").read_bytes())

    for key in keys:
        assert lone_stack.result(key)["status"] == "SUCCESS"

    lone_stack.wait_until_settled()
    assert receive_counts(consumer, keys) == dict.fromkeys(keys, 1)
    assert all(line["event"] != "host.unhealthy" for line in consumer.lines)


def test_a_page_that_would_never_fit_on_the_disk_delays_no_other_document(
    lone_stack: Stack, start: Start, samples: Path, small_disk: Path
) -> None:
    # At 200 dpi the letter is an image of 11.6 MB; the scan keeps its own size.
    consumer = start(lone_stack, "consumer", ENGINE, WORK_DIR=small_disk, RENDER_DPI=200).wait_ready()
    lone_stack.put("large.pdf", (samples / "letter.pdf").read_bytes())
    line = consumer.line(event="message", key="large.pdf")
    assert (line["outcome"], "bytes in all" in line["error"]) == ("transient", True)

    lone_stack.put("small.png", (samples / "scan.png").read_bytes())

    assert lone_stack.result("small.png")["status"] == "SUCCESS"
    assert all(line["event"] != "host.unhealthy" for line in consumer.lines)


def test_a_file_that_does_not_fit_into_the_space_left_delays_no_other_document(
    lone_stack: Stack, start: Start, samples: Path, disk: Disk
) -> None:
    folder = disk(64 * 1024**2)
    fill(folder, left_bytes=34 * 1024**2)
    consumer = start(lone_stack, "consumer", ENGINE, WORK_DIR=folder).wait_ready()
    lone_stack.put("large.pdf", b"%PDF-1.7" + bytes(40 * 1024**2))
    line = consumer.line(event="message", key="large.pdf")
    assert (line["outcome"], "free some space for this document" in line["error"]) == ("transient", True)

    lone_stack.put("small.pdf", (samples / "letter.pdf").read_bytes())

    assert lone_stack.result("small.pdf")["status"] == "SUCCESS"
    assert all(line["event"] != "host.unhealthy" for line in consumer.lines)


def test_a_disk_that_becomes_read_only_stops_the_polling_until_it_can_be_written(
    lone_stack: Stack, start: Start, samples: Path, small_disk: Path
) -> None:
    consumer = start(lone_stack, "consumer", ENGINE, WORK_DIR=small_disk).wait_ready()
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True, timeout=STOP_S)
    consumer.line(event="host.unhealthy")
    lone_stack.put("a.pdf", (samples / "letter.pdf").read_bytes())
    until(lambda: "a.pdf" in queued(lone_stack), RESULT_S, "a message")

    subprocess.run(["mount", "-o", "remount,rw", str(small_disk)], check=True, timeout=STOP_S)

    assert lone_stack.result("a.pdf")["status"] == "SUCCESS"
    assert consumer.line(key="a.pdf", status="SUCCESS")["receive_count"] <= 2


def test_an_engine_that_cannot_be_started_stops_the_polling_until_it_can(
    lone_stack: Stack, start: Start, samples: Path, tmp_path: Path
) -> None:
    licence = tmp_path / "licence"
    licence.touch()
    engine = (hostile.__file__, "engine", str(licence))
    consumer = start(lone_stack, "consumer", (*QUICK, *engine), HEALTH_PORT=free_port()).wait_ready()
    assert consumer.asked("/readyz") == (200, "ok\n")
    licence.unlink()
    (child,) = (child for child in consumer.children() if hostile.ENTRY in child.cmdline())
    child.kill()
    psutil.wait_procs([child], timeout=STOP_S)
    consumer.line(event="host.unhealthy")
    for key in KEYS:
        lone_stack.put(key, (samples / "letter.pdf").read_bytes())
    consumer.line(event="engine.not_started", next_try_s=2.0)
    assert consumer.asked("/readyz")[0] == 503

    licence.touch()

    for key in KEYS:
        assert lone_stack.result(key)["status"] == "SUCCESS"
    consumer.line(event="host.healthy")
    assert consumer.asked("/readyz")[0] == 200
    assert receive_counts(consumer, KEYS) == dict.fromkeys(KEYS, 1)
