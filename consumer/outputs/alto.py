"""ALTO 4.2 in pixels (http://www.loc.gov/standards/alto/v4/alto-4-2.xsd)."""

from typing import Final

from consumer.domain.geometry import Rect, bounds
from consumer.domain.result import Detection, PageResult, ResultDocument
from consumer.outputs import xml
from consumer.outputs.regions import Region, regions
from consumer.outputs.single import single
from consumer.outputs.words import LineWord, words

_NAMESPACE: Final = "http://www.loc.gov/standards/alto/ns-v4#"
_SCHEMA: Final = "http://www.loc.gov/standards/alto/v4/alto-4-2.xsd"

#: Labels of blocks that are pictures if they have no text.
_PICTURES: Final = frozenset({"image", "figure", "chart", "seal", "header_image", "footer_image"})


def _frame(head: ResultDocument) -> tuple[str, str]:
    before = (
        f'{xml.DECLARATION}<alto xmlns="{_NAMESPACE}" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" '
        f'xsi:schemaLocation="{_NAMESPACE} {_SCHEMA}" SCHEMAVERSION="4.2">\n'
        "<Description>\n<MeasurementUnit>pixel</MeasurementUnit>\n<sourceImageInformation>"
        f"<fileName>{xml.text(head.source.key)}</fileName>"
        f"<fileIdentifier>{xml.text(head.source.etag)}</fileIdentifier></sourceImageInformation>\n"
        '<Processing ID="reading"><processingCategory>contentGeneration</processingCategory>'
        f"<processingDateTime>{head.timing.finished_at.isoformat()}</processingDateTime>"
        "<processingSoftware><softwareCreator>bucket-ocr</softwareCreator>"
        f"<softwareName>{xml.text(head.engine.name)}</softwareName>"
        f"<softwareVersion>{xml.text(head.engine.version)}</softwareVersion></processingSoftware></Processing>\n"
        "</Description>\n<Layout>\n"
    )
    return before, "</Layout>\n</alto>\n"


def _page(result: PageResult) -> str:
    page, number = result.page, result.page.page_number
    attributes = xml.attributes(
        ID=f"page_{number}",
        PHYSICAL_IMG_NR=number,
        WIDTH=page.width_px,
        HEIGHT=page.height_px,
        PC=None if page.confidence is None else f"{page.confidence:.4f}",
    )
    if page.width_px is None or page.height_px is None:
        return f"<Page{attributes}/>\n"
    space = Rect(0, 0, page.width_px, page.height_px)
    blocks = "".join(
        _block(region, f"{number}_{n}", number) for n, region in enumerate(regions(result), start=1)
    )
    return f"<Page{attributes}>\n<PrintSpace{_place(space)}>\n{blocks}</PrintSpace>\n</Page>\n"


def _block(region: Region, name: str, page_number: int) -> str:
    identity = xml.attributes(ID=f"block_{name}")
    if not region.lines and region.label in _PICTURES:
        return f"<Illustration{identity}{_place(region.box)}{xml.attributes(TYPE=region.label)}/>\n"
    lines = "".join(_line(line, f"{page_number}_{n + 1}") for n, line in region.lines)
    if region.label != "table":
        return f"<TextBlock{identity}{_place(region.box)}>\n{lines}</TextBlock>\n"
    text = f"<TextBlock{xml.attributes(ID=f'text_{name}')}{_place(region.box)}>\n{lines}</TextBlock>\n"
    return f'<ComposedBlock{identity}{_place(region.box)} TYPE="table">\n{text}</ComposedBlock>\n'


def _line(line: Detection, name: str) -> str:
    _, _, c, d = line.box
    attributes = xml.attributes(ID=f"line_{name}", BASELINE=xml.points((d, c)))
    strings = "".join(_string(word, f"{name}_{n}") for n, word in enumerate(words(line), start=1))
    shape = f'<Shape><Polygon POINTS="{xml.points(line.box)}"/></Shape>'
    return f"<TextLine{attributes}{_place(bounds(line.box))}>{shape}{strings}</TextLine>\n"


def _string(word: LineWord, name: str) -> str:
    attributes = xml.attributes(ID=f"string_{name}", CONTENT=word.text, WC=f"{word.confidence:.4f}")
    return f"<String{attributes}{_place(bounds(word.box))}/>" + "<SP/>" * word.is_spaced


def _place(rect: Rect) -> str:
    x1, y1, x2, y2 = map(int, rect)
    return xml.attributes(HPOS=x1, VPOS=y1, WIDTH=x2 - x1, HEIGHT=y2 - y1)


FORMAT: Final = single("alto", "application/xml", ".ocr.alto.xml", _page, _frame)
