"""A page takes as long as there is work on it, on any machine, and an engine that hangs is soon replaced."""

import contextlib
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.e2e import documents
from tests.e2e.conftest import Start
from tests.e2e.stack import RESULT_S, Consumer, Stack, until

BROADSHEET = "K7_broadsheet_4425x6825.png"
BROADSHEETS_S = 1800.0
#: Processor time after which an engine is in the middle of a page of 300 lines.
MIDDLE_S = 1.0
REPLACED_S = 60.0


@contextlib.contextmanager
def one_processor() -> Iterator[None]:
    """Keep the processes that are started meanwhile, and theirs, to one processor."""
    usable = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(usable)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, usable)


@pytest.fixture
def broadsheet(corpus: Path) -> bytes:
    """A page of 30 megapixels and 950 lines."""
    path = corpus / "reading" / BROADSHEET
    if not path.exists():
        pytest.skip(f"there is no {path}")
    return path.read_bytes()


@pytest.mark.soak
@pytest.mark.timeout(2400)
def test_four_broadsheets_at_once_on_four_engines_that_share_a_processor_are_read(
    lone_stack: Stack, start: Start, broadsheet: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    keys = [f"{number}.png" for number in range(4)]
    with one_processor():
        consumer = start(lone_stack, "consumer", ENGINE_WORKERS=4, MAX_IN_FLIGHT=4)
    consumer.wait_ready()
    for key in keys:
        lone_stack.put(key, broadsheet)
    for key in keys:
        consumer.line(BROADSHEETS_S, event="message", key=key, settled="Delete")
    results = [lone_stack.result(key) for key in keys]
    with capsys.disabled():
        print(f"\nseconds in an engine: {[round(result['timing']['engine_s']) for result in results]}")  # noqa: T201
    assert [result["status"] for result in results] == ["SUCCESS"] * 4
    assert min(len(result["detections"]) for result in results) > 900
    assert [line for line in consumer.lines if line["event"] == "child.replaced"] == []


@pytest.mark.soak
def test_an_engine_stopped_in_the_middle_of_a_page_is_replaced_within_a_minute(
    lone_stack: Stack, start: Start, capsys: pytest.CaptureFixture[str]
) -> None:
    consumer = start(lone_stack).wait_ready()
    engine = _engine(consumer)
    lone_stack.put("dense.pdf", documents.dense_pdf(columns=4, rows=75))
    consumer.wait_at_work()
    used_s = engine.cpu_times().user
    until(lambda: engine.cpu_times().user > used_s + MIDDLE_S, RESULT_S, "work on the page", every_s=0.01)
    engine.send_signal(signal.SIGSTOP)
    stopped_at = time.monotonic()
    replaced = consumer.line(event="child.replaced", kind="rapidocr")
    replaced_s = time.monotonic() - stopped_at
    with capsys.disabled():
        print(f"\nreplaced after {replaced_s:.1f} s")  # noqa: T201
    assert replaced_s < REPLACED_S
    assert (replaced["pid"], replaced["reason"]) == (engine.pid, "timeout")
    result = lone_stack.result("dense.pdf")
    assert result["status"] == "SUCCESS"
    assert len(result["detections"]) == 300


def _engine(consumer: Consumer) -> psutil.Process:
    (engine,) = (child for child in consumer.children() if any("rapidocr" in arg for arg in child.cmdline()))
    return engine
