"""Kinds of pages whose text was lost in silence, or turned, each with a test named after what holds now."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import cv2
import numpy as np
import pymupdf
import pytest

from consumer.child.pixels import Image
from consumer.child.rapidocr.boxes import Found, joined
from consumer.child.rapidocr.engine import in_logical_order
from consumer.domain.errors import Code
from consumer.domain.result import PageResult
from tests.reading.reader import Reader
from tests.reading.sheets import RENDERED_DPI

SCALE: Final = RENDERED_DPI / 72
WORDS: Final = [
    "garden",
    "window",
    "letter",
    "copper",
    "basket",
    "engine",
    "planet",
    "silver",
    "market",
    "candle",
]


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Reader:
    return Reader(tmp_path_factory.mktemp("pages"))


def sheet(
    texts: Sequence[tuple[float, float, str, float]],
    width: float = 595,
    height: float = 842,
    font: str = "helv",
    scale: float = SCALE,
) -> Image:
    """A page of width x height points as it is rendered, with texts at x, y (base line) of a size."""
    document = pymupdf.open()
    page = document.new_page(width=width, height=height)
    for x, y, text, size in texts:
        page.insert_text((x, y), text, fontsize=size, fontname=font)
    pixels = page.get_pixmap(matrix=pymupdf.Matrix(scale, scale), alpha=False)
    rgb = np.frombuffer(pixels.samples, np.uint8).reshape(pixels.height, pixels.width, 3)
    return np.ascontiguousarray(rgb[:, :, ::-1])


def lines(count: int, words: int = 6) -> list[str]:
    return [
        " ".join([*(WORDS[(7 * n + 3 * k) % len(WORDS)] for k in range(words)), str(100 + 37 * n)])
        for n in range(count)
    ]


def column(
    texts: Sequence[str], size: float = 11.0, x: float = 60, y: float = 80
) -> list[tuple[float, float, str, float]]:
    return [(x, y + 1.6 * size * n, text, size) for n, text in enumerate(texts)]


def recall(result: PageResult, texts: Sequence[str]) -> float:
    wanted = Counter(" ".join(texts).split())
    read = Counter(" ".join(line.text for line in result.detections).split())
    return (wanted & read).total() / wanted.total()


def runs_right(box: Sequence[tuple[int, int]]) -> bool:
    (x1, y1), (x2, y2) = box[0], box[1]
    return x2 - x1 > abs(y2 - y1)


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_a_turned_page_is_read_and_says_its_angle(reader: Reader, turns: int) -> None:
    texts = lines(12)
    page = sheet(column(texts))

    result = reader.read(np.rot90(page, -turns))

    assert recall(result, texts) == 1.0
    # Turned clockwise once more, it is upright.
    assert result.page.angle == 360 - 90 * turns
    height, width = page.shape[:2]
    upright = {line.text: line.box for line in reader.read(page).detections}
    for line in result.detections:
        for (x, y), (upright_x, upright_y) in zip(line.box, upright[line.text], strict=True):
            expected = {
                1: (height - upright_y, upright_x),
                2: (width - upright_x, height - upright_y),
                3: (upright_y, width - upright_x),
            }[turns]
            assert (x, y) == pytest.approx(expected, abs=8)


def test_two_receipts_scanned_head_to_foot_are_both_read(reader: Reader) -> None:
    above = [f"{word} {n}.{n + 11}" for n, word in enumerate(WORDS, 61)] + ["1961", "808"]
    below = [f"{word} {n}.{n + 23}" for n, word in enumerate(reversed(WORDS), 31)] + ["8118", "609"]
    page = sheet(column(above))
    page[page.shape[0] // 2 :] = np.rot90(sheet(column(below)), 2)[page.shape[0] // 2 :]

    result = reader.read(page)

    assert recall(result, [*above, *below]) == 1.0
    assert {
        line.text: runs_right(line.box) for line in result.detections if line.text in ("1961", "8118")
    } == {
        "1961": True,
        "8118": False,
    }


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_a_stamp_against_the_direction_of_the_page_is_read(reader: Reader, turns: int) -> None:
    texts = lines(20, words=5)
    page = sheet(column(texts, y=200))
    stamp = np.rot90(sheet([(10, 24, "RECEIVED 14 MARCH 2026", 14)], 200, 34), -turns)
    top, left = (40, 300) if turns == 2 else (500, page.shape[1] - 120)
    page[top : top + stamp.shape[0], left : left + stamp.shape[1]] = stamp

    result = reader.read(page)

    assert recall(result, [*texts, "RECEIVED 14 MARCH 2026"]) == 1.0
    assert result.page.angle == 0


def test_a_long_screenshot_keeps_its_text(reader: Reader) -> None:
    texts = lines(60, words=4)
    # 20 pixels per line would be 1 pixel if the page were reduced to what the detector sees at once.
    page = sheet([(30, 60 + 70.0 * n, text, 10) for n, text in enumerate(texts)], 300, 4300)

    assert recall(reader.read(page), texts) == 1.0


def test_a_wide_plan_keeps_its_text_and_its_lines_across_tiles(reader: Reader) -> None:
    texts = [f"{text} {n}" for n, text in enumerate(lines(6, words=30))]
    page = sheet([(20, 30 + 40.0 * n, text, 20) for n, text in enumerate(texts)], 2400, 300)

    result = reader.read(page)

    assert [line.text for line in result.detections] == texts


@pytest.mark.parametrize("size", [5, 7])
def test_small_print_of_a_drawing_is_read(reader: Reader, size: float) -> None:
    texts = lines(30, words=3)
    page = sheet([(100 + 70 * n, 150 + 45.0 * n, text, size) for n, text in enumerate(texts)], 2384, 1684)

    assert recall(reader.read(page), texts) >= 0.95


def test_a_page_may_have_more_than_a_thousand_lines(reader: Reader) -> None:
    texts = [str(1000 + 7 * n) for n in range(1500)]
    page = sheet(
        [(30 + 38 * (n % 25), 30 + 14.0 * (n // 25), text, 8) for n, text in enumerate(texts)], 1000, 880
    )

    assert recall(reader.read(page), texts) >= 0.99


def test_single_characters_have_the_direction_of_their_page(reader: Reader) -> None:
    texts = [str((3 * n + n // 7) % 9 + 1) for n in range(96)]
    page = sheet([(60 + 60 * (n % 8), 80 + 50.0 * (n // 8), text, 12) for n, text in enumerate(texts)])

    result = reader.read(page)

    assert all(runs_right(line.box) for line in result.detections)
    assert recall(result, texts) >= 0.97


@pytest.mark.parametrize(("width", "height"), [(120, 24), (150, 22)])
def test_a_field_that_is_filled_by_its_text_is_read(reader: Reader, width: int, height: int) -> None:
    page = np.full((height, width, 3), 255, np.uint8)
    cv2.putText(page, "4471-882", (4, height - 6), cv2.FONT_HERSHEY_SIMPLEX, 0.6, (0, 0, 0), 1, cv2.LINE_AA)

    assert [line.text for line in reader.read(page).detections] == ["4471-882"]


@pytest.mark.parametrize("size", [4, 6])
def test_small_print_of_a_label_is_read(reader: Reader, size: float) -> None:
    texts = ["Net weight 250 g", "Made in Norway", "Batch 4471"]
    page = sheet(column(texts, size, 5, 12), 120, 86)

    assert recall(reader.read(page), texts) == 1.0


def test_a_single_line_on_an_empty_page_is_read(reader: Reader) -> None:
    assert [line.text for line in reader.read(sheet([(60, 300, "March 8, 1999", 12)])).detections] == [
        "March 8, 1999"
    ]


@pytest.mark.parametrize(
    ("dpi", "size"), [(144, 6), (144, 7), (144, 8), (144, 12), (144, 22), (200, 8), (300, 7), (300, 14)]
)
@pytest.mark.parametrize("font", ["helv", "cour"])
def test_two_lines_on_an_empty_page_are_read(reader: Reader, font: str, dpi: float, size: float) -> None:
    texts = ["Usual supper in the garden", "Telephone 245-799-4050"]
    page = sheet(column(texts, size, 60, 63), 612, 792, font, dpi / 72)

    assert recall(reader.read(page), texts) == 1.0


def test_a_short_line_and_the_long_one_above_it_that_is_askew_stay_two() -> None:
    askew = [(238, 378), (1550, 431), (1549, 460), (237, 407)]
    # Found level, because it is short.
    short = [(235, 409), (320, 409), (320, 438), (235, 438)]

    found = joined(Found(np.array([askew, short], np.float32), np.array([0.7, 0.8], np.float32)))

    assert len(found.boxes) == 2


def test_pieces_of_a_line_that_are_likely_stay_without_the_line_itself() -> None:
    def found(score: float, *spans: tuple[int, int]) -> Found:
        boxes = [[(x1, 500), (x2, 500), (x2, 540), (x1, 540)] for x1, x2 in spans]
        return Found(np.array(boxes, np.float32), np.full(len(spans), score, np.float32))

    pieces, line = found(0.8, (40, 325), (345, 626)), found(0.7, (40, 626))

    assert pieces.or_better(line).boxes[:, 0, 0].tolist() == [40, 345]
    assert len(found(0.8, (40, 325)).or_better(line).boxes) == 1


def test_a_short_word_of_a_line_that_runs_down_is_read(reader: Reader) -> None:
    page = np.rot90(sheet([(60, 40, "PAID", 14), (112, 40, "IN", 14), (140, 40, "FULL", 14)], 300, 80), -1)
    canvas = sheet(column(lines(20), x=130))
    canvas[300 : 300 + page.shape[0], 20 : 20 + page.shape[1]] = np.minimum(
        canvas[300 : 300 + page.shape[0], 20 : 20 + page.shape[1]], page
    )

    assert recall(reader.read(canvas), ["PAID", "IN", "FULL"]) == 1.0


@pytest.mark.parametrize("text", ["Page 3", "Chapter", "2026"])
def test_a_word_alone_on_a_page_is_read(reader: Reader, text: str) -> None:
    assert [line.text for line in reader.read(sheet([(300, 400, text, 14)])).detections] == [text]


def test_a_very_long_line_is_read(reader: Reader) -> None:
    texts = lines(1, words=90)

    assert recall(reader.read(sheet([(20, 40, texts[0], 12)], 3700, 80)), texts) >= 0.98


def test_a_minus_in_front_of_a_large_number_is_read(reader: Reader) -> None:
    page = sheet([(60, 120, "-70%", 48), (300, 120, "-3.5", 48)])
    page[np.all(page > 128, axis=2)] = (180, 120, 10)

    assert sorted(line.text for line in reader.read(page).detections) == ["-3.5", "-70%"]


@pytest.mark.parametrize("ground", [110, 127, 140])
def test_words_on_a_grey_ground_keep_their_spaces(reader: Reader, ground: int) -> None:
    texts = lines(8)
    page = sheet(column(texts))

    assert recall(reader.read(np.minimum(page, ground).astype(np.uint8)), texts) == 1.0


def test_a_speckled_page_is_read(reader: Reader) -> None:
    texts = lines(25)
    page = sheet(column(texts, 12))
    page[np.random.default_rng(7).random(page.shape[:2]) < 0.02] = 0

    assert recall(reader.read(page), texts) >= 0.97


def test_a_page_says_how_certain_it_is(reader: Reader) -> None:
    result = reader.read(sheet(column(lines(5))))

    assert result.page.confidence is not None
    assert result.page.confidence > 0.95
    assert result.warnings == ()
    assert reader.read(np.full((500, 400, 3), 255, np.uint8)).page.confidence is None


def test_a_script_that_is_not_known_has_a_warning(reader: Reader) -> None:
    # "Hello. This is a Korean document. Today the weather is good."
    korean = ["안녕하세요. 한국어 문서입니다.", "오늘은 날씨가 좋습니다.", "감사합니다."]

    result = reader.read(sheet(column(korean, 14), font="korea"))

    assert [warning.code for warning in result.warnings] == [Code.LOW_CONFIDENCE]
    assert "could not be read" in result.warnings[0].message
    assert "BUCKET_OCR_LANGUAGES" in result.warnings[0].message


def test_short_labels_in_a_script_that_is_not_known_have_a_warning(reader: Reader) -> None:
    latin = lines(18, words=3)
    korean = ["합계 금액", "전화 번호", "주문 번호"] * 6
    page = np.minimum(sheet(column(latin, 14, 300)), sheet(column(korean, 14), font="korea"))

    assert [warning.code for warning in reader.read(page).warnings] == [Code.LOW_CONFIDENCE]


def test_the_engine_tells_of_its_progress_within_a_page(reader: Reader) -> None:
    before = reader.steps
    reader.read(sheet(column(lines(40), 10)))

    # A look, and batches of four lines.
    assert reader.steps - before > 10


def test_lines_from_right_to_left_are_in_logical_order(tmp_path: Path) -> None:
    # Hebrew, for the order of its letters; a network gives them as it sees them, from the left.
    assert in_logical_order("\u05d3\u05d2\u05d1\u05d0") == "\u05d0\u05d1\u05d2\u05d3"
    texts = lines(2)

    assert recall(Reader(tmp_path, languages="arabic").read(sheet(column(texts))), texts) == 1.0


def test_a_thin_page_takes_no_more_memory_than_its_pixels(reader: Reader) -> None:
    assert reader.read(np.full((30_000, 2, 3), 255, np.uint8)).detections == ()
