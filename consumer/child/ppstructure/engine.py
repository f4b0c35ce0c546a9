"""Reading with PP-StructureV3: lines, layout, tables, formulas, seals. One pipeline, used from one thread."""

import base64
import gc
import logging
import math
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from importlib.metadata import version
from typing import Any, Final, Literal, NamedTuple

import cv2
import numpy as np
from paddleocr import PPStructureV3
from paddlex.inference.models.predictors.runner_predictor import RunnerPredictor
from paddlex.inference.models.runners.onnxruntime_runner import ONNXRuntimeRunner
from paddlex.inference.pipelines.base import BasePipeline

from consumer import protocol
from consumer.child import cuda, serve
from consumer.child.device_errors import LOST_DEVICE, OUT_OF_MEMORY, end_if_poisoned
from consumer.child.directions import Turn
from consumer.child.pixels import Image, load_pixels
from consumer.child.ppstructure import results
from consumer.child.ppstructure.detection import at_least_half, model_input
from consumer.child.ppstructure.lines import LineReader, crop_lines, keeping_characters
from consumer.child.ppstructure.tables import or_no_tables
from consumer.domain.errors import SettingsError
from consumer.domain.geometry import PageTransform
from consumer.domain.page import PageImage
from consumer.domain.result import PageResult
from consumer.models.config import GPU_HINT, PipelineConfig

#: More than there are lines on any page: PaddleX drops what the detector finds over 1,000.
_MOST_LINES: Final = 100_000

#: Size of most pages, in points.
_A4_PT: Final = (595, 842)

_ANGLES: Final[tuple[Literal[0, 90, 180, 270], ...]] = (0, 90, 180, 270)

_JPEG_QUALITY: Final = 85

_FONT, _BLACK = cv2.FONT_HERSHEY_SIMPLEX, (0, 0, 0)


class _Reading(NamedTuple):
    """The result of a page; `turn`: quarters by which most of its text was turned when it was read."""

    page: PageResult
    turn: Turn

    @property
    def better_angle(self) -> Literal[0, 90, 180, 270] | None:
        """Degrees clockwise by which the page should have been turned, if its text says other than PaddleX.

        Text that runs down a page which PaddleX left as it came may be Chinese or Japanese, and stays.
        """
        if self.turn == 2 or (self.turn and self.page.page.angle in {90, 270}):
            return _ANGLES[(self.page.page.angle // 90 - self.turn) % 4]
        return None


class PpStructureEngine:
    """Reads batches of pages with one pipeline.

    `create` builds it. `options.device` is the name of the GPU in results; the process sees no other.
    """

    def __init__(
        self,
        options: protocol.PpStructureOptions,
        pipeline: PipelineConfig,
        create: Callable[..., PPStructureV3] = PPStructureV3,
    ) -> None:
        for name in ("paddlex", "paddleocr"):
            # They log every model that they load.
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
        except Exception as error:  # each library has its own errors for bad files and values
            raise _startup_error(error, options) from error
        self._progress: Callable[[], None] = lambda: None
        for part in _pipelines(self._structure):
            for each in vars(part).values():
                if isinstance(each, RunnerPredictor):
                    each.runner = self._telling(each.runner)
            # Only its own: pipelines lend each other their attributes.
            if vars(part).get("text_type") == "general":
                _adapt_text(part, has_words=options.words)
        if options.device != "cpu" and any(model.is_onnx for model in pipeline.models):
            _require_gpu_sessions()

    def ready(self) -> protocol.Reply:
        """Warm up with pages of the size and number of a real batch; return the engine's name and models."""
        page = _sample_page(self._options)
        # On a CPU the pages of a batch are read one after the other.
        copies = self._options.batch_pages if self._options.device != "cpu" else 1
        try:
            self._read_as([_image_of(page)] * copies, [page.copy() for _ in range(copies)])
        except Exception as error:  # as above
            raise _startup_error(error, self._options) from error
        if self._is_recycle_due():
            held_mib, share_mib = self._reserved_bytes() >> 20, (self._options.device_bytes or 0) >> 20
            raise SettingsError(
                f"{self._options.device}: an engine that has read nothing yet holds {held_mib} MiB of it; "
                f"the share of each is {share_mib} MiB: lower BUCKET_OCR_ENGINE_WORKERS, or BATCH_PAGES"
            )
        # From now on: networks for tables that fail on the sample page too would fail on every one.
        for part in _pipelines(self._structure):
            if "table_recognition_pipeline" in vars(part):
                part.table_recognition_pipeline = or_no_tables(part.table_recognition_pipeline)
        # Paddle has replaced our signal handlers by its own, when it was imported or first used.
        serve.ignore_stops()
        # Objects that live as long as the process need not be collected after every batch.
        gc.collect()
        gc.freeze()
        return protocol.EngineReady(
            name="pp-structurev3",
            version=f"{version('paddleocr')}+paddlex.{version('paddlex')}",
            models={model.role: model.name for model in self._pipeline.models},
            device=self._options.device,
            configuration=self._pipeline.digest,
        )

    def handle(self, request: protocol.Request, progress: Callable[[], None]) -> protocol.Reply:
        """Read the pages of a `ReadPages`."""
        if not isinstance(request, protocol.ReadPages):
            raise TypeError(f"an engine cannot {request.kind}")
        self._progress = progress
        try:
            pages = self._read(request.images)
        except Exception as error:
            end_if_poisoned(error)
            raise
        # Results refer to themselves, and hold several copies of their page.
        gc.collect()
        return protocol.PagesRead(pages=tuple(pages), recycle_due=self._is_recycle_due())

    def _read(self, images: Sequence[PageImage]) -> list[PageResult]:
        """Read a batch, and pages whose text says that they were turned wrongly once more."""
        # The network for formulas paints on its input, so every reading has arrays of its own.
        readings = self._read_as(images, [load_pixels(image) for image in images])
        for n, image in enumerate(images):
            first = readings[n]
            if (angle := first.better_angle) is not None:
                (second,) = self._read_as([image], [load_pixels(image)], angle)
                readings[n] = max(
                    first, second, key=lambda each: (not each.turn, each.page.page.confidence or 0.0)
                )
        return [reading.page for reading in readings]

    def _read_as(
        self,
        images: Sequence[PageImage],
        pixels: Sequence[Image],
        angle: Literal[0, 90, 180, 270] | None = None,
    ) -> list[_Reading]:
        """Read a batch; each page becomes plain values before the next is read.

        `angle`: degrees clockwise by which the pages are turned; None: PaddleX decides.
        """
        inputs = [model_input(page) for page in pixels]
        decided = (
            {}
            if angle is None
            else {"use_doc_orientation_classify": False, "use_doc_unwarping": self._dewarps}
        )
        predicted = self._structure.predict_iter(
            [np.ascontiguousarray(np.rot90(page, -(angle or 0) // 90)) for page, _ in inputs],
            # It would load a second pipeline for text at the first table.
            use_table_orientation_classify=False,
            # Cutting lines at cells needs that second pipeline, fails without it, and confuses pixels of the
            # page with those of the table. So a line that spans cells stays out of the HTML.
            use_ocr_results_with_table_cells=False,
            **decided,
        )
        readings = []
        for image, (_, transform), result in zip(images, inputs, predicted, strict=False):
            if "error" in result:
                raise RuntimeError(str(result["error"]))
            turned = replace(transform, angle=results.angle(result) if angle is None else angle)
            readings.append(self._reading(image, turned, result))
            self._progress()
        if len(readings) != len(images):
            raise RuntimeError(f"PP-StructureV3 gave {len(readings)} results for {len(images)} pages")
        return readings

    def _telling(self, run: Callable[..., Any]) -> Callable[..., Any]:
        """Run a network, and tell of it: the pages of a batch are all but read before the first is there."""

        def run_and_tell(*inputs: Any, **named: Any) -> Any:
            outputs = run(*inputs, **named)
            self._progress()
            return outputs

        return run_and_tell

    def _reading(self, image: PageImage, transform: PageTransform, result: results.Result) -> _Reading:
        text = results.page_text(result)
        content: dict[str, Any] = {"angle": transform.angle}
        if self._dewarps:
            # Dewarping has no inverse: boxes are of the dewarped image, so the result has that image too.
            dewarped = result["doc_preprocessor_res"]["output_img"]
            height, width = dewarped.shape[:2]
            transform = PageTransform(width, height, width, height)
            content |= {"flattened_image": _data_uri(dewarped), "width_px": width, "height_px": height}
        return _Reading(results.page_result(image, result, text, transform, **content), text.turn)

    def _is_recycle_due(self) -> bool:
        return self._options.device_bytes is not None and self._reserved_bytes() > self._options.device_bytes

    def _reserved_bytes(self) -> int:
        """GPU memory that Paddle has reserved; 0 for ONNX Runtime, which does not say."""
        paddle = sys.modules.get("paddle")
        return 0 if paddle is None else int(paddle.device.cuda.memory_reserved())


def _pipelines(part: object) -> Iterator[BasePipeline]:
    """The pipelines in an object, at any depth."""
    for each in vars(part).values():
        if isinstance(each, BasePipeline):
            yield each
            yield from _pipelines(each)


def _adapt_text(pipeline: Any, *, has_words: bool) -> None:
    """Have PaddleX's pipeline for lines look at pages of any size, and read in any direction."""
    pipeline._crop_by_polys = crop_lines  # noqa: SLF001 - there is no other way to leave crops unturned
    if has_words:
        decoder = pipeline.text_rec_model.post_op
        decoder.decode = keeping_characters(decoder.decode)
    pipeline.text_rec_model = LineReader(pipeline.text_rec_model)
    detector = pipeline.text_det_model
    detector.pre_tfs["Resize"] = at_least_half(detector.pre_tfs["Resize"])
    detector.post_op.max_candidates = _MOST_LINES


def _engine_config(
    pipeline: PipelineConfig, options: protocol.PpStructureOptions
) -> Mapping[str, Mapping[str, Any]]:
    """Settings of each runtime, by its name: a module of the pipeline may have another than the rest."""
    # Of Paddle on a CPU, the plain kernels: oneDNN's crash in 3.3.0 and 3.3.1.
    static: dict[str, Any] = {"run_mode": pipeline.runtime if pipeline.runtime != "onnxruntime" else "paddle"}
    # Errors are raised as exceptions too.
    onnx: dict[str, Any] = {"log_severity_level": 3}
    if options.device == "cpu":
        static["cpu_threads"] = options.threads
        onnx |= {"providers": ["CPUExecutionProvider"], "intra_op_num_threads": options.threads}
        # It would keep the memory of the largest page (measured after one of 2 megapixels: 2.3 GB, not 0.5).
        onnx["enable_cpu_mem_arena"] = False
    else:
        onnx |= {"providers": [cuda.PROVIDER], "provider_options": [dict(cuda.OPTIONS)]}
    return {"paddle_static": static, "onnxruntime": onnx}


def _require_gpu_sessions() -> None:
    """Raise SettingsError if ONNX Runtime has fallen back to the CPU, as it does when CUDA fails."""
    # By `type`: `isinstance` fails on weak references that have died.
    runners = [each for each in gc.get_objects() if type(each) is ONNXRuntimeRunner]
    if not runners:
        raise SettingsError("ONNX Runtime's device cannot be checked: set BUCKET_OCR_ENGINE_RUNTIME=paddle")
    for runner in runners:
        providers = runner.session.get_providers()
        if cuda.PROVIDER not in providers:
            raise SettingsError(f"ONNX Runtime cannot use the GPU, only {', '.join(providers)}: {GPU_HINT}")


def _startup_error(error: Exception, options: protocol.PpStructureOptions) -> SettingsError:
    """The error of a pipeline that cannot be built or cannot read the sample page, with its remedy."""
    text = " ".join(f"{type(error).__name__}: {error}".split())[:300]
    if options.device != "cpu" and OUT_OF_MEMORY.search(text):
        remedy = "lower BUCKET_OCR_ENGINE_WORKERS or BATCH_PAGES, or check for other users of the GPU"
    elif options.device != "cpu" and LOST_DEVICE.search(text):
        remedy = f"check nvidia-smi, and {GPU_HINT}"
    else:
        remedy = "check BUCKET_OCR_PIPELINE_CONFIG, and the models with `bucket-ocr models verify`"
    return SettingsError(f"PP-StructureV3 cannot be built on {options.device} ({text}): {remedy}")


def _image_of(page: Image) -> PageImage:
    """Describe a page that is in memory only."""
    height, width = page.shape[:2]
    frame = {"width_px": width, "height_px": height, "scale": 1.0, "dpi": None, "downscaled": False}
    return PageImage.model_validate(frame | {"page_number": 1, "path": "", "render_s": 0.0})


def _sample_page(options: protocol.PpStructureOptions) -> Image:
    """A page of A4 with some text and a ruled table, black on white, at the size of a rendered page."""
    scale = min(options.scale, math.sqrt(options.max_page_pixels / math.prod(_A4_PT)))
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
        raise RuntimeError("the dewarped page cannot be encoded as JPEG")
    return "data:image/jpeg;base64," + base64.b64encode(encoded.tobytes()).decode()
