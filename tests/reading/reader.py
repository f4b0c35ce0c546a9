"""The embedded engine in the process of the tests."""

from pathlib import Path
from typing import Any

from consumer import protocol
from consumer.child.pixels import Image
from consumer.child.rapidocr.engine import RapidOcrEngine
from consumer.domain.result import PageResult
from tests.page_images import stored


class Reader:
    """Reads images with the engine in this process; `options`: of `RapidOcrOptions`."""

    def __init__(self, folder: Path, **options: Any) -> None:
        # The network that ships stands in for those of other languages.
        self.engine = RapidOcrEngine(protocol.RapidOcrOptions(threads=1, **options))
        self._path = folder / "page.bgr"
        self.steps = 0

    def read(self, pixels: Image, *, lines_only: bool = False) -> PageResult:
        images = (stored(pixels, self._path),)
        reply = self.engine.handle(protocol.ReadPages(images=images, lines_only=lines_only), self._count_step)
        assert isinstance(reply, protocol.PagesRead)
        return reply.pages[0]

    def _count_step(self) -> None:
        self.steps += 1
