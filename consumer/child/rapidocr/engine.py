"""Reading with RapidOCR on OpenVINO: PP-OCRv6 small, weights from its wheel. The embedded CPU engine."""

import os
from importlib.metadata import version
from typing import Final

import cv2
import numpy as np
from rapidocr import EngineType, RapidOCR
from rapidocr.main import RapidOCRError
from rapidocr.utils.process_img import map_boxes_to_original

from consumer import protocol
from consumer.child.text_lines import Image, corners_from_text_start, is_vertical, load_pixels, padded
from consumer.domain.geometry import Quad, clip_quad
from consumer.domain.page import PageImage
from consumer.domain.reading_order import reading_order
from consumer.domain.result import PageResult

#: Lines of lower confidence are noise more often than text (RapidOCR's own default).
_MIN_CONFIDENCE: Final = 0.5

#: RapidOCR's names of its models, by their role in results.
_STAGES: Final = {"detection": "Det", "orientation": "Cls", "recognition": "Rec"}

#: Height of the classifier's input (its `cls_image_shape`).
_CLASSIFIED_HEIGHT_PX: Final = 48


def build(options: str) -> "RapidOcrEngine":
    """Build the handler of an engine process from the JSON of its `EngineOptions`."""
    return RapidOcrEngine(protocol.EngineOptions.model_validate_json(options))


class RapidOcrEngine:
    """Reads pages, one after the other."""

    def __init__(self, options: protocol.EngineOptions) -> None:
        if options.cpus:
            # OpenVINO pins its threads to the first processors it may use. Without an affinity of its
            # own, every engine process would sit on the same one.
            os.sched_setaffinity(0, options.cpus)
        cv2.setNumThreads(options.threads)
        params: dict[str, object] = {
            f"{stage}.engine_type": EngineType.OPENVINO for stage in _STAGES.values()
        }
        params["EngineConfig.openvino.inference_num_threads"] = options.threads
        params["Global.log_level"] = "error"
        self._ocr = RapidOCR(params=params)

    def ready(self) -> protocol.Reply:
        """Load and run the models once, on a page with a word on it."""
        page = np.full((736, 736, 3), 255, np.uint8)
        cv2.putText(page, "ready", (200, 400), cv2.FONT_HERSHEY_SIMPLEX, 4.0, (0, 0, 0), 8)
        self._read(page)
        return protocol.EngineReady(
            name="rapidocr",
            version=f"{version('rapidocr')}+openvino.{version('openvino')}",
            models={role: self._model(stage) for role, stage in _STAGES.items()},
            device="cpu",
        )

    def handle(self, request: protocol.Request) -> protocol.Reply:
        """Read the pages of a `ReadPages`."""
        if not isinstance(request, protocol.ReadPages):
            raise TypeError(f"an engine cannot {request.kind}")
        return protocol.PagesRead(pages=tuple(map(self._read_page, request.images)))

    def _model(self, stage: str) -> str:
        config = self._ocr.cfg[stage]
        return f"{config.ocr_version.value}_{config.model_type.value}"

    def _read_page(self, image: PageImage) -> PageResult:
        lines = [
            (clip_quad(quad, image.width_px, image.height_px), text, confidence)
            for quad, text, confidence in self._read(load_pixels(image))
        ]
        order = reading_order([quad for quad, _, _ in lines], [text for _, text, _ in lines])
        lines = [lines[n] for n in order]
        return image.result(lines, markdown="\n".join(text for _, text, _ in lines))

    def _read(self, page: Image) -> list[tuple[Quad, str, float]]:
        """Boxes in pixels of the page, texts and confidences, in no particular order."""
        model_input, downscale = padded(page, self._ocr.max_side_len)
        image, record = self._ocr.preprocess_img(model_input)
        try:
            crops, detected = self._ocr.detect_and_crop(image, record)
        except RapidOCRError:
            # The library raises this for a page without text.
            return []
        vertical = [is_vertical(box) for box in detected.boxes]
        upside_down = self._upside_down(crops, vertical)
        crops = [
            cv2.rotate(crop, cv2.ROTATE_180) if turned else crop
            for crop, turned in zip(crops, upside_down, strict=True)
        ]
        recognized = self._ocr.recognize_txt(crops)
        height, width = model_input.shape[:2]
        boxes = map_boxes_to_original(detected.boxes.astype(np.float64), record, height, width) / downscale
        return [
            (corners_from_text_start(box, is_vertical=side, turned=turned), text.strip(), float(score))
            for box, side, turned, text, score in zip(
                boxes, vertical, upside_down, recognized.txts, recognized.scores, strict=True
            )
            if text.strip() and score >= _MIN_CONFIDENCE
        ]

    def _upside_down(self, crops: list[Image], vertical: list[bool]) -> list[bool]:
        """Whether each line is upside down; lines of the same direction get the same value.

        The classifier is right about a page, but on single lines it is wrong with any certainty: it
        makes 886 of an upright 988. So the lines vote, each by its length.
        """
        _, oriented = self._ocr.cls_and_rotate([_at_classifier_height(crop) for crop in crops])
        votes = {True: 0.0, False: 0.0}
        for crop, side, (label, certainty) in zip(crops, vertical, oriented.cls_res, strict=True):
            votes[side] += crop.shape[1] * (certainty - 0.5) * (1 if label == "180" else -1)
        return [votes[side] > 0 for side in vertical]


def _at_classifier_height(crop: Image) -> Image:
    """The crop, averaged to the height of the classifier's input: the classifier itself drops strokes."""
    height, width = crop.shape[:2]
    if height <= _CLASSIFIED_HEIGHT_PX:
        return crop
    size = (max(1, round(width * _CLASSIFIED_HEIGHT_PX / height)), _CLASSIFIED_HEIGHT_PX)
    return np.asarray(cv2.resize(crop, size, interpolation=cv2.INTER_AREA), np.uint8)
