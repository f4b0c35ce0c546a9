"""Reading with the networks of PP-OCR: the embedded engine, for processors and GPUs.

They are PP-OCRv6 small from rapidocr's wheel, a network for the direction of pages (`weights`), and for
other languages one that was fetched.
"""

import os
import threading
from collections.abc import Callable, Sequence
from dataclasses import fields
from functools import partial
from importlib.metadata import version
from typing import Any, Final

import cv2
import numpy as np
from bidi.algorithm import get_display

from consumer import protocol
from consumer.child.cuda import DRIVER_REMEDY
from consumer.child.device_errors import LOST_DEVICE, OUT_OF_MEMORY, end_if_poisoned
from consumer.child.page_layout.layout import Layout, PageLayout
from consumer.child.page_layout.markdown import as_line
from consumer.child.pixels import Image, load_pixels
from consumer.child.rapidocr.networks import DETECTION, DIRECTION, RECOGNITION
from consumer.child.rapidocr.page import Line, read_page
from consumer.child.rapidocr.recognition import READ_HEIGHT, cut
from consumer.child.rapidocr.runtimes import runtime_of
from consumer.child.words import find_words
from consumer.domain.errors import Code, SettingsError
from consumer.domain.geometry import PageTransform, Point, Quad, part_of
from consumer.domain.legibility import TextLine, TextWord
from consumer.domain.page import PageImage
from consumer.domain.reading_order import reading_order
from consumer.domain.result import PageResult, Warning  # noqa: A004 - its name in the schema
from consumer.models import manifest
from consumer.models import rapidocr as published
from consumer.models.model import Model

#: Most characters of a warning.
_LONGEST_MESSAGE: Final = 500

#: The group of languages that are written from right to left.
_RIGHT_TO_LEFT: Final = "arabic"


def build(options: str) -> "RapidOcrEngine":
    """Build the handler of an engine process from the JSON of its `RapidOcrOptions`.

    Raises SettingsError, with a remedy, if a model is missing.
    """
    parsed = protocol.RapidOcrOptions.model_validate_json(options)
    fetched = published.recognition(parsed.languages)
    manifest.require(fetched)
    return RapidOcrEngine(parsed, fetched)


class RapidOcrEngine:
    """Reads pages: on a processor one after the other, on a GPU all of a request at once.

    `fetched`: models that replace those of the wheel.
    """

    def __init__(self, options: protocol.RapidOcrOptions, fetched: Sequence[Model] = ()) -> None:
        if options.cpus:
            # OpenVINO pins its threads to the first processors it may use. Without an affinity of its
            # own, every engine process would sit on the same one.
            os.sched_setaffinity(0, options.cpus)
        cv2.setNumThreads(options.threads)
        recognition = {model.name: model.folder / published.FILE for model in fetched}
        self._recognition, file = next(iter(recognition.items()), (RECOGNITION.stem, RECOGNITION))
        self._options = options
        try:
            self._runtime = runtime_of(options, file)
        except SettingsError:
            raise
        except Exception as error:
            if self._is_on_gpu:
                raise _startup_error(error, options.device) from error
            raise
        self._is_right_to_left = options.languages == _RIGHT_TO_LEFT
        # Blocks and tables are found on the processor, whatever reads the lines, by networks for one thread.
        self._layout_turn = threading.Lock()
        self._layout = None if options.layout == "none" else PageLayout(options.threads, options.layout)
        self._has_words = options.words

    def ready(self) -> protocol.Reply:
        """Run the networks once, on as many pages as come at once, with a word on each."""
        page = np.full((736, 736, 3), 255, np.uint8)
        cv2.putText(page, "ready", (200, 400), cv2.FONT_HERSHEY_SIMPLEX, 4.0, (0, 0, 0), 8)
        try:
            work = [partial(read_page, page, self._runtime.networks)] * self._options.batch_pages
            self._runtime.each(work, lambda: None)
        except Exception as error:
            if self._is_on_gpu:
                raise _startup_error(error, self._options.device) from error
            raise
        layout = {}
        if self._layout:
            self._layout.find(page, (), PageTransform(736, 736, 736, 736), lambda: None)
            layout = self._layout.models
        return protocol.EngineReady(
            name="rapidocr",
            version=f"{version('rapidocr')}+openvino.{version('openvino')}",
            models={
                "detection": DETECTION.stem,
                "orientation": DIRECTION.stem,
                "recognition": self._recognition,
                **layout,
            },
            device=self._options.device,
            can_read_lines_only=self._layout is not None,
        )

    def handle(self, request: protocol.Request, progress: Callable[[], None]) -> protocol.Reply:
        """Read the pages of a `ReadPages`."""
        if not isinstance(request, protocol.ReadPages):
            raise TypeError(f"an engine cannot {request.kind}")
        work = [partial(self._read_page, image, request.lines_only) for image in request.images]
        try:
            return protocol.PagesRead(pages=tuple(self._runtime.each(work, progress)))
        except Exception as error:
            if self._is_on_gpu:
                end_if_poisoned(error)
            raise

    @property
    def _is_on_gpu(self) -> bool:
        return self._options.device != "cpu"

    def _read_page(self, image: PageImage, lines_only: bool, progress: Callable[[], None]) -> PageResult:
        page = load_pixels(image)
        reading = read_page(page, self._runtime.networks, progress)
        turned = np.rot90(page, -reading.angle // 90)
        size = (image.width_px, image.height_px)
        transform = PageTransform(*size, *size, angle=reading.angle)
        lines = [
            TextLine(_quad(line), self._text(line), line.reading.confidence, self._words(turned, line))
            for line in reading.lines
            if line.is_read
        ]
        order = reading_order([line.quad for line in lines], [line.text for line in lines])
        ordered = [lines[n] for n in order]
        layout, problem = (
            _without_layout(ordered, "ended the engine's process, or hung")
            if lines_only
            else self._layout_of(turned, ordered, transform, progress)
        )
        result = image.result(
            [line.mapped(transform.quad) for line in ordered],
            unread=[transform.quad(_quad(line)) for line in reading.lines if line.is_unread],
            angle=reading.angle,
            **layout,
        )
        if problem is None:
            return result
        lost = Warning(code=Code.ENGINE_ERROR, message=problem, page_number=image.page_number)
        return result.model_copy(update={"warnings": (*result.warnings, lost)})

    def _layout_of(
        self,
        page: Image,
        lines: Sequence[TextLine],
        transform: PageTransform,
        progress: Callable[[], None],
    ) -> tuple[dict[str, Any], str | None]:
        """Fields of the page's result that hold its layout, and what went wrong; its lines are never lost.

        `page`: as it was read.
        """
        if self._layout is None:
            return {"markdown": _lines_as_markdown(lines)}, None
        upright = np.ascontiguousarray(page)
        try:
            with self._layout_turn:
                return _fields(self._layout.find(upright, lines, transform, progress)), None
        except Exception as error:  # noqa: BLE001 - whatever it is, the lines were read
            reason = " ".join(f"{type(error).__name__}: {error}".split())
            return _without_layout(lines, f"failed with {reason}")

    def _words(self, page: Image, line: Line) -> tuple[TextWord, ...] | None:
        """Return the words of a line, if they are asked for; `page`: as it was read."""
        if not self._has_words:
            return None
        quad, found = _read_part(line), find_words(cut(page, line.box), line.reading.characters)
        words = [TextWord(part_of(quad, *word[2:]), word.text, word.confidence) for word in found]
        return tuple(from_right_to_left(words, self._text(line)) if self._is_right_to_left else words)

    def _text(self, line: Line) -> str:
        return in_logical_order(line.reading.text) if self._is_right_to_left else line.reading.text


def _startup_error(error: Exception, device: str) -> SettingsError:
    """The error of a GPU that cannot read the first page, with its remedy."""
    text = " ".join(f"{type(error).__name__}: {error}".split())[:_LONGEST_MESSAGE]
    remedy = "see what came before it"
    if OUT_OF_MEMORY.search(text):
        remedy = "lower BUCKET_OCR_ENGINE_WORKERS or BATCH_PAGES, or check for other users of the GPU"
    elif LOST_DEVICE.search(text):
        remedy = DRIVER_REMEDY
    return SettingsError(f"rapidocr cannot read on {device} ({text}): {remedy}")


def in_logical_order(text: str) -> str:
    """Return a line that was read from left to right as it is written: words of Arabic letters reversed."""
    return str(get_display(text))


def _without_layout(lines: Sequence[TextLine], how: str) -> tuple[dict[str, Any], str]:
    """Fields of a page that lost its layout, and the text of its warning."""
    problem = f"the page has its lines, but no blocks and tables: finding them {how}"
    return {"markdown": _lines_as_markdown(lines)}, problem[:_LONGEST_MESSAGE]


def _lines_as_markdown(lines: Sequence[TextLine]) -> str:
    return "\n".join(as_line(line.text) for line in lines)


def _fields(layout: Layout) -> dict[str, Any]:
    return {field.name: getattr(layout, field.name) for field in fields(layout)}


def from_right_to_left(words: Sequence[TextWord], text: str) -> list[TextWord]:
    """Return words, which were read from left to right, in the order of a text that runs the other way."""
    waiting = [word._replace(text=in_logical_order(word.text)) for word in words]
    ordered = []
    for token in text.split():
        # Of two that say the same, the one at the right comes first.
        match = next((word for word in reversed(waiting) if word.text == token), None)
        if match is not None:
            waiting.remove(match)
            ordered.append(match)
    return [*ordered, *reversed(waiting)]


def _read_part(line: Line) -> Quad:
    """Return the part of a line's box that is read."""
    margin = (1 - READ_HEIGHT) / 2
    return part_of(_quad(line), 0.0, margin, 1.0, 1 - margin)


def _quad(line: Line) -> Quad:
    a, b, c, d = (Point(float(x), float(y)) for x, y in line.box)
    return a, b, c, d
