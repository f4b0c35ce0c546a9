"""A page as a picture with what was found on it: lines, blocks and cells of tables, in their order.

Captions of blocks stand where they cover least of the lines, of their numbers, and of each other.
"""

import base64
import io
import math
from collections.abc import Iterator
from typing import Final

from PIL import Image, ImageDraw, ImageFont

from consumer.domain.geometry import Point, between
from consumer.domain.page import SHOWN_PIXELS
from consumer.domain.result import Block, Box, Corner, Detection, Page, PageResult

#: The page is shown in so many greys, from this one on, so that the colours stand out and the file is small.
_GREYS: Final = 64
_DARKEST: Final = 80

#: Of cells, of lines and of where these start; then those of blocks, by their labels.
_CELL, _LINE, _START = (0, 140, 140), (200, 20, 20), (20, 60, 200)
_BLOCKS: Final = ((0, 110, 40), (150, 60, 180), (190, 90, 0), (0, 100, 170), (160, 30, 90), (100, 100, 20))
_ON_COLOUR: Final = (255, 255, 255)

#: Height of captions, and the width of strokes, in parts of the longer side.
_CAPTION, _STROKE = 1 / 110, 1 / 900

#: Between a caption and the edge of its ground, in pixels.
_PADDING: Final = 2


def overlay(image: Image.Image, result: PageResult) -> Image.Image:
    """Draw what was found on a page over its image; returns a picture of at most 2.1 million pixels.

    `image`: the page as rendered, in any size. A page that was flattened is shown as it was read.
    """
    drawing = _Drawing(_flattened(result.page) or image, result.page)
    for table in result.page.tables:
        for cell in table.cells:
            drawing.box(cell, _CELL)
    labels: dict[str, int] = {}
    colours = []
    for block in result.page.blocks:
        number = labels.setdefault(block.label, len(labels))
        colours.append(_BLOCKS[number % len(_BLOCKS)])
        drawing.box(block.box, colours[-1], is_bold=True)
    for number, line in enumerate(result.detections, 1):
        drawing.line(line, number)
    for block, colour in zip(result.page.blocks, colours, strict=True):
        drawing.caption(block, colour)
    return drawing.picture


def _flattened(page: Page) -> Image.Image | None:
    if page.flattened_image is None:
        return None
    return Image.open(io.BytesIO(base64.b64decode(page.flattened_image.partition(",")[2])))


class _Drawing:
    """The picture in the making; boxes are given in pixels of the page."""

    def __init__(self, image: Image.Image, page: Page) -> None:
        shrunk = min(1.0, math.sqrt(SHOWN_PIXELS / image.width / image.height))
        size = max(1, round(image.width * shrunk)), max(1, round(image.height * shrunk))
        self.picture = image.convert("L").resize(size, Image.Resampling.BOX)
        self.picture = self.picture.point([value * _GREYS // 256 for value in range(256)])
        greys = [_DARKEST + (255 - _DARKEST) * value // (_GREYS - 1) for value in range(_GREYS)]
        self.picture.putpalette([grey for grey in greys for _ in range(3)])
        self._draw = ImageDraw.Draw(self.picture)
        self._font = ImageFont.load_default(max(8.0, _CAPTION * max(size)))
        self._stroke = max(1, round(_STROKE * max(size)))
        self._scale = size[0] / (page.width_px or size[0]), size[1] / (page.height_px or size[1])
        # White where something stands that no caption should cover.
        self._taken = Image.new("L", size)
        self._take = ImageDraw.Draw(self._taken)

    def box(self, box: Box, colour: tuple[int, int, int], *, is_bold: bool = False) -> None:
        """Draw the outline of an upright box."""
        width = 2 * self._stroke if is_bold else 1
        self._draw.rectangle([self._point(box[:2]), self._point(box[2:])], outline=colour, width=width)

    def line(self, line: Detection, number: int) -> None:
        """Draw a line of text, with its place in the order before its start."""
        start, end, _, below_start = corners = [self._point(corner) for corner in line.box]
        self._draw.polygon(corners, outline=_LINE, width=self._stroke)
        self._draw.circle(start, 2 * self._stroke, fill=_START)
        text = str(number)
        left, top, right, bottom = self._draw.textbbox((0, 0), text, font=self._font, anchor="mm")
        length = math.dist(start, end) or 1.0
        along_x, along_y = (end.x - start.x) / length, (end.y - start.y) / length
        gap = 3 * self._stroke + (abs(along_x) * (right - left) + abs(along_y) * (bottom - top)) / 2
        middle = between(start, below_start, 0.5)
        x, y = middle.x - gap * along_x, middle.y - gap * along_y
        self._draw.text((x, y), text, fill=_START, font=self._font, anchor="mm")
        self._take.polygon(corners, fill=255)
        self._take.rectangle((x + left, y + top, x + right, y + bottom), fill=255)

    def caption(self, block: Block, colour: tuple[int, int, int]) -> None:
        """Draw the label of a block, and its place in the order, at one of its corners."""
        text = block.label if block.order is None else f"{block.order} {block.label}"
        _, _, width, height = self._draw.textbbox((_PADDING, _PADDING), text, font=self._font, anchor="lt")
        size = math.ceil(width) + _PADDING, math.ceil(height) + _PADDING
        # Of the places that cover least, the first.
        left, top, right, bottom = min(self._grounds(block.box, size), key=self._covered)
        self._draw.rectangle((left, top, right - 1, bottom - 1), fill=colour)
        self._take.rectangle((left, top, right - 1, bottom - 1), fill=255)
        place = left + _PADDING, top + _PADDING
        self._draw.text(place, text, fill=_ON_COLOUR, font=self._font, anchor="lt")

    def _grounds(self, box: Box, size: tuple[int, int]) -> Iterator[tuple[int, int, int, int]]:
        """Yield where a caption of this size may stand: at the corners of a box, outside and inside of it."""
        (left, top), (right, bottom) = self._point(box[:2]), self._point(box[2:])
        width, height = size
        beside = [(x, y) for x in (left - width, right) for y in (top, bottom - height)]
        above = [(x, y) for y in (top - height, top) for x in (left, right - width)]
        below = [(x, y) for y in (bottom, bottom - height) for x in (left, right - width)]
        for x, y in (*above, *beside, *below):
            x1 = max(0, min(round(x), self.picture.width - width))
            y1 = max(0, min(round(y), self.picture.height - height))
            yield x1, y1, x1 + width, y1 + height

    def _covered(self, ground: tuple[int, int, int, int]) -> int:
        """How many pixels are taken there."""
        return self._taken.crop(ground).histogram()[-1]

    def _point(self, corner: Corner) -> Point:
        return Point(corner[0] * self._scale[0], corner[1] * self._scale[1])
