"""hOCR 1.2: pages, areas, lines and words as XHTML (http://kba.github.io/hocr-spec/1.2/).

Boxes are in pixels of the page image, as everywhere. Lines that run from left to right have a `baseline`, and
others a `textangle`.
"""

import math
from typing import Final

from consumer.domain import geometry
from consumer.domain.geometry import Point, Rect, bounds
from consumer.domain.result import Detection, PageResult, ResultDocument
from consumer.outputs import xml
from consumer.outputs.regions import Region, regions
from consumer.outputs.single import single
from consumer.outputs.words import LineWord, words

#: Lines that are steeper than this, in degrees, have no baseline in hOCR's sense.
_LEVEL: Final = 45.0

_DOCTYPE: Final = (
    '<!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.0 Transitional//EN" '
    '"http://www.w3.org/TR/xhtml1/DTD/xhtml1-transitional.dtd">\n'
)


def _frame(head: ResultDocument) -> tuple[str, str]:
    system = f"bucket-ocr {head.engine.name} {head.engine.version}"
    metas = {
        "ocr-system": system,
        "ocr-capabilities": "ocr_page ocr_carea ocr_par ocr_line ocrx_word",
        "ocr-number-of-pages": head.page_count,
    }
    lines = "".join(f"<meta{xml.attributes(name=name, content=value)}/>\n" for name, value in metas.items())
    before = (
        f"{xml.DECLARATION}{_DOCTYPE}"
        '<html xmlns="http://www.w3.org/1999/xhtml" xml:lang="en" lang="en">\n<head>\n'
        f"<title>{xml.text(head.source.key)}</title>\n"
        '<meta http-equiv="Content-Type" content="text/html; charset=utf-8"/>\n'
        f"{lines}</head>\n<body>\n"
    )
    return before, "</body>\n</html>\n"


def _page(result: PageResult) -> str:
    page, number = result.page, result.page.page_number
    title = f"bbox 0 0 {page.width_px or 0} {page.height_px or 0}; ppageno {number - 1}"
    if page.dpi is not None:
        title += f"; scan_res {round(page.dpi)} {round(page.dpi)}"
    areas = "".join(
        _area(region, f"{number}_{n}", number)
        for n, region in enumerate(regions(result), start=1)
        if region.lines
    )
    return _element("div", "ocr_page", f"page_{number}", title, f"\n{areas}") + "\n"


def _area(region: Region, name: str, page_number: int) -> str:
    title = _bbox(region.box)
    lines = "".join(_line(line, f"{page_number}_{n + 1}") for n, line in region.lines)
    paragraph = _element("p", "ocr_par", f"par_{name}", title, f"\n{lines}")
    return _element("div", "ocr_carea", f"block_{name}", title, paragraph) + "\n"


def _line(line: Detection, name: str) -> str:
    rect = bounds(line.box)
    title = f"{_bbox(rect)}{_direction(line, rect)}; x_wconf {round(100 * line.confidence)}"
    spans = "".join(_word(word, f"{name}_{n}") for n, word in enumerate(words(line), start=1))
    return _element("span", "ocr_line", f"line_{name}", title, spans) + "\n"


def _direction(line: Detection, rect: Rect) -> str:
    a, b, c, d = (Point(*corner) for corner in line.box)
    degrees = geometry.angle((a, b, c, d))
    if min(degrees, 360 - degrees) > _LEVEL:
        return f"; textangle {(360 - degrees) % 360:.0f}"
    slope = math.tan(math.radians(degrees))
    # At the left edge of the box, below its lower one.
    offset = d.y + (rect.x1 - d.x) * slope - rect.y2
    return f"; baseline {slope:.3f} {offset:.0f}"


def _word(word: LineWord, name: str) -> str:
    title = f"{_bbox(bounds(word.box))}; x_wconf {round(100 * word.confidence)}"
    return _element("span", "ocrx_word", f"word_{name}", title, xml.text(word.text)) + " " * word.is_spaced


def _element(tag: str, kind: str, name: str, title: str, content: str) -> str:
    return f"<{tag}{xml.attributes(**{'class': kind}, id=name, title=title)}>{content}</{tag}>"


def _bbox(rect: Rect) -> str:
    return "bbox " + " ".join(str(int(value)) for value in rect)


FORMAT: Final = single("hocr", "text/html; charset=utf-8", ".ocr.hocr", _page, _frame)
