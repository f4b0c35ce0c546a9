"""PP-StructureV3 with the real weights of `real_zoo.py`: what they find costs no page its text.

How well the official networks find anything is not told: most of these stand in for them.
"""

import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pymupdf
import pytest

from consumer.domain.result import PageResult, Status
from tests.markdown import letters, lost
from tests.structure import real_zoo
from tests.structure.conftest import own_signals
from tests.structure.engine import Engine, Page, drawn, texts, typeset
from tests.structure.test_parts import with_table
from tests.structure.zoo import Zoo

# PaddleX divides by zero if columns have no width.
pytestmark = pytest.mark.filterwarnings("default:divide by zero:RuntimeWarning")

PDF = "camelot__tests__files__tabula__icdar2013-dataset__competition-dataset-eu__eu-{:03}.pdf"
#: A statement without rules, which layout takes for a picture.
STATEMENT = "ocr-benchmark__img__table_02.png"
SUFFIXES = {".pdf", ".png", ".jpg", ".tif", ".tiff"}
TURNED = "test__testing__phototest-rotated-{}.png"


@pytest.fixture(scope="module")
def zoo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Zoo]:
    with pytest.MonkeyPatch.context() as patch:
        zoo = real_zoo.build(tmp_path_factory.mktemp("real") / "zoo")
        patch.setenv("PADDLE_PDX_CACHE_HOME", str(zoo.home))
        yield zoo


@pytest.fixture(scope="module")
def engine(zoo: Zoo, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    config = zoo.pipeline(use_table_recognition=True, use_doc_orientation_classify=True)
    with own_signals():
        yield Engine(config, "onnxruntime", 1, tmp_path_factory.mktemp("pages"))


def first_page(path: Path) -> Page:
    """The first page of a document."""
    if path.suffix == ".pdf":
        with pymupdf.open(path) as document:
            return drawn(document[0])
    pixels = cv2.imread(str(path), cv2.IMREAD_COLOR)
    assert pixels is not None
    return np.asarray(pixels, np.uint8)


def check_tables(read: PageResult) -> None:
    """Tables are well-formed HTML, and their cells lie on them."""
    for table in read.page.tables:
        assert ET.fromstring(table.html).tag == "html"
        left, top, right, bottom = table.box
        for x1, y1, x2, y2 in table.cells:
            assert left <= (x1 + x2) / 2 <= right
            assert top <= (y1 + y2) / 2 <= bottom


def test_a_table_is_read_and_the_network_that_reads_it_is_silent(
    engine: Engine, capfd: pytest.CaptureFixture[str]
) -> None:
    """ONNX Runtime has two warnings for each step of its loop, unless it is told to keep them."""
    page, _ = with_table()
    read = engine.read_one(page)
    assert len(read.page.tables) == 1
    check_tables(read)
    assert len(read.page.tables[0].cells) == 6
    assert lost(read) == []
    assert capfd.readouterr().err == ""


def test_tables_of_a_real_page_are_html_with_their_cells(engine: Engine, corpus: Path) -> None:
    read = engine.read_one(first_page(corpus / "accuracy" / PDF.format(1)))
    assert len(read.page.tables) == 3
    check_tables(read)
    assert lost(read) == []


def test_text_that_layout_takes_for_a_picture_is_in_the_markdown(engine: Engine, corpus: Path) -> None:
    read = engine.read_one(first_page(corpus / "accuracy" / STATEMENT))
    assert "image" in {block.label for block in read.page.blocks}
    assert len(read.detections) > 20
    assert lost(read) == []


@pytest.mark.parametrize(("side", "angle"), [("L", 90), ("R", 270), ("180", 180)])
def test_a_page_that_lies_on_its_side_is_turned(side: str, angle: int, engine: Engine, corpus: Path) -> None:
    read = engine.read_one(first_page(corpus / "accuracy" / TURNED.format(side)))
    truth = (corpus / "accuracy" / "test__testing__phototest.gold.txt").read_text()
    assert read.page.angle == angle
    assert letters("".join(texts(read))).startswith(letters(truth)[:40])


def test_a_bent_page_is_flattened(zoo: Zoo, tmp_path: Path) -> None:
    page = typeset(
        *[(12.0, "times-roman", f"Line {n} of a page that was bent before it was read") for n in range(20)]
    )
    height, width = page.shape[:2]
    x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    bent = cv2.remap(page, x, y + 25 * np.sin(np.pi * x / width), cv2.INTER_LINEAR, borderValue=(90, 90, 90))
    with own_signals():
        read = Engine(zoo.pipeline(use_doc_unwarping=True), "onnxruntime", 1, tmp_path).read_one(
            np.asarray(bent, np.uint8)
        )
    assert read.page.flattened_image is not None
    assert texts(read) == [f"line{n}ofapagethatwasbentbeforeitwasread" for n in range(20)]
    assert read.page.status is Status.SUCCESS


@pytest.mark.soak
@pytest.mark.timeout(4 * 3600)
def test_every_line_of_every_page_is_in_its_markdown_or_in_a_running_head(
    engine: Engine, corpus: Path
) -> None:
    gone: dict[str, list[str]] = {}
    paths = [path for path in sorted((corpus / "accuracy").iterdir()) if path.suffix in SUFFIXES]
    assert len(paths) >= 67
    for path in paths:
        read = engine.read_one(first_page(path))
        check_tables(read)
        gone[path.name] = lost(read)
    assert {name: lines for name, lines in gone.items() if lines} == {}
