"""Reading with RapidOCR on OpenVINO: PP-OCRv6 small, weights from its wheel. The embedded CPU engine."""

import os
from importlib.metadata import version
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt
from rapidocr import EngineType, RapidOCR
from rapidocr.main import RapidOCRError
from rapidocr.utils.process_img import map_boxes_to_original

from consumer import wire
from consumer.domain.geometry import Point, Quad, clip_quad, reading_order
from consumer.domain.page import PageImage

#: Lines the recogniser is less sure of are noise more often than text (RapidOCR's own default).
_MIN_CONFIDENCE: Final = 0.5

#: Strips narrower than this are padded: the detector scales the short side up to 736 pixels, which makes
#: gigabytes of a long thin one.
_MAX_ASPECT: Final = 8

#: A crop this many times as high as wide is turned by RapidOCR before it is read (get_rotate_crop_image).
_UPRIGHT_ASPECT: Final = 1.5

#: Height of the classifier's input (its `cls_image_shape`).
_CLASSIFIED_HEIGHT_PX: Final = 48

_Image = npt.NDArray[np.uint8]


class RapidChild:
    """The `rapidocr` role: reads pages, one after the other."""

    def __init__(self, options: wire.EngineOptions) -> None:
        if options.cpus:
            # OpenVINO pins its threads to the first processors it may use. Without an affinity of its
            # own, every engine process would sit on the same one.
            os.sched_setaffinity(0, options.cpus)
        cv2.setNumThreads(options.threads)
        params: dict[str, object] = {
            f"{stage}.engine_type": EngineType.OPENVINO for stage in ("Det", "Cls", "Rec")
        }
        params["EngineConfig.openvino.inference_num_threads"] = options.threads
        params["Global.log_level"] = "error"
        self._ocr = RapidOCR(params=params)

    def ready(self) -> wire.Reply:
        """Load and run the models once, on a page with a word on it."""
        page = np.full((736, 736, 3), 255, np.uint8)
        cv2.putText(page, "ready", (200, 400), cv2.FONT_HERSHEY_SIMPLEX, 4.0, (0, 0, 0), 8)
        self._read(page)
        models = {stage: self._model(stage) for stage in ("Det", "Cls", "Rec")}
        return wire.EngineReady(
            name="rapidocr",
            version=f"{version('rapidocr')}+openvino.{version('openvino')}",
            models={"detection": models["Det"], "orientation": models["Cls"], "recognition": models["Rec"]},
            device="cpu",
        )

    def handle(self, request: wire.Request) -> wire.Reply:
        """Read the pages of a `ReadPages`."""
        if not isinstance(request, wire.ReadPages):
            raise TypeError(f"an engine cannot {request.kind}")
        return wire.PagesRead(pages=tuple(self._page_text(image) for image in request.images))

    def _model(self, stage: str) -> str:
        config = self._ocr.cfg[stage]
        return f"{config.ocr_version.value}_{config.model_type.value}"

    def _page_text(self, image: PageImage) -> wire.PageText:
        pixels = np.fromfile(image.path, np.uint8).reshape(image.height_px, image.width_px, 3)
        found = self._read(pixels)
        quads = [clip_quad(quad, image.width_px, image.height_px) for quad, _, _ in found]
        lines = tuple(
            wire.Line(
                text=found[i][1],
                box=tuple((int(x), int(y)) for x, y in quads[i]),
                confidence=found[i][2],
            )
            for i in reading_order(quads)
        )
        return wire.PageText(lines=lines, markdown="\n".join(line.text for line in lines))

    def _read(self, page: _Image) -> list[tuple[Quad, str, float]]:
        """Boxes in pixels of the page, texts and confidences, in no particular order."""
        padded, shrunk = self._prepared(page)
        image, record = self._ocr.preprocess_img(padded)
        try:
            crops, detected = self._ocr.detect_and_crop(image, record)
        except RapidOCRError:
            # The library's way to say that there is no text on the page.
            return []
        sideways = [_is_sideways(box) for box in detected.boxes]
        upside_down = self._upside_down(crops, sideways)
        crops = [
            cv2.rotate(crop, cv2.ROTATE_180) if turned else crop
            for crop, turned in zip(crops, upside_down, strict=True)
        ]
        recognized = self._ocr.recognize_txt(crops)
        height, width = padded.shape[:2]
        boxes = map_boxes_to_original(detected.boxes.astype(np.float64), record, height, width) / shrunk
        return [
            (_from_start(box, 2 * turned + side), text.strip(), float(score))
            for box, side, turned, text, score in zip(
                boxes, sideways, upside_down, recognized.txts, recognized.scores, strict=True
            )
            if text.strip() and score >= _MIN_CONFIDENCE
        ]

    def _prepared(self, page: _Image) -> tuple[_Image, float]:
        """The page as RapidOCR gets it, and by how much it was made smaller; its origin stays.

        A long thin strip gets white at its right or bottom, after it was shrunk to the size at which
        RapidOCR reads at most: white round a strip at full size would be gigabytes.
        """
        height, width = page.shape[:2]
        if max(height, width) <= _MAX_ASPECT * min(height, width):
            return page, 1.0
        shrunk = min(1.0, self._ocr.max_side_len / max(height, width))
        if shrunk < 1.0:
            size = (max(1, round(width * shrunk)), max(1, round(height * shrunk)))
            page = np.asarray(cv2.resize(page, size, interpolation=cv2.INTER_AREA), np.uint8)
            height, width = page.shape[:2]
        right, bottom = max(0, height // _MAX_ASPECT - width), max(0, width // _MAX_ASPECT - height)
        white = (255, 255, 255)
        padded = cv2.copyMakeBorder(page, 0, bottom, 0, right, cv2.BORDER_CONSTANT, value=white)
        return np.asarray(padded, np.uint8), shrunk

    def _upside_down(self, crops: list[_Image], sideways: list[bool]) -> list[bool]:
        """Which lines must be turned half round before they are read: all that run along, or none.

        The classifier is right about a page, but on single lines it is wrong with any certainty: it
        makes 886 of an upright 988. So the lines vote, each by its length.
        """
        _, oriented = self._ocr.cls_and_rotate([_line_high(crop) for crop in crops])
        votes = {True: 0.0, False: 0.0}
        for crop, side, (label, certainty) in zip(crops, sideways, oriented.cls_res, strict=True):
            votes[side] += crop.shape[1] * (certainty - 0.5) * (1 if label == "180" else -1)
        return [votes[side] > 0 for side in sideways]


def _line_high(crop: _Image) -> _Image:
    """The crop no higher than the classifier sees it, averaged: it drops strokes when it shrinks itself."""
    height, width = crop.shape[:2]
    if height <= _CLASSIFIED_HEIGHT_PX:
        return crop
    size = (max(1, round(width * _CLASSIFIED_HEIGHT_PX / height)), _CLASSIFIED_HEIGHT_PX)
    return np.asarray(cv2.resize(crop, size, interpolation=cv2.INTER_AREA), np.uint8)


def _is_sideways(box: npt.NDArray[np.float32]) -> bool:
    """Whether RapidOCR turns the crop of this box a quarter counter-clockwise before reading it."""
    a, b, c, d = box
    width = int(max(np.linalg.norm(a - b), np.linalg.norm(c - d)))
    height = int(max(np.linalg.norm(a - d), np.linalg.norm(b - c)))
    return height >= _UPRIGHT_ASPECT * width


def _from_start(box: npt.NDArray[np.float64], first: int) -> Quad:
    """The corners, clockwise, beginning with the one at index `first`, where the text starts.

    RapidOCR's boxes begin nearest the page's top left. Text of a sideways box starts one corner
    further, upside-down text two.
    """
    corners = [Point(float(x), float(y)) for x, y in box]
    a, b, c, d = corners[first:] + corners[:first]
    return a, b, c, d
