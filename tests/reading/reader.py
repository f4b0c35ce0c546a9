"""The embedded engine in the process of the tests."""

from pathlib import Path
from typing import Any

import numpy as np

from consumer import protocol
from consumer.child.pixels import Image
from consumer.child.rapidocr.engine import RapidOcrEngine
from consumer.domain.page import PageImage
from consumer.domain.result import PageResult


class Reader:
    """Reads images with the engine in this process; `options`: of `RapidOcrOptions`."""

    def __init__(self, folder: Path, **options: Any) -> None:
        # The network that ships stands in for those of other languages.
        self.engine = RapidOcrEngine(protocol.RapidOcrOptions(threads=1, **options))
        self._path = folder / "page.bgr"
        self.steps = 0

    def read(self, pixels: Image, *, lines_only: bool = False) -> PageResult:
        np.ascontiguousarray(pixels).tofile(self._path)
        frame = {"width_px": pixels.shape[1], "height_px": pixels.shape[0], "scale": 1.0, "dpi": None}
        rest = {"page_number": 1, "path": str(self._path), "downscaled": False, "render_s": 0.0}
        image = PageImage.model_validate(frame | rest)
        reply = self.engine.handle(
            protocol.ReadPages(images=(image,), lines_only=lines_only), self._count_step
        )
        assert isinstance(reply, protocol.PagesRead)
        return reply.pages[0]

    def _count_step(self) -> None:
        self.steps += 1
