"""The parent process, which holds the credentials, loads nothing that parses documents."""

import re

from tests.e2e.conftest import Start

HEAVY = {"pymupdf", "fitz", "cv2", "numpy", "PIL", "onnxruntime", "openvino", "paddle", "rapidocr"}


def test_the_running_parent_has_imported_nothing_heavy(start: Start) -> None:
    consumer = start("consumer", "-X", "importtime").wait_ready()
    assert consumer.stop() == 0
    imported = re.findall(r"^import time:.*\|\s+(\w+)", consumer.stderr, re.MULTILINE)
    assert {"consumer", "aiobotocore"} <= set(imported)
    assert HEAVY.isdisjoint(imported)
