"""Reading with PP-StructureV3: lines, layout, tables, formulas, seals. One pipeline, used from one thread."""

import base64
import gc
import logging
import math
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from importlib.metadata import version
from typing import Any, Final

import cv2
import numpy as np
from paddleocr import PPStructureV3
from paddlex.inference.models.runners.onnxruntime_runner import ONNXRuntimeRunner

from consumer import protocol
from consumer.child import serve
from consumer.child.ppstructure import results
from consumer.child.text_lines import Image, padded
from consumer.domain.errors import SettingsError
from consumer.domain.geometry import PageTransform
from consumer.domain.page import PageImage
from consumer.models.config import GPU_HINT, PipelineConfig

#: PaddleX keeps coordinates in 16 bits. A page that is no strip stays below it within any sensible limit of
#: pixels; strips are brought down to this, of which the detector sees 4000 pixels at most.
_STRIP_PX: Final = 8000

#: Parts of an image of a few pixels are none, on which PaddleX fails.
_SMALLEST_PX: Final = 32

#: Size of the pages that come most, in points.
_A4_PT: Final = (595, 842)

#: A GPU that has no memory left, and one whose context is lost: nothing that this process does will work.
_OUT_OF_MEMORY: Final = re.compile(
    r"out of memory|failed to allocate memory|ResourceExhausted", re.IGNORECASE
)
_LOST_DEVICE: Final = re.compile(r"\bcuda|\bcudnn|\bcublas", re.IGNORECASE)

_JPEG_QUALITY: Final = 85

_FONT, _BLACK = cv2.FONT_HERSHEY_SIMPLEX, (0, 0, 0)


class PpStructureEngine:
    """The `pp-structurev3` role. `device` names the GPU in results; the process sees no other."""

    def __init__(
        self,
        options: protocol.PpStructureOptions,
        pipeline: PipelineConfig,
        create: Callable[..., PPStructureV3] = PPStructureV3,
    ) -> None:
        for name in ("paddlex", "paddleocr"):
            # They tell of every model that they load.
            logging.getLogger(name).setLevel(logging.ERROR)
        cv2.setNumThreads(options.threads)
        self._options = options
        self._pipeline = pipeline
        self._dewarps = bool(pipeline.config["use_doc_unwarping"])
        try:
            engine_config = _engine_config(pipeline, options)
            self._structure = create(
                paddlex_config=pipeline.runnable(options.batch_pages, options.device, engine_config),
                device="gpu:0" if options.device != "cpu" else "cpu",
                engine="onnxruntime" if pipeline.runtime == "onnxruntime" else "paddle",
                engine_config=engine_config,
            )
        except Exception as error:  # each library has its own way to say that a file or value will not do
            raise _unfit(error, options) from error
        if options.device != "cpu" and any(model.is_onnx for model in pipeline.models):
            _require_gpu_sessions()

    def ready(self) -> protocol.Reply:
        """Read pages of the size, and as many at once, as will come; say what reads them."""
        page = _sample_page(self._options)
        # On a CPU a batch is only as many pages one after the other.
        copies = self._options.batch_pages if self._options.device != "cpu" else 1
        try:
            self._read([_model_input(page.copy()) for _ in range(copies)])
        except Exception as error:  # as above
            raise _unfit(error, self._options) from error
        if self._is_recycle_due():
            held, allowed = self._reserved_bytes() >> 20, (self._options.device_bytes or 0) >> 20
            raise SettingsError(
                f"{self._options.device}: an engine that has read nothing yet holds {held} MiB of it; "
                f"{allowed} MiB are there for each: lower BUCKET_OCR_ENGINE_WORKERS, or BATCH_PAGES"
            )
        # Paddle has put handlers of its own in the place of ours, when it was imported or first used.
        serve.ignore_stops()
        # What lives as long as the process need not be looked at after every batch.
        gc.collect()
        gc.freeze()
        return protocol.EngineReady(
            name="pp-structurev3",
            version=f"{version('paddleocr')}+paddlex.{version('paddlex')}",
            models={model.role: model.name for model in self._pipeline.models},
            device=self._options.device,
            configuration=self._pipeline.digest,
        )

    def handle(self, request: protocol.Request) -> protocol.Reply:
        """Read the pages of a `ReadPages`."""
        if not isinstance(request, protocol.ReadPages):
            raise TypeError(f"an engine cannot {request.kind}")
        try:
            # The network for formulas paints on what it is given, so every request has arrays of its own.
            texts = self._read([_model_input(_pixels(image)) for image in request.images])
        except Exception as error:
            _end_if_poisoned(error)
            raise
        # Results refer to themselves, and hold their page several times over.
        gc.collect()
        return protocol.PagesRead(pages=tuple(texts), recycle_due=self._is_recycle_due())

    def _read(self, pages: Sequence[tuple[Image, PageTransform]]) -> list[protocol.PageContent]:
        """Read pages in one go; each becomes plain values before the next is looked at."""
        results = self._structure.predict_iter(
            [page for page, _ in pages],
            # It would load a second pipeline for text at the first table.
            use_table_orientation_classify=False,
            # Its cutting of lines at cells needs that second pipeline, fails without it, and takes pixels of
            # the page for those of the table. So a line that reaches over cells stays out of the HTML.
            use_ocr_results_with_table_cells=False,
        )
        texts = []
        for (_, reading), result in zip(pages, results, strict=False):
            if "error" in result:
                raise RuntimeError(str(result["error"]))
            texts.append(self._page_text(result, reading))
        if len(texts) != len(pages):
            raise RuntimeError(f"PP-StructureV3 gave {len(texts)} results for {len(pages)} pages")
        return texts

    def _page_text(self, result: results.Result, reading: PageTransform) -> protocol.PageContent:
        if not self._dewarps:
            reading = replace(reading, angle=results.angle(result))
            return results.page_text(result, reading)
        # There is no way back from here: boxes are of the image that was read, and that goes with them.
        image = result["doc_preprocessor_res"]["output_img"]
        height, width = image.shape[:2]
        text = results.page_text(result, PageTransform(width, height, width, height))
        dewarped = protocol.DewarpedImage(image=_data_uri(image), width_px=width, height_px=height)
        return text.model_copy(update={"flattened": dewarped, "angle": results.angle(result)})

    def _is_recycle_due(self) -> bool:
        return self._options.device_bytes is not None and self._reserved_bytes() > self._options.device_bytes

    def _reserved_bytes(self) -> int:
        """Memory of its GPU that Paddle has taken; 0 where ONNX Runtime has, which does not tell."""
        paddle = sys.modules.get("paddle")
        return 0 if paddle is None else int(paddle.device.cuda.memory_reserved())


def _engine_config(
    pipeline: PipelineConfig, options: protocol.PpStructureOptions
) -> Mapping[str, Mapping[str, Any]]:
    """Settings of what runs the networks, by its name, so that a module may have another."""
    on_cpu = options.device == "cpu"
    # Of Paddle on a CPU, the plain kernels: oneDNN's crash in 3.3.0 and 3.3.1.
    static: dict[str, Any] = {"run_mode": pipeline.runtime if pipeline.runtime != "onnxruntime" else "paddle"}
    onnx: dict[str, Any] = {
        "providers": ["CPUExecutionProvider"],
        "intra_op_num_threads": options.threads,
        # It would keep what the largest page took (measured after one of 2 megapixels: 2.3 GB, not 0.5).
        "enable_cpu_mem_arena": False,
    }
    if on_cpu:
        static["cpu_threads"] = options.threads
    else:
        onnx = {
            "providers": ["CUDAExecutionProvider"],
            "provider_options": [
                # Without this, what it takes doubles with every step.
                {"device_id": 0, "arena_extend_strategy": "kSameAsRequested"}
            ],
        }
    # Errors are told by exceptions too.
    return {"paddle_static": static, "onnxruntime": onnx | {"log_severity_level": 3}}


def _require_gpu_sessions() -> None:
    """Raise SettingsError where ONNX Runtime has gone over to the CPU, as it does where CUDA fails."""
    # By their very type: to ask a weak reference that has died for its class is an error.
    runners = [each for each in gc.get_objects() if type(each) is ONNXRuntimeRunner]
    if not runners:
        raise SettingsError("it cannot be seen where ONNX Runtime runs: set BUCKET_OCR_ENGINE_RUNTIME=paddle")
    for runner in runners:
        providers = runner.session.get_providers()
        if "CUDAExecutionProvider" not in providers:
            raise SettingsError(f"ONNX Runtime cannot use the GPU, only {', '.join(providers)}: {GPU_HINT}")


def _unfit(error: Exception, options: protocol.PpStructureOptions) -> SettingsError:
    """Say why the pipeline cannot be built, or cannot read a page of its own, and what to do."""
    text = " ".join(f"{type(error).__name__}: {error}".split())[:300]
    if options.device != "cpu" and _OUT_OF_MEMORY.search(text):
        remedy = "lower BUCKET_OCR_ENGINE_WORKERS or BUCKET_OCR_BATCH_PAGES, or see who else uses the GPU"
    elif options.device != "cpu" and _LOST_DEVICE.search(text):
        remedy = f"look at nvidia-smi, and {GPU_HINT}"
    else:
        remedy = "check BUCKET_OCR_PIPELINE_CONFIG, and the models with `bucket-ocr models verify`"
    return SettingsError(f"PP-StructureV3 cannot be built on {options.device} ({text}): {remedy}")


def _end_if_poisoned(error: Exception) -> None:
    """End the process where the next page would suffer from what this one did to the GPU."""
    text = f"{type(error).__name__}: {error}"
    if _OUT_OF_MEMORY.search(text):
        raise MemoryError(text) from error
    if _LOST_DEVICE.search(text):
        # Not an Exception: it ends the process, and says why on the way.
        raise SystemExit(text) from error


def _pixels(image: PageImage) -> Image:
    return np.fromfile(image.path, np.uint8).reshape(image.height_px, image.width_px, 3)


def _model_input(page: Image) -> tuple[Image, PageTransform]:
    """A page as the engine shall see it, and how."""
    height, width = page.shape[:2]
    seen, downscale = padded(page, _STRIP_PX)
    seen_height, seen_width = seen.shape[:2]
    right, bottom = max(0, _SMALLEST_PX - seen_width), max(0, _SMALLEST_PX - seen_height)
    if right or bottom:
        seen = np.pad(seen, ((0, bottom), (0, right), (0, 0)), constant_values=255)
        seen_height, seen_width = seen.shape[:2]
    return seen, PageTransform(width, height, seen_width, seen_height, downscale)


def _sample_page(options: protocol.PpStructureOptions) -> Image:
    """A page of A4 with some text and a ruled table, black on white, as large as one will be rendered."""
    width_pt, height_pt = _A4_PT
    scale = min(options.scale, math.sqrt(options.max_page_pixels / (width_pt * height_pt)))
    width, height = (round(side * scale) for side in _A4_PT)
    page = np.full((height, width, 3), 255, np.uint8)
    for row in range(8):
        top = height // 20 * (row + 2)
        cv2.putText(page, f"A line of text, number {row}", (width // 10, top), _FONT, scale / 2, _BLACK, 2)
    left, right, upper, lower = width // 10, width * 9 // 10, height // 2, height * 3 // 4
    for x in np.linspace(left, right, 4).astype(int):
        cv2.line(page, (int(x), upper), (int(x), lower), _BLACK, 2)
    for y in np.linspace(upper, lower, 5).astype(int):
        cv2.line(page, (left, int(y)), (right, int(y)), _BLACK, 2)
    return page


def _data_uri(image: Image) -> str:
    ok, encoded = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
    if not ok:
        raise RuntimeError("the flattened page cannot be stored as JPEG")
    return "data:image/jpeg;base64," + base64.b64encode(encoded.tobytes()).decode()
