"""Reading whole documents with RapidOCR, or with rapidocrlite, which has the same import name."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pymupdf
from rapidocr import RapidOCR

#: As the consumer renders pages.
_DPI = 144


class Reader:
    """The engine as its README shows it, but for `params`."""

    def __init__(self, params: Mapping[str, object] | None = None) -> None:
        self._engine = RapidOCR(params=params)

    def text(self, source: bytes) -> str:
        """Read a PDF or an image; returns a line of text for each line found."""
        return "\n".join(line for image in _images(source) for line in self._engine(image).txts or ())


def _images(source: bytes) -> Iterator[Any]:
    """Give each page as the engine takes it: an encoded image as it is, a page of a PDF as BGR pixels."""
    if not source.startswith(b"%PDF"):
        yield source
        return
    with pymupdf.open(stream=source) as document:
        for page in document:
            pixmap = page.get_pixmap(dpi=_DPI, alpha=False)
            rgb = np.frombuffer(pixmap.samples, np.uint8).reshape(pixmap.height, pixmap.width, 3)
            yield np.ascontiguousarray(rgb[..., ::-1])
