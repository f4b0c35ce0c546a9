"""A GPU that is full or lost ends the process; its pages are read again. At the start there is a remedy."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from consumer import protocol
from consumer.child.rapidocr.engine import RapidOcrEngine
from consumer.child.rapidocr.runtimes import Runtime
from consumer.domain.errors import SettingsError
from tests.page_images import stored

#: As ONNX Runtime says it, at its limit and at that of the GPU.
FULL = (
    "Non-zero status code: BFCArena Available memory of 1024 is smaller than requested bytes of 4096",
    "CUDA failure 2: out of memory ; GPU=0",
)
LOST = "CUDNN failure 5003: CUDNN_STATUS_EXECUTION_FAILED ; GPU=0"


def failing_with(text: str) -> RapidOcrEngine:
    """An engine on a GPU whose networks fail."""
    engine = RapidOcrEngine(protocol.RapidOcrOptions(threads=1))
    engine._options = engine._options.model_copy(update={"device": "gpu:0"})

    def fail(work: Sequence[Callable[..., Any]], progress: Callable[[], None]) -> list[Any]:
        raise RuntimeError(text)

    engine._runtime = Runtime(engine._runtime.networks, fail)
    return engine


@pytest.mark.parametrize(
    ("text", "end"), [*((text, MemoryError) for text in FULL), (LOST, SystemExit), ("a page", RuntimeError)]
)
def test_a_gpu_that_is_full_or_lost_ends_the_process(
    tmp_path: Path, text: str, end: type[BaseException]
) -> None:
    image = stored(np.zeros((40, 40, 3), np.uint8), tmp_path / "page.bgr")
    with pytest.raises(end, match=text[-20:]):
        failing_with(text).handle(protocol.ReadPages(images=(image,)), lambda: None)


@pytest.mark.parametrize(
    ("text", "remedy"), [(FULL[0], "lower BUCKET_OCR_ENGINE_WORKERS"), (LOST, "nvidia-smi")]
)
def test_a_start_that_fails_on_a_gpu_says_what_to_do(text: str, remedy: str) -> None:
    with pytest.raises(SettingsError, match=f"^rapidocr cannot read on gpu:0 .*: .*{remedy}"):
        failing_with(text).ready()
