"""A result of 200 MB needs no more memory than a small one: while it is made, put, and printed."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from consumer.domain.result import ResultDocument
from tests.e2e import documents
from tests.e2e.conftest import Start
from tests.e2e.stack import COMMAND_S, SCRIPTED, Stack, null_engine

pytestmark = [pytest.mark.soak, pytest.mark.timeout(3600)]

LARGE_BYTES = 200_000_000
#: More than for a small one.
ALLOWED_BYTES = 64 * 1024**2
SMALL_PAGES, LARGE_PAGES = 2, 380
LINES = 2600
RESULT_S = 1800.0

#: A command of `bucket-ocr` that says at its end how much memory it held at most.
MEASURED = """
import sys
from consumer import cli
try:
    cli.main()
finally:
    status = dict(line.split(":", 1) for line in open("/proc/self/status"))
    print("KIB", status["VmHWM"].split()[0], file=sys.stderr)
"""


def test_the_consumer_needs_no_more_memory_for_a_result_of_200_mb(
    lone_stack: Stack, start: Start, capsys: pytest.CaptureFixture[str]
) -> None:
    bytes_held = []
    for pages in (SMALL_PAGES, LARGE_PAGES):
        key = f"{pages}.pdf"
        consumer = start(lone_stack, f"consumer-{pages}", (*SCRIPTED, *null_engine(0.0, lines=LINES)))
        consumer.wait_ready()
        lone_stack.put(key, documents.blank_pdf(100, pages))
        # The large one is read in parts: this is the message of the one that joins them.
        line = consumer.line(RESULT_S, event="message", key=key, status="SUCCESS")
        assert line["lines"] == pages * LINES
        bytes_held.append(consumer.most_bytes())
        consumer.stop()
    head = lone_stack.object(f"{LARGE_PAGES}.pdf.ocr.json")
    assert head is not None
    document = ResultDocument.model_validate(lone_stack.result(f"{LARGE_PAGES}.pdf"))
    assert [page.page_number for page in document.pages] == list(range(1, LARGE_PAGES + 1))
    assert len(document.detections) == LARGE_PAGES * LINES
    more_bytes = bytes_held[1] - bytes_held[0]
    with capsys.disabled():
        print(f"\n{head['ContentLength']:,} bytes: {more_bytes:,} bytes more of memory, {line}")  # noqa: T201
    assert head["ContentLength"] >= LARGE_BYTES
    assert more_bytes <= ALLOWED_BYTES


def result(lines: int) -> bytes:
    """Make a result of pages of a thousand lines each."""
    pages = -(-lines // 1000)
    detections = (
        {"text": f"line {number} of this döcument".ljust(60, "."), "page_number": 1 + number // 1000}
        | {"box": [[0, 0], [99, 0], [99, 9], [0, 9]], "confidence": 0.98}
        for number in range(lines)
    )
    page = {"status": "SUCCESS", "width_px": 99, "height_px": 99, "scale": 2.0, "markdown": "m" * 5000}
    head = {"schema_version": "1.0", "status": "SUCCESS", "page_count": pages}
    texts = ",".join(json.dumps({"page_number": number + 1} | page) for number in range(pages))
    rest = ",".join(json.dumps(each, ensure_ascii=False) for each in detections)
    return f'{json.dumps(head)[:-1]}, "pages": [{texts}], "detections": [{rest}], "error": null}}'.encode()


def test_get_needs_no_more_memory_for_a_result_of_200_mb(
    stack: Stack, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = {"small": 1000, "large": 1_250_000}
    bodies = {name: result(count) for name, count in lines.items()}
    assert len(bodies["large"]) >= LARGE_BYTES
    for name, body in bodies.items():
        stack.put(f"{name}.pdf.ocr.json", body, silent=True)
    more_bytes = {}
    for form in ("json", "text", "markdown"):
        held = {}
        for name, body in bodies.items():
            with (tmp_path / "output").open("wb") as output:
                done = subprocess.run(
                    [
                        sys.executable,
                        "-c",
                        MEASURED,
                        "get",
                        f"--{form}",
                        f"s3://{stack.silent_bucket}/{name}.pdf",
                    ],
                    cwd=tmp_path,
                    env=stack.environment(),
                    stdout=output,
                    stderr=subprocess.PIPE,
                    text=True,
                    timeout=COMMAND_S,
                    check=True,
                )
            held[name] = int(done.stderr.split()[-1]) * 1024
            printed = (tmp_path / "output").read_bytes()
            if form == "json":
                assert printed == body + b"\n"
            elif form == "text":
                assert printed.count(b"\n") == lines[name]
                assert printed.count(b"\f") == lines[name] // 1000 - 1
            else:
                assert printed.count(b"m") == 5000 * lines[name] // 1000
        more_bytes[form] = held["large"] - held["small"]
    with capsys.disabled():
        print(f"\nmore bytes of memory: {more_bytes}")  # noqa: T201
    assert max(more_bytes.values()) <= ALLOWED_BYTES
