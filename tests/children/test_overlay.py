"""Pictures of what was found."""

import base64
import io
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from consumer.child.overlay import overlay
from consumer.domain.result import Block, Box, Detection, Page, PageResult, Status, Table

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
    # The label stands above the block, on its colour.
    assert colour(drawn, 351, 197) == text
    assert (255, 255, 255) in drawn.crop((350, 188, 400, 198)).convert("RGB").get_flattened_data()
    assert colour(drawn, 440, 460) == CELL


@pytest.mark.parametrize("count", [1, 3])
def test_captions_cover_neither_lines_nor_each_other(count: int) -> None:
    """Of blocks round a line, right below another."""
    corners = [((100, top), (300, top), (300, top + 36), (100, top + 36)) for top in (62, 102)]
    lines = tuple(Detection(text="a", box=box, confidence=1, page_number=1) for box in corners)
    block = Block(label="text", box=(100, 100, 300, 140), order=1, content="", confidence=1)
    page = result(blocks=(block,) * count).model_copy(update={"detections": lines})
    drawn = overlay(Image.new("RGB", (600, 800), "white"), page).convert("RGB")
    for top in (62, 102):
        inside = drawn.crop((106, top + 6, 294, top + 30))
        assert inside.getcolors() == [(188 * 24, (255, 255, 255))]
    # Letters are white.
    drawn.paste((255, 255, 255), (100, 100, 301, 141))
    ground = Counter(drawn.get_flattened_data())[0, 110, 40]
    assert ground > count * 180


@pytest.mark.parametrize("box", [(0, 0, 20, 20), (590, 0, 600, 20), (0, 790, 20, 800), (590, 790, 600, 800)])
def test_the_caption_of_a_block_at_the_edge_is_on_the_picture(box: Box) -> None:
    block = Block(label="text", box=box, order=1, content="", confidence=1)
    drawn = overlay(Image.new("RGB", (600, 800), "white"), result(blocks=(block,))).convert("RGB")
    # It is longer than the block.
    drawn.paste((255, 255, 255), (box[0], box[1], box[2] + 1, box[3] + 1))
    assert Counter(drawn.get_flattened_data())[0, 110, 40] > 30


def test_the_place_of_a_line_in_the_order_stands_before_its_start() -> None:
    drawn = overlay(Image.new("RGB", (600, 800), "white"), result())
    assert START in drawn.crop((70, 110, 95, 130)).convert("RGB").get_flattened_data()


def test_the_place_of_a_turned_line_stands_before_its_start() -> None:
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
    picture = overlay(Image.effect_noise((1190, 1684), 60), result(1190, 1684))
    picture.save(path, "PNG")
    with Image.open(path) as image:
        assert (image.format, image.mode) == ("PNG", "P")
    assert path.stat().st_size < 2_000_000
