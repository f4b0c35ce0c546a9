"""A document for the viewer: a PDF, and the result that a perfect engine would have of it."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import pymupdf

from consumer.domain.result import Block, Detection, Page, PageResult, Status, Table, Word
from tests.e2e import in_process
from tests.outputs.documents import box, head
from tests.unit.test_stored_result import as_json

SCALE: Final = 2.0

EVIL: Final = "<img src=x onerror=alert(1)>"

#: Lines of pages; the third of the first is markup.
PAGES: Final = (
    (
        "Harbour report",
        "Ships that came in May",
        EVIL,
        "</script><script>alert(2)</script>",
        "Total: 1,234.50",
    ),
    ("Price list", "Tea", "1,50", "Salt", "-3.20"),
    ("Third page", "Nothing of note", "Crème brûlée", "東京 2024"),
    ("Fourth page", "A doubtful line", "A certain line"),
    ("Last page", "The lighthouse keeper", "signed at the harbour"),
)

HTML: Final = (
    "<table><tr><th colspan=2>Prices <b>&lt;b&gt;</b></th></tr>"
    "<tr><td>Tea</td><td><script>alert(3)</script>1,50</td></tr></table>"
)


def write_pdf(path: Path, pages: Sequence[Sequence[str]]) -> None:
    """Write a PDF of A4 pages, with a line of text every 60 points."""
    font = pymupdf.Font("cjk")
    with pymupdf.open() as document:
        for texts in pages:
            page = document.new_page(width=595, height=842)
            writer = pymupdf.TextWriter(page.rect)
            for number, text in enumerate(texts):
                writer.append((72, 100 + 60 * number), text, font=font, fontsize=18)
            writer.write_text(page)
        document.save(path, garbage=3, deflate=True)


def confidence_of(text: str) -> float:
    return 0.42 if "doubtful" in text else 0.97


def read(path: Path, confidence: Callable[[str], float] = confidence_of) -> list[PageResult]:
    """Read the pages of a PDF as a perfect engine would."""
    with pymupdf.open(path) as document:
        return [_page(page, number, confidence) for number, page in enumerate(document, start=1)]


def _page(page: pymupdf.Page, number: int, confidence: Callable[[str], float]) -> PageResult:
    lines = [line for block in page.get_text("dict")["blocks"] for line in block["lines"]]
    words = page.get_text("words")
    detections = []
    for line in lines:
        text = "".join(span["text"] for span in line["spans"]).strip()
        round_it = pymupdf.Rect(line["bbox"]) + pymupdf.Rect(-1, -1, 1, 1)
        inside = [word for word in words if pymupdf.Rect(word[:4]) in round_it]
        detections.append(
            Detection(
                text=text,
                box=_corners(line["bbox"]),
                confidence=confidence(text),
                page_number=number,
                words=tuple(
                    Word(text=word[4], box=_corners(word), confidence=confidence(text)) for word in inside
                ),
            )
        )
    blocks: tuple[Block, ...] = ()
    tables: tuple[Table, ...] = ()
    if number == 2:
        blocks = (
            Block(label="doc_title", box=(130, 150, 500, 220), order=1, content="", confidence=0.9),
            Block(label="table", box=(130, 260, 500, 640), order=2, content="", confidence=None),
        )
        tables = (
            Table(box=(130, 260, 500, 640), html=HTML, cells=((130, 260, 500, 450), (130, 450, 500, 640))),
        )
    result = Page(
        page_number=number,
        status=Status.SUCCESS,
        width_px=round(SCALE * page.rect.width),
        height_px=round(SCALE * page.rect.height),
        scale=SCALE,
        confidence=0.9,
        blocks=blocks,
        tables=tables,
    )
    return PageResult(page=result, detections=tuple(detections))


def _corners(rect: Sequence[Any]) -> Any:
    return box(*(round(SCALE * each) for each in rect[:4]))


def write_result(path: Path, pages: Sequence[PageResult], size_bytes: int, etag: str = "e1") -> None:
    """Write a result document, of a source of this size and ETag."""
    document = head(len(pages)).model_dump(mode="json")
    document["source"] |= {"size_bytes": size_bytes, "etag": etag}
    document["pages"] = [page.page.model_dump(mode="json") for page in pages]
    document["detections"] = [line.model_dump(mode="json") for page in pages for line in page.detections]
    document["warnings"] = [warning.model_dump(mode="json") for page in pages for warning in page.warnings]
    path.write_bytes(as_json(document))


def view(folder: Path, name: str) -> Path:
    """Write the page of a document in this folder, by the command; returns its path."""
    done = in_process.bucket_ocr({}, folder, "view", name)
    assert (done.returncode, done.stderr) == (0, "")
    return folder / done.stdout.strip()
