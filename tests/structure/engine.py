"""The engine's request handler, called as the loop of its process calls it, with pages as arrays."""

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pymupdf
import pytest

from consumer import protocol
from consumer.child.ppstructure import environment
from consumer.domain.result import PageResult
from tests.page_images import stored

Page = npt.NDArray[np.uint8]


def options(
    pipeline: Path, runtime: str = "onnxruntime", batch_pages: int = 1, **more: Any
) -> protocol.PpStructureOptions:
    """Options for an engine on the CPU."""
    fixed = {
        "threads": 1,
        "device": "cpu",
        "scale": 1.0,
        "scratch": tempfile.gettempdir(),
        "max_page_pixels": 40_000_000,
    }
    return protocol.PpStructureOptions.model_validate(
        fixed | {"pipeline": str(pipeline), "runtime": runtime, "batch_pages": batch_pages} | more
    )


class Engine:
    """An engine that is ready."""

    def __init__(self, pipeline: Path, runtime: str, batch_pages: int, folder: Path, **more: Any) -> None:
        settings = options(pipeline, runtime, batch_pages, **more)
        with pytest.MonkeyPatch.context() as patch:
            # A process builds one engine; here, the next one has to find the models too.
            patch.setenv("PADDLE_PDX_CACHE_HOME", os.environ["PADDLE_PDX_CACHE_HOME"])
            self._handler = environment.build(settings.model_dump_json())
        self._folder = folder
        ready = self._handler.ready()
        assert isinstance(ready, protocol.EngineReady)
        self.is_ready = ready

    def read(self, *pages: Page, progress: Callable[[], None] = lambda: None) -> tuple[PageResult, ...]:
        """Read pages in one request."""
        images = tuple(stored(page, self._folder / f"{n}.bgr", n) for n, page in enumerate(pages, 1))
        reply = self._handler.handle(protocol.ReadPages(images=images), progress)
        assert isinstance(reply, protocol.PagesRead)
        return reply.pages

    def read_one(self, page: Page) -> PageResult:
        """Read one page."""
        (result,) = self.read(page)
        return result


def written(*lines: str, width: int = 640, height: int = 480) -> Page:
    """Draw lines of text one below the other, black on white."""
    page = np.full((height, width, 3), 255, np.uint8)
    for n, line in enumerate(lines):
        cv2.putText(page, line, (40, 80 + 80 * n), cv2.FONT_HERSHEY_SIMPLEX, 1.4, (0, 0, 0), 3)
    return page


def typeset(*lines: tuple[float, str, str], scale: float = 2.0) -> Page:
    """Set lines of an A4 page, one below the other: size in points, font of PyMuPDF, text."""
    with pymupdf.open() as document:
        sheet = document.new_page(width=595, height=842)
        bottom = 40.0
        for size, font, text in lines:
            bottom += 2 * size
            sheet.insert_text((60, bottom), text, fontsize=size, fontname=font)
        return drawn(sheet, scale)


def drawn(sheet: pymupdf.Page, scale: float = 2.0) -> Page:
    """Draw a page of a PDF."""
    pixels = sheet.get_pixmap(matrix=pymupdf.Matrix(scale, scale), alpha=False)
    rows = np.frombuffer(pixels.samples, np.uint8).reshape(pixels.height, pixels.width, 3)
    return np.ascontiguousarray(rows[:, :, ::-1])


def texts(page: PageResult) -> list[str]:
    """Lines of a page without spaces and in lower case: gaps between words are the engine's guess."""
    return [line.text.replace(" ", "").lower() for line in page.detections]
