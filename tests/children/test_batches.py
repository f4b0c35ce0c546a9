"""An engine process that reads the pages of a request at once, as on a GPU, behind the walls of any other."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from consumer import protocol
from consumer.clock import SystemClock, Watchdog
from consumer.domain.page import PageImage
from consumer.engines import ENGINES, EngineSpec
from consumer.processes.layout import ProcessLayout
from consumer.processes.recognizer import PageRecognizer
from consumer.settings import Settings
from tests.page_images import stored

RAPIDOCR = ENGINES["rapidocr"]


def at_once() -> EngineSpec:
    """The embedded engine with ONNX Runtime on processors."""

    def options(settings: Settings, share: protocol.EngineOptions, scratch: Path) -> protocol.EngineOptions:
        return RAPIDOCR.options(settings, share, scratch).model_copy(update={"runtime": "onnxruntime"})

    return replace(RAPIDOCR, options=options)


def pages(folder: Path, words: Sequence[str]) -> list[PageImage]:
    """A page with each word."""
    images = []
    for number, word in enumerate(words, 1):
        page = np.full((400, 736, 3), 255, np.uint8)
        cv2.putText(page, word, (100, 200), cv2.FONT_HERSHEY_SIMPLEX, 3.0, (0, 0, 0), 6)
        images.append(stored(page, folder / f"{number}.bgr", number))
    return images


async def test_an_engine_process_reads_the_pages_of_a_request_at_once_behind_its_walls(
    tmp_path: Path,
) -> None:
    options = Settings.model_validate(
        {"queue_url": "q", "engine_workers": 1, "batch_pages": 4, "engine": "rapidocr"}
    )
    layout = ProcessLayout.of(options, tmp_path, {"rapidocr": at_once()})
    deadline_s = layout.engine.progress_deadline_s
    recognizer = PageRecognizer(layout.engines, layout.recycle_policy, deadline_s, Watchdog(SystemClock()))
    words = ["north", "south", "east", "west"]
    async with recognizer.running():
        read = await recognizer.read(pages(tmp_path, words))
        (process,) = [slot.process for slot in layout.engines]
        assert process is not None
        assert process.pages_read == len(words)
    assert [[line.text for line in page.detections] for page in read] == [[word] for word in words]
