"""Ordinary pages of known text are read, whatever their font, size, layout, state and direction."""

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import get_args

import numpy as np
import pytest

from consumer.domain.errors import Code
from consumer.domain.result import Detection, Page, PageResult, Status, Warning  # noqa: A004 - its name in the schema
from tests.reading.scores import Score, read_all, table
from tests.reading.sheets import Family, Layout, Sheet, State, draw, typeset
from tests.reading.sweep import sample, stamped, sweep, turned, upright


async def check(sheets: list[Sheet], folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scores = await read_all(sheets, folder)
    with capsys.disabled():
        print(f"\n{table(scores)}")  # noqa: T201
    # Silent losses are among them.
    below = sorted(str(score) for score in scores if score.is_below)
    assert not below, "\n".join(["recall, page and lost words:", *below])


@pytest.mark.corpus
async def test_forty_pages_of_all_kinds_are_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    await check(sample(), tmp_path, capsys)


@pytest.mark.soak
@pytest.mark.timeout(7200)
async def test_all_pages_of_the_sweep_are_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    await check(sweep(), tmp_path, capsys)


def test_the_sweep_has_pages_of_all_kinds() -> None:
    plain = upright()
    assert len(plain) >= 400
    kinds = {(sheet.layout, sheet.state, sheet.family) for sheet in plain}
    assert len(kinds) == len(get_args(Layout)) * len(get_args(State)) * len(get_args(Family))
    assert {min(sheet.size_pt for sheet in plain), max(sheet.size_pt for sheet in plain)} == {7, 14}
    assert {min(sheet.lines for sheet in plain), max(sheet.lines for sheet in plain)} == {1, 60}
    turns = Counter((sheet.name.partition("-turned")[0], sheet.turn) for sheet in turned())
    assert len(turns) == 300
    assert set(turns.values()) == {1}
    assert {name for name, _ in turns} <= {sheet.name for sheet in plain}
    assert len(stamped()) == 50
    assert all(sheet.stamp is not None for sheet in stamped())


def test_the_sample_is_of_all_kinds() -> None:
    names = [sheet.name for sheet in sample()]
    assert len(set(names)) == 40
    assert set(names) <= {sheet.name for sheet in sweep()}
    assert {sheet.kind for sheet in sample()} == {sheet.kind for sheet in sweep()}


@pytest.mark.parametrize("sheet", upright()[::10] + stamped(), ids=lambda sheet: sheet.name)
def test_the_truth_of_a_page_is_what_stands_on_it(sheet: Sheet) -> None:
    text = typeset(sheet)
    page = text.document[0]
    on_page = Counter(str(word[4]) for word in page.get_text("words", clip=page.rect))
    assert on_page == Counter(" ".join(text.lines + text.stamp).split())


@pytest.mark.parametrize("sheet", stamped(), ids=lambda sheet: sheet.name)
def test_a_stamp_stands_in_a_free_place(sheet: Sheet) -> None:
    text = typeset(sheet)
    page = text.document[0]
    assert text.stamp_box in page.rect
    in_box = Counter(str(word[4]) for word in page.get_text("words") if text.stamp_box.intersects(word[:4]))
    assert in_box == Counter(" ".join(text.stamp).split())


@pytest.mark.parametrize("sheet", turned()[::29], ids=lambda sheet: sheet.name)
def test_a_turned_page_is_the_upright_one_turned(sheet: Sheet) -> None:
    (plain,) = (plain for plain in upright() if sheet.name.startswith(f"{plain.name}-"))
    first, second = typeset(sheet), typeset(plain)
    assert first.lines == second.lines
    pixels = draw(second.document[0], plain)
    # numpy turns counter-clockwise.
    np.testing.assert_array_equal(draw(first.document[0], sheet), np.rot90(pixels, -sheet.turn // 90))


def read_as(*lines: str, warnings: tuple[Code, ...] = ()) -> PageResult:
    """The result of a page on which these lines were read."""
    return PageResult(
        page=Page(page_number=1, status=Status.SUCCESS, width_px=9, height_px=9, scale=1.0),
        detections=tuple(
            Detection(text=line, box=((0, 0), (9, 0), (9, 9), (0, 9)), confidence=1.0, page_number=1)
            for line in lines
        ),
        warnings=tuple(Warning(code=code, message="", page_number=1) for code in warnings),
    )


def score(sheet: Sheet, result: PageResult, lines: str, stamp: str = "") -> Score:
    return Score.of(sheet, replace(typeset(sheet), lines=(lines,), stamp=(stamp,)), result)


def test_a_word_that_stands_twice_on_a_page_must_be_read_twice() -> None:
    result = score(upright()[0], read_as("walnut soap", "and salt"), "walnut soap and walnut salt")
    assert (result.recall, result.lost) == (0.8, ("walnut",))


def test_a_lost_stamp_counts_for_itself_on_a_long_page() -> None:
    lines = " ".join(["walnut", "soap"] * 100)
    result = score(stamped()[0], read_as(lines, "PAID"), lines, "PAID walnut")
    assert (result.recall, result.lost) == (0.5, ("walnut",))


def test_a_loss_is_silent_without_a_warning() -> None:
    assert score(upright()[0], read_as("walnut"), "walnut soap").is_silent_loss
    warned = read_as("walnut", warnings=(Code.PAGE_DOWNSCALED,))
    assert not score(upright()[0], warned, "walnut soap").is_silent_loss
    assert score(upright()[0], warned, "walnut soap").is_below
