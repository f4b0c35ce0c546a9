"""Reads pages with an engine, in the environment in which it runs: its name, and `--real-zoo` for its models.

Descriptions of page images come in, one a line, and of each a line goes out: what is on the page. Settings
are the consumer's.
"""

import json
import os
import sys
import tempfile
import time
from importlib import import_module
from pathlib import Path
from typing import Any

from consumer import protocol, settings
from consumer.child.serve import RequestHandler
from consumer.domain.page import PageImage
from consumer.engines import ENGINES


def main() -> None:
    """Read until the input ends."""
    # What libraries print goes to standard error.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    with tempfile.TemporaryDirectory(prefix="bucket-ocr-bench-") as folder:
        if "--real-zoo" in sys.argv:
            _use_real_zoo(Path(folder))
        handler = _engine(sys.argv[1], Path(folder))
        for line in sys.stdin:
            answers.write(json.dumps(_read(handler, PageImage.model_validate_json(line))) + "\n")
            answers.flush()


def _use_real_zoo(folder: Path) -> None:
    from tests.structure import real_zoo  # noqa: PLC0415 - it needs the environment of tests/structure

    zoo = real_zoo.build(folder / "zoo")
    pipeline = zoo.pipeline(use_table_recognition=True, use_doc_orientation_classify=True)
    os.environ |= {
        "PADDLE_PDX_CACHE_HOME": str(zoo.home),
        "BUCKET_OCR_PIPELINE_CONFIG": str(pipeline),
        "BUCKET_OCR_ENGINE_RUNTIME": "onnxruntime",
    }


def _engine(name: str, folder: Path) -> RequestHandler:
    if unknown := settings.unknown():
        sys.exit(f"there is no setting {', '.join(unknown)}")
    # No message is received.
    os.environ["BUCKET_OCR_QUEUE_URL"] = "https://sqs.eu-central-1.amazonaws.com/000000000000/none"
    spec = ENGINES[name]
    share = protocol.EngineOptions(threads=1)
    options = spec.options(settings.load(settings.Settings), share, folder)
    module, _, function = spec.entry.partition(":")
    handler: RequestHandler = getattr(import_module(module), function)(options.model_dump_json())
    handler.ready()
    return handler


def _read(handler: RequestHandler, image: PageImage) -> dict[str, Any]:
    began = time.process_time()
    reply = handler.handle(protocol.ReadPages(images=(image,)), lambda: None)
    assert isinstance(reply, protocol.PagesRead)
    (page,) = reply.pages
    return {
        "seconds": time.process_time() - began,
        "tables": [[*table.box, table.html] for table in page.page.tables],
        "lines": [[line.box, line.text] for line in page.detections],
    }


if __name__ == "__main__":
    main()
