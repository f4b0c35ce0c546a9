"""The bench against peers: documents, score, turns, tables; with contenders that only pretend."""

import contextlib
import json
import sys
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Any, cast

import pymupdf
import pytest

from bench.installed import NotRunError
from bench.peers import report
from bench.peers.contenders import OURS, Contender, Running
from bench.peers.documents import KINDS, Document, made, of_corpus
from bench.peers.measured import Measured, Round, Run, keep, load
from bench.peers.measurement import Measurement, share
from bench.peers.program import Program, started
from bench.peers.usage import processor_s, resident_bytes
from bench.peers.words import word_f1

#: Reads every document as its name, or ends at the second one.
ECHO = """
import sys
from bench.peers.programs.rounds import Answers, rounds
answers = Answers()
print("noise")
for paths in rounds():
    for path in paths[: 1 if sys.argv[1:] else None]:
        answers.put(path.name, path.name)
    if sys.argv[1:]:
        sys.exit("out of order")
"""

#: Has a child that is busy for a while, and is ready when that has ended.
PARENT = """
import subprocess, sys
child = "import time\\nwhile time.process_time() < 0.3: pass"
subprocess.run([sys.executable, "-c", child])
print("{}", flush=True)
input()
"""


@pytest.fixture(scope="module")
def documents(tmp_path_factory: pytest.TempPathFactory) -> list[Document]:
    return made(tmp_path_factory.mktemp("documents"), 7)


def test_a_word_counts_as_often_as_it_stands_there_in_any_order() -> None:
    assert word_f1([("To be, or not to be", "be be not OR to to")]) == 1.0
    assert word_f1([("two two", "two")]) == pytest.approx(2 / 3)
    assert word_f1([("one", "one"), ("lost", "")]) == pytest.approx(2 / 3)
    assert word_f1([("one", "one more")]) == pytest.approx(2 / 3)
    assert word_f1([("divi-\nded", "divided")]) == 1.0
    assert word_f1([("", "")]) == 1.0


def test_there_is_one_document_of_each_kind_with_the_pages_and_the_text_that_it_claims(
    documents: list[Document],
) -> None:
    assert len(documents) == len(KINDS) == len({document.name.partition("-")[2] for document in documents})
    assert sum(document.pages for document in documents) == 7
    for document in documents:
        with pymupdf.open(document.path) as opened:
            assert opened.page_count == document.pages
            if document.path.suffix == ".pdf":
                assert word_f1([(document.truth, "\n".join(page.get_text() for page in opened))]) == 1.0
        assert len(document.truth.split()) > 50


def test_the_same_number_gives_the_same_document_and_another_one_another_text(tmp_path: Path) -> None:
    again, other = (made(tmp_path, 1, first=first)[0] for first in (6, 12))
    assert made(tmp_path, 1, first=6)[0].truth == again.truth != other.truth


def test_a_corpus_has_the_documents_whose_truth_can_be_read(tmp_path: Path) -> None:
    files = tmp_path / "accuracy"
    files.mkdir()
    page = pymupdf.open()
    page.new_page()
    for name in ("a.pdf", "b.pdf", "c.pdf", "d.pdf"):
        page.save(files / name)
    (files / "a.txt").write_text("plain text")
    (files / "b.hocr").write_text("<span class='ocrx_word' title='x'>of &amp;</span>\n<span>not</span>")
    (files / "c.csv").write_text("1,2,3,4,5,6,7,8,ONE, TWO\n")
    table = "image\ttruth\na.pdf\ta.txt\nb.pdf\tb.hocr\nc.pdf\tc.csv\nd.pdf\td.json\n"
    (tmp_path / "accuracy.tsv").write_text(table)
    assert [document.truth for document in of_corpus(tmp_path)] == ["plain text", "of &", "ONE, TWO"]


def test_every_document_is_in_one_round(documents: list[Document]) -> None:
    for rounds in range(1, 9):
        shared = share(documents, rounds)
        assert [document for each in shared for document in each] == documents
        assert all(shared)


def echo(folder: Path, *arguments: str) -> AbstractContextManager[Running]:
    """A contender that reads names."""

    @contextlib.contextmanager
    def running() -> Iterator[Running]:
        program = folder / "echo.py"
        program.write_text(ECHO)
        log = folder / "log"
        with started([sys.executable, program, *arguments], log) as process:
            yield Program(process, log)

    return running()


def refuse(_cloud: object, _folder: Path) -> AbstractContextManager[Running]:
    raise NotRunError("nothing is installed")


def contender(name: str, start: Callable[..., AbstractContextManager[Running]]) -> Contender:
    return Contender(name, "a pretender", start, lambda: {"echo": "1.0"})


def test_contenders_take_turns_and_those_that_cannot_run_say_why(
    documents: list[Document], tmp_path: Path
) -> None:
    starts: dict[str, Callable[..., AbstractContextManager[Running]]] = {
        OURS: lambda _, folder: echo(folder),
        "broken": lambda _, folder: echo(folder, "break"),
        "missing": refuse,
    }
    measurements = [Measurement(contender(name, start)) for name, start in starts.items()]
    with ExitStack() as stack:
        for number, measurement in enumerate(measurements):
            measurement.start(stack, cast(Any, None), tmp_path / str(number), documents[:1])
        for each in share(documents, 2):
            for measurement in measurements:
                measurement.round(each)
    ours, broken, missing = (measurement.measured for measurement in measurements)
    assert [each.pages for each in ours.rounds] == [4, 3]
    assert all(each.seconds > 0 for each in ours.rounds)
    assert ours.peak_bytes > 1_000_000
    assert ours.not_run is None
    assert broken.not_run == "it ended: out of order"
    assert missing.not_run == "nothing is installed"
    run = Run("pretenders", "no machine", [ours, broken, missing])
    assert "| missing | not run: nothing is installed |" in report.table(run)
    ET.fromstring(report.plot(run))


def test_the_processor_time_of_children_counts_also_when_they_have_ended(tmp_path: Path) -> None:
    program = tmp_path / "parent.py"
    program.write_text(PARENT)
    with started([sys.executable, program], tmp_path / "log") as process:
        pids = Program(process, tmp_path / "log").pids
        assert processor_s(pids) >= 0.3
        assert resident_bytes(pids) > 1_000_000


def measured(name: str, *seconds: float) -> Measured:
    rounds = [Round(pages=10, seconds=each, processor_s=5.0) for each in seconds]
    return Measured(name, "x", rounds=rounds, peak_bytes=2**30, word_f1=0.5, start_s=1.0)


def test_a_table_compares_rates_round_by_round() -> None:
    run = Run("run", "machine", [measured("slow", 20.0, 40.0, 30.0), measured(OURS, 10.0, 10.0, 10.0)])
    slow, ours = report.table(run, usd_per_hour=0.6).splitlines()[-2:]
    assert (
        slow == "| slow | 20.0 (15.0 to 30.0) | 3.00 (2.00 to 4.00) | 0.50 | 1,024 | 0.5000 | 1.0 | 0.500 |"
    )
    assert ours == "| bucket-ocr | 60.0 (60.0 to 60.0) |  | 0.50 | 1,024 | 0.5000 | 1.0 | 0.167 |"


def test_a_run_replaces_the_one_of_its_name_in_file_and_page(tmp_path: Path) -> None:
    kept, page = tmp_path / "measured.json", tmp_path / "RESULTS.md"
    page.write_text("before\n<!-- peers: begin -->\nold\n<!-- peers: end -->\nafter\n")
    first, other = (
        Run("first", "old machine", [measured(OURS, 10.0)]),
        Run("other", "m", [measured(OURS, 5.0)]),
    )
    keep(kept, first)
    keep(kept, other)
    runs = keep(kept, Run("first", "new machine", [measured(OURS, 20.0)]))
    assert [run.about for run in runs] == ["new machine", "m"]
    assert load(kept) == runs
    assert json.loads(kept.read_text())[0]["contenders"][0]["rounds"][0]["seconds"] == 20.0
    report.rewrite(page, runs)
    text = page.read_text()
    assert text.startswith("before\n")
    assert text.endswith("\nafter\n")
    assert "old" not in text
    assert text.count("### ") == 2
