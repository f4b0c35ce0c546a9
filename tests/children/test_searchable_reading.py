"""From a scan to a searchable PDF, with the engine for processors."""

from collections import Counter
from pathlib import Path

import pymupdf
import pytest

from consumer import protocol
from consumer.child.rapidocr.engine import RapidOcrEngine
from consumer.child.rendering.renderer import PageRenderer
from consumer.domain.formats import Format
from consumer.domain.page import PageImage
from tests.children.searchable import readers
from tests.children.searchable.readers import Word
from tests.children.test_searchable_pdf import OPTIONS, pixels, searchable, words_of

LETTER = Path(__file__).parents[1] / "samples" / "letter.pdf"
WIDTH, HEIGHT = 1190, 1684


@pytest.fixture(scope="module")
def engine() -> RapidOcrEngine:
    return RapidOcrEngine(protocol.RapidOcrOptions(threads=1))


@pytest.mark.parametrize("rotation", [0, 90])
def test_words_of_a_scan_are_found_where_they_are_printed(
    rotation: int, engine: RapidOcrEngine, tmp_path: Path
) -> None:
    printed = readers.mupdf(LETTER)
    source = scan(rotation, tmp_path / "scan.pdf")
    image = PageRenderer(OPTIONS).handle(
        protocol.RenderPage(
            path=str(source), format=Format.PDF, page_number=1, image_path=str(tmp_path / "page.bgr")
        ),
        lambda: None,
    )
    assert isinstance(image, PageImage)
    reply = engine.handle(protocol.ReadPages(images=(image,)), lambda: None)
    assert isinstance(reply, protocol.PagesRead)
    output, _ = searchable(source, *reply.pages)
    found = readers.mupdf(output)
    assert [word.text for word in found] == words_of(reply.pages[0].detections)
    assert pixels(output) == pixels(source)
    counts = Counter(word.text for word in printed)
    once = [word if rotation == 0 else turned(word) for word in printed if counts[word.text] == 1]
    overlaps = [
        max((overlap(word, each) for each in found if each.text == word.text), default=0.0) for word in once
    ]
    assert sum(each >= 0.5 for each in overlaps) >= 0.93 * len(once)


def scan(rotation: int, path: Path) -> Path:
    """The letter as a picture on a page that is turned and cropped."""
    with pymupdf.open(LETTER) as letter, pymupdf.open() as document:
        picture = letter[0].get_pixmap(dpi=200)
        page = document.new_page(width=700, height=1000)
        page.insert_image(pymupdf.Rect(30, 60, 30 + WIDTH / 2, 60 + HEIGHT / 2), pixmap=picture)
        page.set_cropbox(pymupdf.Rect(30, 60, 30 + WIDTH / 2, 60 + HEIGHT / 2))
        page.set_rotation(rotation)
        document.save(path)
    return path


def turned(word: Word) -> Word:
    """A word of the letter on the page that is turned by 90 degrees."""
    left, top, right, bottom = word.box
    return Word(word.text, (HEIGHT - bottom, left, HEIGHT - top, right))


def overlap(word: Word, other: Word) -> float:
    """The common part of two boxes, of the part that either has."""
    left, top = (max(word.box[side], other.box[side]) for side in (0, 1))
    right, bottom = (min(word.box[side], other.box[side]) for side in (2, 3))
    common = max(0.0, right - left) * max(0.0, bottom - top)
    return common / (area(word) + area(other) - common)


def area(word: Word) -> float:
    left, top, right, bottom = word.box
    return (right - left) * (bottom - top)
