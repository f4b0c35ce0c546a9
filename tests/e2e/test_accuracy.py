"""The words of a corpus with transcribed truth are read as well as was promised."""

import csv
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.stack import Consumer, Stack

WORD_F1 = 0.975
DEADLINE_S = 1800.0


@pytest.mark.corpus
@pytest.mark.timeout(2400)
def test_word_f1_of_the_corpus(
    stack: Stack, consumer: Consumer, corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    truth = corpus / "accuracy.tsv"
    with truth.open(encoding="utf-8", newline="") as rows:
        table = csv.DictReader(rows, delimiter="\t", quoting=csv.QUOTE_NONE)
        # The truth of the others is in a form that the scorer does not read.
        names = [row["image"] for row in table if row["truth"].endswith((".hocr", ".csv", ".txt"))]
    for name in names:
        stack.s3.upload_file(str(corpus / "accuracy" / name), stack.bucket, name)
    # By the log: looking at so many messages again and again would slow the reading down.
    for name in names:
        consumer.line(DEADLINE_S, key=name, settled="Delete")
        stack.s3.download_file(stack.bucket, f"{name}.ocr.json", str(tmp_path / f"{name}.ocr.json"))
    score = [sys.executable, corpus.parent / "tools" / "score.py", truth, corpus / "accuracy", tmp_path]
    scored = subprocess.run(
        [*map(str, score), "--floor", str(WORD_F1)], capture_output=True, text=True, check=False
    )
    with capsys.disabled():
        print(f"\n{scored.stdout.splitlines()[-1] if scored.stdout else scored.stderr}")  # noqa: T201
    assert scored.returncode == 0, scored.stdout + scored.stderr
