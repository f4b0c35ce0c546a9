"""Finds the regions of a page by pymupdf-layout, from the page's image and its lines.

It reads PDF pages, so it is given one: the image, and the lines as text that is not shown, as in a PDF of a
scan that was read before.
"""

import statistics
from collections.abc import Iterable, Sequence
from typing import Any, Final

import cv2
import onnxruntime
import pymupdf

from consumer.child.page_layout.detector import Region
from consumer.child.page_layout.paragraphs import BlockLine
from consumer.child.pixels import Image
from consumer.domain.geometry import Rect

#: Its classes, in the vocabulary of PP-StructureV3.
_LABELS: Final = {
    "title": "doc_title",
    "section-header": "paragraph_title",
    "picture": "image",
    "table": "table",
    "page-header": "header",
    "page-footer": "footer",
    "footnote": "footnote",
    "caption": "figure_title",
    "formula": "formula",
}

#: It compares each line with each, so that memory grows with the square of their number.
_MOST_LINES: Final = 2000

#: Lines are as high as those of most documents, in points, ...
_LINE_PT: Final = 12.0

#: ... unless the page would be larger or smaller than this. A PDF ends at 14,400 points.
_LEAST_PT: Final = 200.0
_MOST_PT: Final = 3000.0

#: The image of the page has so many pixels to a point.
_PIXELS_PER_PT: Final = 1.5
_JPEG_QUALITY: Final = 85

#: Of Helvetica: the mean width of a character, and how much of the height of a line is below the letters.
_WIDTH: Final = 0.5
_BELOW: Final = 0.2


class MupdfRegions:
    """The networks of pymupdf-layout, which run in so many threads."""

    def __init__(self, threads: int) -> None:
        self._model = _load(threads)

    def find(self, page: Image, lines: Sequence[BlockLine]) -> list[Region]:
        """Return the regions of an upright page; none of one with more than `_MOST_LINES`."""
        if not 0 < len(lines) <= _MOST_LINES:
            return []
        height, width = page.shape[:2]
        line_px = statistics.median(line.height for line in lines)
        scale = _LINE_PT / max(line_px, 1.0)
        scale = min(max(scale, _LEAST_PT / min(height, width)), _MOST_PT / max(height, width))
        with pymupdf.open() as document:
            pdf_page = document.new_page(width=width * scale, height=height * scale)
            _show_image(pdf_page, page, scale)
            _write(document, pdf_page, lines, scale)
            groups = self._model.predict(pdf_page, return_raw=True)
        return [_region(group["class_name"], group["group_bbox"], scale) for group in groups]


def _load(threads: int) -> Any:
    """Load the networks; the package itself gives no way to say how many threads they use."""
    options = onnxruntime.SessionOptions

    class Options(options):  # type: ignore[misc, valid-type]
        def __init__(self) -> None:
            super().__init__()
            self.intra_op_num_threads = threads
            self.inter_op_num_threads = 1

    onnxruntime.SessionOptions = Options
    try:
        from pymupdf.layout import DocumentLayoutAnalyzer

        return DocumentLayoutAnalyzer.get_model()
    finally:
        onnxruntime.SessionOptions = options


def _region(name: str, box: Sequence[float], scale: float) -> Region:
    x1, y1, x2, y2 = (float(value) / scale for value in box[:4])
    return Region(_LABELS.get(name, "text"), Rect(x1, y1, x2, y2), None)


def _show_image(pdf_page: Any, page: Image, scale: float) -> None:
    share = min(1.0, _PIXELS_PER_PT * scale)
    size = (max(1, round(page.shape[1] * share)), max(1, round(page.shape[0] * share)))
    small = cv2.resize(page, size, interpolation=cv2.INTER_AREA)
    _, encoded = cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
    pdf_page.insert_image(pdf_page.rect, stream=encoded.tobytes())


def _write(document: Any, pdf_page: Any, lines: Iterable[BlockLine], scale: float) -> None:
    """Write lines as text that is not shown, as wide as they are on the page."""
    pdf_page.insert_font("helv")
    bottom = pdf_page.rect.height
    operators = ["BT 3 Tr"]
    for line in lines:
        size = (1 - _BELOW) * line.height * scale
        text = line.text.encode("latin-1", "replace").hex()
        stretch = 100 * (line.box.x2 - line.box.x1) * scale / max(_WIDTH * size * len(line.text), 1e-3)
        x, y = line.box.x1 * scale, bottom - line.box.y2 * scale + _BELOW * line.height * scale
        operators.append(f"/helv {size:.3f} Tf {stretch:.1f} Tz 1 0 0 1 {x:.2f} {y:.2f} Tm <{text}> Tj")
    operators.append("ET")
    # Beside the content that shows the image.
    content = document.get_new_xref()
    document.update_object(content, "<<>>")
    document.update_stream(content, "\n".join(operators).encode())
    contents = [*pdf_page.get_contents(), content]
    document.xref_set_key(pdf_page.xref, "Contents", f"[{' '.join(f'{xref} 0 R' for xref in contents)}]")
