"""Pages that are read at once, as on a GPU, have the lines that each has by itself."""

import csv
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pymupdf
import pytest
from PIL import Image as PillowImage
from PIL import ImageOps

from consumer import protocol
from consumer.child.rapidocr.engine import RapidOcrEngine
from consumer.domain.result import PageResult
from tests.page_images import bgr, stored

AT_ONCE = 8
SAMPLES = Path(__file__).parents[1] / "samples"

Pixels = npt.NDArray[np.uint8]
Read = Callable[[Sequence[Pixels]], list[PageResult]]


@pytest.fixture(scope="module")
def read(tmp_path_factory: pytest.TempPathFactory) -> Read:
    """Read pages in one request, by ONNX Runtime on a processor."""
    options = protocol.RapidOcrOptions(threads=1, batch_pages=AT_ONCE, runtime="onnxruntime", words=True)
    return reader(RapidOcrEngine(options), tmp_path_factory.mktemp("pages"))


def reader(engine: RapidOcrEngine, folder: Path) -> Read:
    def read(pages: Sequence[Pixels]) -> list[PageResult]:
        images = [stored(page, folder / f"{n}.bgr", n) for n, page in enumerate(pages, 1)]
        reply = engine.handle(protocol.ReadPages(images=tuple(images)), lambda: None)
        assert isinstance(reply, protocol.PagesRead)
        return list(reply.pages)

    return read


def lines(page: PageResult) -> list[tuple[str, list[list[int]], list[str]]]:
    """Text, box to the pixel, and words of each line."""
    return [
        (
            line.text,
            [[round(x), round(y)] for x, y in line.box],
            [word.text for word in line.words or ()],
        )
        for line in page.detections
    ]


def sample(name: str, page: int = 0) -> Pixels:
    """The upper half of a page of a sample."""
    with pymupdf.open(SAMPLES / name) as document:
        pixels = bgr(document[page].get_pixmap(matrix=pymupdf.Matrix(1.25, 1.25)))
    return np.ascontiguousarray(pixels[: len(pixels) // 2])


def speckled(page: Pixels) -> Pixels:
    """The page with dark pixels, so that it is read in three forms."""
    dirty = page.copy()
    dirty[np.random.default_rng(7).random(page.shape[:2]) < 0.01] = 0
    return dirty


def test_pages_at_once_have_the_lines_that_each_has_by_itself(read: Read, tmp_path: Path) -> None:
    letter, report = sample("letter.pdf"), sample("report.pdf", 1)
    pages = [letter, np.ascontiguousarray(np.rot90(report, 2)), speckled(letter[: len(letter) // 2])]
    at_once = read(pages)
    assert [lines(page) for page in at_once] == [lines(read([page])[0]) for page in pages]
    assert [page.page.angle for page in at_once] == [0, 180, 0]
    # What OpenVINO reads, a page at a time.
    one_by_one = reader(RapidOcrEngine(protocol.RapidOcrOptions(threads=1)), tmp_path)
    texts = [[line.text for line in page.detections] for page in one_by_one(pages[:2])]
    assert [[line.text for line in page.detections] for page in at_once[:2]] == texts
    assert all(len(page) > 5 for page in texts)


@pytest.mark.soak
@pytest.mark.corpus
@pytest.mark.timeout(7200)
def test_the_corpus_has_the_same_lines_at_once_and_page_by_page(
    read: Read, corpus: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with (corpus / "accuracy.tsv").open(encoding="utf-8", newline="") as rows:
        names = [row["image"] for row in csv.DictReader(rows, delimiter="\t", quoting=csv.QUOTE_NONE)]
    count = 0
    for first in range(0, len(names), AT_ONCE):
        pages = [pixels_of(corpus / "accuracy" / name) for name in names[first : first + AT_ONCE]]
        for name, pixels, at_once in zip(names[first:], pages, read(pages), strict=False):
            assert lines(at_once) == lines(read([pixels])[0]), name
            count += len(at_once.detections)
    with capsys.disabled():
        print(f"\n{len(names)} pages, {count} lines, the same at once and page by page")  # noqa: T201
    assert count


def pixels_of(path: Path) -> Pixels:
    if path.suffix == ".pdf":
        with pymupdf.open(path) as document:
            return np.ascontiguousarray(bgr(document[0].get_pixmap(matrix=pymupdf.Matrix(2, 2))))
    with PillowImage.open(path) as opened:
        return np.ascontiguousarray(np.asarray(ImageOps.exif_transpose(opened).convert("RGB"))[..., ::-1])
