"""The words of a corpus with transcribed truth are read as well as was promised, and are in its markdown."""

import csv
import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.stack import Consumer, Document, Stack
from tests.markdown import LEFT_OUT, untold

WORD_F1 = 0.975
DEADLINE_S = 1800.0

pytestmark = [pytest.mark.corpus, pytest.mark.timeout(2400)]


@pytest.fixture(scope="module")
def results(stack: Stack, consumer: Consumer, corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the results of all files whose truth is in a form that the scorer reads."""
    folder = tmp_path_factory.mktemp("results")
    with (corpus / "accuracy.tsv").open(encoding="utf-8", newline="") as rows:
        table = csv.DictReader(rows, delimiter="\t", quoting=csv.QUOTE_NONE)
        names = [row["image"] for row in table if row["truth"].endswith((".hocr", ".csv", ".txt"))]
    for name in names:
        stack.s3.upload_file(str(corpus / "accuracy" / name), stack.bucket, name)
    # By the log: looking at so many messages again and again would slow the reading down.
    for name in names:
        consumer.line(DEADLINE_S, key=name, settled="Delete")
        stack.s3.download_file(stack.bucket, f"{name}.ocr.json", str(folder / f"{name}.ocr.json"))
    return folder


def test_word_f1_of_the_corpus(results: Path, corpus: Path, capsys: pytest.CaptureFixture[str]) -> None:
    score = [
        sys.executable,
        corpus.parent / "tools" / "score.py",
        corpus / "accuracy.tsv",
        corpus / "accuracy",
    ]
    scored = subprocess.run(
        [*map(str, score), str(results), "--floor", str(WORD_F1)], capture_output=True, text=True, check=False
    )
    with capsys.disabled():
        print(f"\n{scored.stdout.splitlines()[-1] if scored.stdout else scored.stderr}")  # noqa: T201
    assert scored.returncode == 0, scored.stdout + scored.stderr


def test_every_word_is_in_markdown_or_in_a_block_that_it_leaves_out(results: Path) -> None:
    read = {path.name: json.loads(path.read_bytes()) for path in sorted(results.iterdir())}
    assert read
    assert {name: missing for name, result in read.items() if (missing := _missing(result))} == {}


def _missing(result: Document) -> list[str]:
    """Lines with a word that is neither in markdown nor in a block that it leaves out."""
    told = "\n".join(
        text
        for page in result["pages"]
        for text in (
            page["markdown"],
            *(block["content"] for block in page["blocks"] if block["label"] in LEFT_OUT),
        )
    )
    return untold([line["text"] for line in result["detections"]], told)
