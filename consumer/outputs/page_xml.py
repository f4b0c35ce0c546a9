"""PAGE XML 2019-07-15 (https://github.com/PRImA-Research-Lab/PAGE-XML), a file for each page that was read.

The format has one page to a file: a document of one page has `….ocr.page.xml`, others have a file in their
folder for each page.
"""

from collections.abc import Iterator
from typing import Final

from consumer.domain.areas import corners
from consumer.domain.body import Body, BytesBody, JoinedBody, SlicedBody
from consumer.domain.outputs import MakeSpool, OutputFormat
from consumer.domain.result import Corners, Detection, PageResult, ResultDocument
from consumer.outputs import xml
from consumer.outputs.regions import Region, regions
from consumer.outputs.words import LineWord, words

_NAMESPACE: Final = "http://schema.primaresearch.org/PAGE/gts/pagecontent/2019-07-15"

#: Elements of regions, or types of text regions, by labels of blocks; others are plain text regions.
_ELEMENTS: Final = {
    "table": "TableRegion",
    "formula": "MathsRegion",
    "image": "ImageRegion",
    "figure": "ImageRegion",
    "header_image": "ImageRegion",
    "footer_image": "ImageRegion",
    "chart": "ChartRegion",
    "seal": "GraphicRegion",
}
_TYPES: Final = {
    "doc_title": "heading",
    "paragraph_title": "heading",
    "title": "heading",
    "header": "header",
    "footer": "footer",
    "number": "page-number",
    "footnote": "footnote",
    "figure_title": "caption",
    "table_title": "caption",
    "chart_title": "caption",
    "content": "TOC-entry",
    "list": "list-label",
}


class PageXmlWriter:
    """Writes the pages one after another, and cuts them apart at the end."""

    def __init__(self, spool: MakeSpool) -> None:
        self._body = spool()
        self._starts: list[tuple[int, int]] = []

    def add(self, result: PageResult) -> None:
        """Take the next page; one without a size, which was not rendered, has no file."""
        if result.page.width_px is None:
            return
        self._starts.append((result.page.page_number, self._body.size_bytes))
        self._body.write(_page(result).encode())

    def finish(self, head: ResultDocument) -> Iterator[tuple[str, Body]]:
        """Return a file for each page."""
        before, after = _frame(head)
        ends = [start for _, start in self._starts[1:]] + [self._body.size_bytes]
        name = xml.attributes(imageFilename=head.source.key)
        for (number, start), end in zip(self._starts, ends, strict=True):
            ending = ".ocr.page.xml" if head.page_count == 1 else f".ocr/page-{number:04}.page.xml"
            content = SlicedBody(self._body, start, end - start)
            yield (
                ending,
                JoinedBody((BytesBody(f"{before}<Page{name}".encode()), content, BytesBody(after.encode()))),
            )


def _frame(head: ResultDocument) -> tuple[str, str]:
    at = head.timing.finished_at.isoformat()
    creator = xml.text(f"bucket-ocr {head.engine.name} {head.engine.version}")
    before = (
        f'{xml.DECLARATION}<PcGts xmlns="{_NAMESPACE}">\n'
        f"<Metadata><Creator>{creator}</Creator><Created>{at}</Created><LastChange>{at}</LastChange></Metadata>\n"
    )
    return before, "</PcGts>\n"


def _page(result: PageResult) -> str:
    """Write a page from its size on."""
    page = result.page
    resolution = None if page.dpi is None else f"{page.dpi:g}"
    attributes = xml.attributes(
        imageWidth=page.width_px,
        imageHeight=page.height_px,
        imageXResolution=resolution,
        imageYResolution=resolution,
        imageResolutionUnit=None if resolution is None else "PPI",
        conf=None if page.confidence is None else f"{page.confidence:.4f}",
    )
    found = regions(result)
    order = "".join(
        f"<RegionRefIndexed{xml.attributes(index=n, regionRef=f'region_{n + 1}')}/>"
        for n in range(len(found))
    )
    if order:
        order = f'<ReadingOrder><OrderedGroup id="order">{order}</OrderedGroup></ReadingOrder>\n'
    content = "".join(_region(region, f"region_{n}") for n, region in enumerate(found, start=1))
    return f"{attributes}>\n{order}{content}</Page>\n"


def _region(region: Region, name: str) -> str:
    element = _ELEMENTS.get(region.label, "TextRegion")
    coords = _coords(corners(region.box))
    lines = "".join(_line(line, f"{name}_line_{n + 1}") for n, line in region.lines)
    if element == "TextRegion":
        kind = _TYPES.get(region.label, "paragraph")
        return f"<TextRegion{xml.attributes(id=name, type=kind)}>{coords}\n{lines}</TextRegion>\n"
    # Only text regions have lines.
    text = f"<TextRegion{xml.attributes(id=f'{name}_text')}>{coords}\n{lines}</TextRegion>\n" if lines else ""
    return f"<{element}{xml.attributes(id=name)}>{coords}\n{text}</{element}>\n"


def _line(line: Detection, name: str) -> str:
    _, _, c, d = line.box
    spans = "".join(_word(word, f"{name}_word_{n}") for n, word in enumerate(words(line), start=1))
    return (
        f"<TextLine{xml.attributes(id=name)}>{_coords(line.box)}"
        f'<Baseline points="{xml.points((d, c))}"/>{spans}{_text(line.text, line.confidence)}</TextLine>\n'
    )


def _word(word: LineWord, name: str) -> str:
    text = _text(word.text, word.confidence)
    return f"<Word{xml.attributes(id=name)}>{_coords(word.box)}{text}</Word>"


def _text(text: str, confidence: float) -> str:
    return f'<TextEquiv conf="{confidence:.4f}"><Unicode>{xml.text(text)}</Unicode></TextEquiv>'


def _coords(box: Corners) -> str:
    return f'<Coords points="{xml.points(box)}"/>'


FORMAT: Final = OutputFormat("page", "application/xml", PageXmlWriter)
