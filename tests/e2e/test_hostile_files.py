"""Files made to break readers, one after the other to one consumer: each gets an answer, and nothing breaks.

The last test prints what became of each of them, and what it took.
"""

import contextlib
import csv
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil
import pytest
from local_cloud import LocalCloud

from consumer.domain.errors import Code
from consumer.domain.result import ResultDocument, Status
from tests.e2e.stack import STOP_S, Consumer, Stack, gone

pytestmark = [pytest.mark.corpus, pytest.mark.timeout(1800)]

DEADLINE_S = 300.0
# It takes longer than all others together, and is read by `make soak`.
LONGEST, LONGEST_PAGES, LONGEST_DEADLINE_S = "pdf_500_pages.pdf", 500, 1500.0
# A page has a minute to be rendered, and none takes another to be read; to open a file takes no longer.
PAGE_S = 2 * 60
# Random bytes under a name that promises no document are left alone; under one that does they are refused.
NO_DOCUMENT = "garbage_random.bin"
PROMISED = "garbage_random.pdf"
# Twice what the worst of them took when this was written.
MOST_BYTES = 4 * 1024**3
# How the result of a file may look, by the word in the corpus's table.
EXPECTED: dict[str, Callable[[ResultDocument], bool]] = {
    "REJECT": lambda result: result.status is Status.FAILURE,
    "TEXT": lambda result: result.status is not Status.FAILURE and bool(result.detections),
    "EMPTY": lambda result: result.status is Status.SUCCESS and not result.detections,
    "PIXELS": lambda result: result.status is Status.SUCCESS and all(page.width_px for page in result.pages),
    # It may be read, be read smaller, or be refused, but within the limits of time and memory.
    "LIMIT": lambda _: True,
    "EITHER": lambda _: True,
}


@dataclass(frozen=True)
class FileReport:
    """The end of a file. `result` is None if none was stored; `peaks` is the memory of children."""

    file: str
    expected: str
    result: ResultDocument | None
    job_results: list[str]
    seconds: float
    peaks: Counter[str]

    @property
    def warnings(self) -> Counter[Code]:
        return Counter(warning.code for warning in self.result.warnings) if self.result else Counter()

    @property
    def is_as_expected(self) -> bool:
        if self.result is None:
            return self.file == NO_DOCUMENT
        return EXPECTED[self.expected](self.result)

    @property
    def allowed_s(self) -> float:
        return PAGE_S * (1 + (self.result.page_count if self.result else 0))

    @property
    def row(self) -> list[str]:
        status = self.result.status.value if self.result else ", ".join(self.job_results)
        error = self.result.error.code.value if self.result and self.result.error else ""
        warnings = ", ".join(f"{count} {code}" for code, count in self.warnings.items())
        return [
            self.file,
            self.expected,
            " / ".join(filter(None, (status, error, warnings))),
            str(self.result.page_count if self.result else 0),
            f"{self.seconds:.1f}",
            *(f"{self.peaks[kind] / 2**20:.0f}" for kind in ("rapidocr", "rendering")),
        ]


COLUMNS = ["file", "expected", "outcome", "pages", "seconds", "engine MiB", "renderer MiB"]


class Peaks:
    """Most memory that a child of the consumer held, by kind of process, while the context lasts.

    Children may come and go meanwhile; what one held between its last look and its end is not seen.
    """

    _POLL_S = 0.05

    def __init__(self, consumer: Consumer) -> None:
        self._consumer = consumer
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self.bytes: Counter[str] = Counter()

    def __enter__(self) -> Self:
        for child in self._consumer.children():
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                # 5: the peak is forgotten and begins at what is held now (proc_pid_clear_refs(5)).
                Path(f"/proc/{child.pid}/clear_refs").write_text("5")
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._done.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._done.wait(self._POLL_S):
            self._look()
        self._look()

    def _look(self) -> None:
        for child in self._consumer.children():
            with contextlib.suppress(psutil.NoSuchProcess, FileNotFoundError, ProcessLookupError):
                status = Path(f"/proc/{child.pid}/status").read_text(encoding="utf-8")
                for kind in ("rendering", "rapidocr"):
                    if f"consumer.child.{kind}." in " ".join(child.cmdline()):
                        self.bytes[kind] = max(self.bytes[kind], _peak_bytes(status))


def _peak_bytes(status: str) -> int:
    """Peak of a process by its /proc/PID/status; 0 for one that has ended and is not collected yet."""
    lines = [line.split() for line in status.splitlines() if line.startswith("VmHWM:")]
    return int(lines[0][1]) * 1024 if lines else 0


@dataclass(frozen=True)
class Run:
    """All readings, and what was found after the last."""

    readings: list[FileReport]
    consumer: Consumer
    was_alive: bool
    exit_status: int
    survivors: list[psutil.Process]
    left: list[Path]
    messages: list[str]
    dead_letters: set[str]
    keys: set[str]


@pytest.fixture(scope="module")
def run(cloud: LocalCloud, corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """One consumer, with all defaults, reads all files, one at a time, and is stopped."""
    with (corpus / "robust.tsv").open(encoding="utf-8", newline="") as rows:
        table = csv.DictReader(rows, delimiter="\t", quoting=csv.QUOTE_NONE)
        expected = {row["file"]: row["expected"] for row in table if row["file"] != LONGEST}
    bodies = {name: (corpus / "robust" / name).read_bytes() for name in expected}
    expected[PROMISED], bodies[PROMISED] = "REJECT", bodies[NO_DOCUMENT]
    with (
        Stack.deployed(cloud, "e2e-hostile") as stack,
        Consumer(stack, tmp_path_factory.mktemp("hostile")) as consumer,
    ):
        consumer.wait_ready()
        readings = [read(stack, consumer, key, expected[key], body) for key, body in bodies.items()]
        stack.wait_until_settled()
        family = consumer.children()
        yield Run(
            readings=readings,
            consumer=consumer,
            was_alive=consumer.process.poll() is None,
            exit_status=consumer.stop(),
            survivors=gone(family, STOP_S),
            left=list(consumer.work_dir.iterdir()),
            messages=[message.body for message in cloud.messages(stack.queue_url)],
            dead_letters=stack.dead_letters(),
            keys=stack.keys(),
        )


def read(
    stack: Stack, consumer: Consumer, key: str, expected: str, body: bytes, *, deadline_s: float = DEADLINE_S
) -> FileReport:
    """Upload a file and wait until its message is deleted, which is after its result was stored."""
    with Peaks(consumer) as peaks:
        started = time.monotonic()
        stack.put(key, body)
        consumer.line(deadline_s, key=key, settled="Delete")
        seconds = time.monotonic() - started
    result = None
    if stack.object(f"{key}.ocr.json"):
        with stack.s3.get_object(Bucket=stack.bucket, Key=f"{key}.ocr.json")["Body"] as stored:
            result = ResultDocument.model_validate_json(stored.read())
    return FileReport(key, expected, result, consumer.job_results(key), seconds, peaks.bytes)


def show(capsys: pytest.CaptureFixture[str], readings: Sequence[FileReport]) -> None:
    """Print the table, whatever pytest does with other output."""
    table = [COLUMNS, *(reading.row for reading in readings)]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    with capsys.disabled():
        print()  # noqa: T201
        for row in table:
            cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
            print("  ".join(cells).rstrip())  # noqa: T201


def test_each_gets_the_kind_of_result_it_deserves(run: Run) -> None:
    assert [reading.row for reading in run.readings if not reading.is_as_expected] == []


def test_each_gets_one_result_at_the_first_try(run: Run) -> None:
    documents = [reading for reading in run.readings if reading.file != NO_DOCUMENT]
    assert [reading.row for reading in documents if reading.job_results != ["stored"]] == []
    sources = {reading.file for reading in run.readings}
    assert run.keys - sources == {f"{reading.file}.ocr.json" for reading in documents}


def test_random_bytes_are_refused_only_if_their_name_promises_a_document(run: Run) -> None:
    (unnamed,) = [reading for reading in run.readings if reading.file == NO_DOCUMENT]
    assert (unnamed.job_results, unnamed.result) == (["not a document"], None)
    (promised,) = [reading for reading in run.readings if reading.file == PROMISED]
    assert promised.result is not None
    assert promised.result.error is not None
    assert promised.result.error.code is Code.UNSUPPORTED_TYPE


def test_no_result_tells_where_the_consumer_keeps_its_files(run: Run) -> None:
    folder = str(run.consumer.work_dir.parent)
    texts = {reading.file: reading.result.model_dump_json() for reading in run.readings if reading.result}
    assert [file for file, text in texts.items() if folder in text] == []


def test_the_consumer_survives_them_all_and_leaves_nothing(run: Run) -> None:
    assert (run.was_alive, run.exit_status) == (True, 0)
    assert (run.survivors, run.left) == ([], [])
    assert (run.messages, run.dead_letters) == ([], set())


def test_nothing_unforeseen_happens_to_any(run: Run) -> None:
    assert {line["outcome"] for line in run.consumer.lines if line["event"] == "message"} == {"done"}
    assert run.consumer.stderr == ""


@pytest.mark.soak
def test_a_document_of_500_pages_is_read_whole(
    stack: Stack, consumer: Consumer, corpus: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    body = (corpus / "robust" / LONGEST).read_bytes()
    reading = read(stack, consumer, LONGEST, "TEXT", body, deadline_s=LONGEST_DEADLINE_S)
    show(capsys, [reading])
    assert reading.is_as_expected
    assert reading.result is not None
    assert reading.result.page_count == LONGEST_PAGES
    assert {line.page_number for line in reading.result.detections} == set(range(1, LONGEST_PAGES + 1))


def test_none_takes_more_time_or_memory_than_it_may(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    show(capsys, run.readings)
    assert [reading.row for reading in run.readings if reading.seconds > reading.allowed_s] == []
    assert [reading.row for reading in run.readings if max(reading.peaks.values()) > MOST_BYTES] == []
