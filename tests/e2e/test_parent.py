"""The parent process, which holds the credentials, loads nothing that parses documents."""

import re

from tests.e2e import documents
from tests.e2e.conftest import Start
from tests.e2e.stack import RUN, Stack

HEAVY = {"pymupdf", "fitz", "cv2", "numpy", "PIL", "onnxruntime", "openvino", "paddle", "rapidocr"}


def test_a_parent_whose_children_have_read_a_document_has_imported_nothing_heavy(
    lone_stack: Stack, start: Start
) -> None:
    consumer = start(lone_stack, "consumer", ("-X", "importtime", *RUN)).wait_ready()
    lone_stack.put("light.pdf", documents.pdf("LIGHT"))
    assert documents.text(lone_stack.result("light.pdf")) == "LIGHT"
    assert consumer.stop() == 0
    imported = re.findall(r"^import time:.*\|\s+(\w+)", consumer.stderr, re.MULTILINE)
    assert {"consumer", "aiobotocore"} <= set(imported)
    assert HEAVY.isdisjoint(imported)
