"""Pages of any size are read at their own size, and however many lines they have."""

import cv2
import numpy as np
import pytest

from tests.structure.conftest import NewEngine, NewZoo
from tests.structure.engine import Page, texts
from tests.structure.zoo import Box

#: The whole page: PaddleX makes a block of every line where it finds none, and takes long to order them.
PAGE = Box("text", 0.0, 0.0, 1.0, 1.0)


def screenshot(width: int, height: int, lines: int) -> tuple[Page, list[str]]:
    """A page with small print, capitals 11 pixels high, at equal distances along its longer side."""
    page, said = np.full((height, width, 3), 255, np.uint8), []
    for n in range(lines):
        x, y = (width * n // lines + 20, height // 2) if width > height else (40, height * n // lines + 40)
        said.append(f"ship{n:02}left")
        cv2.putText(
            page, f"Ship {n:02} left", (x, y), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (0, 0, 0), 1, cv2.LINE_AA
        )
    return page, said


@pytest.mark.parametrize(("width", "height"), [(600, 20_000), (20_000, 500)])
def test_small_print_on_a_long_page_is_read(
    width: int, height: int, new_zoo: NewZoo, new_engine: NewEngine
) -> None:
    page, said = screenshot(width, height, lines=24)
    read = new_engine(new_zoo(PAGE).pipeline()).read_one(page)
    assert texts(read) == said


def test_no_line_is_dropped_however_many_there_are(new_zoo: NewZoo, new_engine: NewEngine) -> None:
    rows, columns = 60, 20
    page = np.full((30 * rows, 60 * columns, 3), 255, np.uint8)
    for n in range(rows * columns):
        place = (60 * (n % columns) + 8, 30 * (n // columns) + 22)
        cv2.putText(page, "88", place, cv2.FONT_HERSHEY_SIMPLEX, 0.7, (0, 0, 0), 2)
    zoo = new_zoo(PAGE)
    zoo.reads("88")
    assert texts(new_engine(zoo.pipeline()).read_one(page)) == ["88"] * rows * columns
