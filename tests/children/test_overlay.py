"""Pictures of what was found."""

import base64
import io
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from consumer.child.overlay import overlay, save_overlay
from consumer.domain.result import Block, Detection, Page, PageResult, Status, Table

LINE, START, CELL = (200, 20, 20), (20, 60, 200), (0, 140, 140)


def result(width: int = 600, height: int = 800, **content: Any) -> PageResult:
    page = Page(page_number=1, status=Status.SUCCESS, width_px=width, height_px=height, scale=2.0, **content)
    box = ((100, 100), (300, 100), (300, 140), (100, 140))
    line = Detection(text="Total", box=box, confidence=1, page_number=1)
    return PageResult(page=page, detections=(line,))


def colour(image: Image.Image, x: int, y: int) -> object:
    return image.convert("RGB").getpixel((x, y))


@pytest.mark.parametrize("mode", ["RGB", "L", "1"])
def test_lines_are_outlined_from_where_they_start(mode: str) -> None:
    drawn = overlay(Image.new(mode, (600, 800), "white"), result())
    assert drawn.size == (600, 800)
    assert colour(drawn, 100, 100) == START
    assert {colour(drawn, x, y) for x, y in ((200, 100), (300, 120), (200, 140), (100, 120))} == {LINE}
    assert colour(drawn, 200, 120) == (255, 255, 255)


def test_cells_and_blocks_are_outlined_in_colours_by_their_labels() -> None:
    blocks = [
        Block(label=label, box=(350, top, 550, top + 80), order=order, content="", confidence=1)
        for order, (label, top) in enumerate((("text", 200), ("text", 300), ("table", 400)), 1)
    ]
    table = Table(
        box=(350, 400, 550, 480), html="<table>", cells=((360, 410, 440, 470), (440, 410, 540, 470))
    )
    page = result(blocks=blocks, tables=(table,))
    drawn = overlay(Image.new("RGB", (600, 800), "white"), page)
    text, other_text, other = (colour(drawn, 450, top + 80) for top in (200, 300, 400))
    assert text == other_text != other
    # The label stands on the colour of the block.
    assert colour(drawn, 351, 203) == text
    assert (255, 255, 255) in drawn.crop((350, 200, 400, 210)).convert("RGB").get_flattened_data()
    assert colour(drawn, 440, 460) == CELL


def test_captions_and_numbers_hide_no_text() -> None:
    inside = Block(label="text", box=(95, 95, 500, 145), order=1, content="", confidence=1)
    under = Block(label="table", box=(95, 143, 500, 240), order=2, content="", confidence=1)
    drawn = overlay(Image.new("RGB", (600, 800), "white"), result(blocks=[inside, under]))
    line = drawn.crop((110, 103, 290, 137)).convert("RGB")
    assert line.getcolors() == [(180 * 34, (255, 255, 255))]
    assert START in drawn.crop((70, 110, 95, 130)).convert("RGB").get_flattened_data()


def test_a_caption_stays_on_the_page() -> None:
    edge = Block(label="paragraph_title", box=(560, 0, 600, 20), order=1, content="", confidence=1)
    drawn = overlay(Image.new("RGB", (600, 800), "white"), result(blocks=[edge]))
    # At its left end there is the colour of the block, far left of the block itself.
    assert colour(drawn, 530, 6) not in {(255, 255, 255), LINE, START}


def test_the_number_of_a_turned_line_is_before_its_start() -> None:
    box = ((300, 140), (100, 140), (100, 100), (300, 100))
    line = Detection(text="Total", box=box, confidence=1, page_number=1)
    drawn = overlay(Image.new("RGB", (600, 800), "white"), PageResult(page=result().page, detections=(line,)))
    assert START in drawn.crop((305, 110, 330, 130)).convert("RGB").get_flattened_data()
    assert drawn.crop((110, 110, 290, 130)).convert("RGB").getcolors() == [(180 * 20, (255, 255, 255))]


def test_the_darkest_of_the_page_is_paler_than_what_is_drawn() -> None:
    drawn = overlay(Image.new("RGB", (600, 800), "black"), result())
    assert colour(drawn, 500, 500) == (80, 80, 80)


def test_large_pages_are_made_smaller_with_their_boxes() -> None:
    drawn = overlay(Image.new("L", (6000, 8000), 255), result())
    assert drawn.width * drawn.height <= 2_100_000
    scale = drawn.width / 600
    assert colour(drawn, round(200 * scale), round(100 * scale)) == LINE


def test_the_image_may_have_another_size_than_what_was_read() -> None:
    drawn = overlay(Image.new("L", (300, 400), 255), result())
    assert colour(drawn, 100, 50) == LINE


def test_a_flattened_page_is_shown_as_it_was_read() -> None:
    packed = io.BytesIO()
    Image.new("L", (600, 800), 255).save(packed, "PNG")
    flattened = f"data:image/png;base64,{base64.b64encode(packed.getvalue()).decode()}"
    drawn = overlay(Image.new("L", (50, 50), 0), result(flattened_image=flattened))
    assert drawn.size == (600, 800)
    assert colour(drawn, 500, 500) == (255, 255, 255)


def test_an_overlay_is_a_small_png(tmp_path: Path) -> None:
    path = tmp_path / "page.png"
    save_overlay(Image.effect_noise((1190, 1684), 60), result(1190, 1684), path)
    with Image.open(path) as image:
        assert (image.format, image.mode) == ("PNG", "P")
    assert path.stat().st_size < 2_000_000
