"""Finished pages with all that a format must show, and outputs made of them."""

from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

from consumer.domain.body import chunks
from consumer.domain.errors import Code
from consumer.domain.outputs import OutputFormat
from consumer.domain.result import (
    Block,
    Corners,
    Detection,
    Engine,
    Page,
    PageResult,
    ResultDocument,
    Source,
    Status,
    Table,
    Timing,
    Word,
    failed_page,
)
from consumer.service.spool import FileSpool

NOW = datetime(2026, 11, 23, 10, tzinfo=UTC)
KEY = "in/a & b.pdf"

#: Two columns and a cell that spans them, one that spans rows, and one that reads otherwise than its line.
HTML = (
    "<html><body><table><thead><tr><th colspan='2'>Prices &amp; weights</th></tr></thead><tbody>"
    '<tr><td rowspan="2">Tea</td><td>1,50</td></tr><tr><td>=2+3|x</td></tr>'
    "<tr><td>Salt<br/>coarse</td><td>-3.20</td></tr></tbody></table></body></html>"
)
ROWS = [
    ["Prices & weights", "Prices & weights"],
    ["Tea", "1,50"],
    ["Tea", "=2+3|x"],
    ["Salt coarse", "-3.20"],
]


def box(x1: int, y1: int, x2: int, y2: int) -> Corners:
    return (x1, y1), (x2, y1), (x2, y2), (x1, y2)


def line(number: int, text: str, corners: Corners, words: Iterable[Word] | None = None) -> Detection:
    return Detection(
        text=text,
        box=corners,
        confidence=0.9,
        page_number=number,
        words=None if words is None else tuple(words),
    )


def block(
    label: str, corners: tuple[int, int, int, int], order: int | None, confidence: float | None = 0.75
) -> Block:
    return Block(label=label, box=corners, order=order, content="", confidence=confidence)


def rich_page(number: int) -> PageResult:
    """A heading, a paragraph, a picture, a table, a line that runs down, and what XML cannot have."""
    title = [
        Word(text="A", box=box(100, 100, 120, 140), confidence=0.99),
        Word(text="<title>", box=box(130, 100, 300, 140), confidence=0.8),
    ]
    lines = [
        line(number, "A <title>", box(100, 100, 300, 140), title),
        line(number, 'first "line" & more', ((100, 200), (500, 210), (499, 240), (99, 230))),
        line(number, "東京 2024", box(100, 250, 300, 280), _japanese()),
        line(number, "Prices & weights", box(110, 610, 400, 640)),
        line(number, "Tea", box(110, 650, 150, 680)),
        line(number, "1,50", box(310, 650, 380, 680)),
        line(number, "Salt coarse", box(110, 730, 250, 760)),
        line(number, "-3.20", box(310, 730, 380, 760)),
        line(number, "running down", ((900, 300), (900, 700), (870, 700), (870, 300))),
        line(number, "שלום עולם", box(500, 900, 700, 940)),
        line(number, "bell \x07 \ufffe", box(100, 1000, 200, 1040)),
    ]
    table = Table(
        box=(100, 600, 500, 800),
        html=HTML,
        cells=(
            *((100, 600, 500, 645), (100, 645, 300, 725), (300, 645, 500, 685), (300, 685, 500, 725)),
            *((100, 725, 300, 800), (300, 725, 500, 800)),
        ),
    )
    blocks = (
        block("doc_title", (90, 90, 310, 150), 1),
        # As one that follows from rules.
        block("text", (90, 190, 510, 290), 2, confidence=None),
        block("image", (600, 100, 800, 280), None),
        block("table", (100, 600, 500, 800), 3),
    )
    page = Page(
        page_number=number,
        status=Status.SUCCESS,
        width_px=1000,
        height_px=1400,
        scale=2.0,
        dpi=144.0,
        confidence=0.9,
        blocks=blocks,
        tables=(table,),
        markdown=f"# A title\n\npage {number}",
    )
    return PageResult(page=page, detections=tuple(lines))


def _japanese() -> list[Word]:
    texts = ("東", (100, 130)), ("京", (135, 165)), ("2024", (180, 300))
    return [Word(text=text, box=box(x1, 250, x2, 280), confidence=0.7) for text, (x1, x2) in texts]


def plain_page(number: int, *texts: str) -> PageResult:
    """A page of an engine without layout."""
    page = Page(page_number=number, status=Status.SUCCESS, width_px=500, height_px=700, scale=1.0)
    lines = (line(number, text, box(10, 40 * n, 400, 40 * n + 30)) for n, text in enumerate(texts))
    return PageResult(page=page, detections=tuple(lines))


def pages() -> list[PageResult]:
    """A rich page, an empty one, one that was not rendered, a plain one, and a rich one again."""
    return [
        rich_page(1),
        plain_page(2),
        failed_page(3, Code.PAGE_UNREADABLE, "torn"),
        plain_page(4, "one line"),
        rich_page(5),
    ]


def head(page_count: int, key: str = KEY) -> ResultDocument:
    source = Source(
        bucket="inbox",
        key=key,
        version_id=None,
        etag="e1",
        size_bytes=1,
        content_type=None,
        last_modified=NOW,
    )
    return ResultDocument(
        status=Status.SUCCESS,
        source=source,
        engine=Engine(name="fake", version="1", models={}, device="cpu", fingerprint="sha256:1"),
        page_count=page_count,
        timing=Timing(queued_at=None, started_at=NOW, finished_at=NOW),
    )


def written(
    output: OutputFormat, document: list[PageResult], folder: Path, key: str = KEY
) -> dict[str, bytes]:
    """Write an output: bodies by the endings of their keys."""
    writer = output.begin(lambda: FileSpool(folder))
    for page in document:
        writer.add(page)
    return {ending: b"".join(chunks(body)) for ending, body in writer.finish(head(len(document), key))}
