"""Words have boxes where they stand: on drawn pages in every direction, and on a corpus with known boxes."""

import csv
import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Final
from xml.etree import ElementTree as ET

import cv2
import numpy as np
import pytest
from PIL import Image as PillowImage
from PIL import ImageOps

from consumer import protocol
from consumer.child.rapidocr.engine import RapidOcrEngine
from consumer.domain.page import PageImage
from consumer.domain.result import Corners, Detection

#: Of the words that were read, so many have a box that covers half of the union with the true one.
SHARE: Final = 0.98

Rect = tuple[int, int, int, int]


@pytest.fixture(scope="module")
def engine() -> RapidOcrEngine:
    return RapidOcrEngine(protocol.RapidOcrOptions(threads=1, words=True))


def read(
    engine: RapidOcrEngine, pixels: "np.ndarray[tuple[int, ...], np.dtype[np.uint8]]", path: Path
) -> list[Detection]:
    path.write_bytes(np.ascontiguousarray(pixels).tobytes())
    height, width = pixels.shape[:2]
    size = {"width_px": width, "height_px": height, "scale": 1.0, "dpi": None, "downscaled": False}
    image = PageImage.model_validate({"page_number": 1, "path": str(path), "render_s": 0.0, **size})
    pages = engine.handle(protocol.ReadPages(images=(image,)), lambda: None)
    assert isinstance(pages, protocol.PagesRead)
    return list(pages.pages[0].detections)


def rect(box: Corners) -> Rect:
    xs, ys = zip(*box, strict=True)
    return min(xs), min(ys), max(xs), max(ys)


def overlap(one: Rect, other: Rect) -> float:
    """Intersection over union."""
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    common = max(width, 0) * max(height, 0)
    areas = sum((x2 - x1) * (y2 - y1) for x1, y1, x2, y2 in (one, other))
    return common / max(areas - common, 1)


@pytest.mark.parametrize("quarters", [0, 1, 2, 3])
def test_words_stand_in_their_boxes_however_the_page_lies(
    engine: RapidOcrEngine, tmp_path: Path, quarters: int
) -> None:
    page = np.full((700, 1000, 3), 255, np.uint8)
    texts = ["Freight for the harbour", "mixed goods on seven wagons", "accepted without claims"]
    expected: list[tuple[str, Rect]] = []
    for row, text in enumerate(texts):
        x = 80
        for token in text.split():
            before = page.copy()
            cv2.putText(page, token, (x, 200 + 120 * row), cv2.FONT_HERSHEY_SIMPLEX, 1.2, (0, 0, 0), 3)
            ys, xs = np.nonzero((page != before).any(axis=2))
            ink = np.zeros(page.shape[:2], bool)
            ink[ys.min() : ys.max() + 1, xs.min() : xs.max() + 1] = True
            ys, xs = np.nonzero(np.rot90(ink, quarters))
            expected.append((token, (int(xs.min()), int(ys.min()), int(xs.max()) + 1, int(ys.max()) + 1)))
            x += cv2.getTextSize(token, cv2.FONT_HERSHEY_SIMPLEX, 1.2, 3)[0][0] + 28

    lines = read(engine, np.asarray(np.rot90(page, quarters), np.uint8), tmp_path / "page.bgr")

    words = [word for line in lines for word in line.words or ()]
    assert [word.text for word in words] == [token for token, _ in expected]
    assert [line.text for line in lines] == [
        " ".join(word.text for word in line.words or ()) for line in lines
    ]
    for word, (_, box) in zip(words, expected, strict=True):
        assert overlap(rect(word.box), box) > 0.7
        assert 0.5 < word.confidence <= 1


def test_without_being_asked_for_words_are_not_told(tmp_path: Path) -> None:
    page = np.full((300, 600, 3), 255, np.uint8)
    cv2.putText(page, "nothing", (80, 150), cv2.FONT_HERSHEY_SIMPLEX, 2, (0, 0, 0), 4)
    lines = read(RapidOcrEngine(protocol.RapidOcrOptions(threads=1)), page, tmp_path / "page.bgr")
    assert [(line.text, line.words) for line in lines] == [("nothing", None)]
    assert "words" not in lines[0].model_dump_json()


@pytest.mark.corpus
@pytest.mark.timeout(2400)
@pytest.mark.parametrize("step", [4, pytest.param(1, marks=pytest.mark.soak)])
def test_words_of_the_corpus_have_the_boxes_of_its_truth(
    engine: RapidOcrEngine, corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], step: int
) -> None:
    count = right = 0
    for image, truth in islice(_hocr_pages(corpus), 0, None, step):
        with PillowImage.open(image) as opened:
            rgb = np.asarray(ImageOps.exif_transpose(opened).convert("RGB"), np.uint8)
        lines = read(engine, rgb[..., ::-1], tmp_path / "page.bgr")
        found = [(word.text, rect(word.box)) for line in lines for word in line.words or ()]
        for text, box in truth:
            overlaps = [overlap(box, each) for said, each in found if said == text]
            if max(overlaps, default=0.0) > 0:
                count += 1
                right += max(overlaps) >= 0.5
    with capsys.disabled():
        print(f"\n{right} of {count} words that were read have their box: {right / count:.4f}")  # noqa: T201
    assert right / count >= SHARE


def _hocr_pages(corpus: Path) -> Iterator[tuple[Path, list[tuple[str, Rect]]]]:
    """Yield the pages of the corpus with true boxes of words."""
    with (corpus / "accuracy.tsv").open(encoding="utf-8", newline="") as rows:
        for row in csv.DictReader(rows, delimiter="\t", quoting=csv.QUOTE_NONE):
            if row["truth"].endswith(".hocr"):
                text = (corpus / "accuracy" / row["truth"]).read_text(encoding="utf-8")
                yield corpus / "accuracy" / row["image"], list(_words(text))


_WORD: Final = re.compile(r"class='ocrx_word'[^>]*bbox (\d+) (\d+) (\d+) (\d+)[^>]*>(.*?)</span>", re.DOTALL)


def _words(hocr: str) -> Iterator[tuple[str, Rect]]:
    for match in _WORD.finditer(hocr):
        x1, y1, x2, y2 = (int(match[n]) for n in range(1, 5))
        text = "".join(ET.fromstring(f"<w>{match[5]}</w>").itertext()).strip()
        yield text, (x1, y1, x2, y2)
