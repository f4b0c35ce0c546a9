"""Kinds of pages that were read wrong come through the running consumer with their words, or a warning."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.stack import Consumer, Stack

DEADLINE_S = 900.0


@pytest.mark.corpus
def test_every_word_is_read_in_order_or_a_warning_says_so(
    stack: Stack, consumer: Consumer, corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = corpus / "reading"
    names = list(json.loads((folder / "expect.json").read_text(encoding="utf-8")))
    for name in names:
        stack.s3.upload_file(str(folder / name), stack.bucket, name)
    for name in names:
        consumer.line(DEADLINE_S, key=name, settled="Delete")
        stack.s3.download_file(stack.bucket, f"{name}.ocr.json", str(tmp_path / f"{name}.ocr.json"))
    check = [sys.executable, corpus.parent / "tools" / "reading.py", folder, tmp_path]
    checked = subprocess.run(list(map(str, check)), capture_output=True, text=True, check=False)
    with capsys.disabled():
        print(f"\n{checked.stdout.splitlines()[-1] if checked.stdout else checked.stderr}")  # noqa: T201
    assert checked.returncode == 0, checked.stdout + checked.stderr
