"""Page images stay within their limit; the result of a page is the same, byte for byte, as it was."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consumer.domain.geometry import Point
from consumer.domain.legibility import TextLine
from consumer.domain.page import PageImage, plan_page
from consumer.domain.result import Block, Formula, Table

LENGTH = st.floats(1e-300, 1e9)
SCALE = st.floats(0.5, 17)
LIMIT = st.integers(10_000, 10**9)


@given(LENGTH, LENGTH, SCALE, LIMIT)
@settings(deadline=None)
def test_no_page_becomes_an_image_over_the_limit_or_without_pixels(
    width: float, height: float, scale: float, limit: int
) -> None:
    plan = plan_page(width, height, scale, limit)
    assert plan.width_px * plan.height_px <= limit
    assert min(plan.width_px, plan.height_px) >= 1
    assert 0 < plan.scale <= scale
    assert plan.downscaled is (plan.scale < scale)


@given(st.floats(1, 1e5), st.floats(1, 1e5), SCALE, st.integers(1, 10**9))
@settings(deadline=None)
def test_a_page_is_downscaled_only_when_it_does_not_fit_and_then_no_more_than_needed(
    width: float, height: float, scale: float, limit: int
) -> None:
    wanted = max(1, round(width * scale)) * max(1, round(height * scale))
    plan = plan_page(width, height, scale, limit)
    assert plan.downscaled is (wanted > limit)
    assert plan.width_px == max(1, round(width * plan.scale))
    assert plan.height_px == max(1, round(height * plan.scale))
    if plan.downscaled:
        larger = plan.scale * 1.002
        assert (round(width * larger) + 1) * (round(height * larger) + 1) > limit * 0.9


@pytest.mark.parametrize(
    ("width", "height", "scale", "limit"),
    [
        (0, 1, 2, 100),
        (1, -1, 2, 100),
        (math.nan, 1, 2, 100),
        (1, math.inf, 2, 100),
        (1e308, 1, 2, 100),
        (1e200, 1e200, 2, 100),
        (1, 1, 0, 100),
        (1, 1, 2, 0),
    ],
)
def test_a_page_without_a_size_or_of_an_absurd_one_is_refused(
    width: float, height: float, scale: float, limit: int
) -> None:
    with pytest.raises(ValueError, match="cannot be rendered"):
        plan_page(width, height, scale, limit)


IMAGE = PageImage(
    page_number=3,
    path="/w/3.bgr",
    width_px=90,
    height_px=80,
    scale=1.2345678,
    dpi=88.888,
    downscaled=True,
    render_s=0.51234,
)


def test_the_result_of_an_image_has_its_frame_its_lines_and_a_warning_if_it_was_downscaled() -> None:
    box = (Point(0.0, 0.0), Point(9.0, 0.0), Point(9.0, 8.0), Point(0.0, 8.0))
    page = IMAGE.result(
        [TextLine(box, "Größe", 0.1 + 0.2)],
        width_px=70,
        height_px=60,
        angle=90,
        blocks=(Block(label="text", box=(0, 0, 9, 8), order=1, content="x", confidence=0.5),),
        tables=(Table(box=(0, 0, 9, 8), html="<t>", cells=((0, 0, 1, 1),)),),
        formulas=(Formula(box=(0, 0, 1, 1), latex="x"),),
        markdown="# x",
        flattened_image="data:x",
    )
    assert page.model_copy(update={"engine_s": 0.125}).model_dump_json() == (
        '{"page":{"page_number":3,"status":"SUCCESS","width_px":70,"height_px":60,"scale":1.2345678,'
        '"dpi":88.888,"angle":90,"confidence":0.30000000000000004,"blocks":[{"label":"text",'
        '"box":[0,0,9,8],"order":1,"content":"x","confidence":0.5}],"tables":[{"box":[0,0,9,8],"html":"<t>","cells":[[0,0,1,1]]}],'
        '"formulas":[{"box":[0,0,1,1],"latex":"x"}],"markdown":"# x","flattened_image":"data:x"},'
        '"detections":[{"text":"Größe","box":[[0,0],[9,0],[9,8],[0,8]],"confidence":0.30000000000000004,'
        '"page_number":3}],"warnings":[{"code":"PAGE_DOWNSCALED","message":"the page is larger than '
        'BUCKET_OCR_MAX_PAGE_PIXELS allows; it was read at scale 1.23","page_number":3},'
        '{"code":"LOW_CONFIDENCE","message":"1 of 1 lines could not be read with confidence, 0 of them not '
        "at all: a script that this recogniser does not know (see BUCKET_OCR_LANGUAGES), handwriting, "
        'or a bad scan","page_number":3}],'
        '"render_s":0.51234,"engine_s":0.125}'
    )


def test_an_empty_page_is_its_frame() -> None:
    image = IMAGE.model_copy(update={"downscaled": False, "dpi": None})
    assert image.result([]).model_dump_json() == (
        '{"page":{"page_number":3,"status":"SUCCESS","width_px":90,"height_px":80,"scale":1.2345678,'
        '"dpi":null,"angle":0,"confidence":null,"blocks":[],"tables":[],"formulas":[],"markdown":"","flattened_image":null},'
        '"detections":[],"warnings":[],"render_s":0.51234,"engine_s":0.0}'
    )
