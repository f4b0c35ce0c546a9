"""A page as a picture with what was found on it: lines, blocks and cells of tables, in their order."""

import base64
import io
import math
from typing import BinaryIO, Final

from PIL import Image, ImageDraw, ImageFont

from consumer.domain.result import Block, Box, Corner, Detection, Page, PageResult

#: Larger pictures are made smaller; an A4 page at 144 dpi is not.
_MOST_PIXELS: Final = 2_100_000

#: The page is shown in so many greys, from this one on, so that the colours stand out and the file is small.
_GREYS: Final = 64
_DARKEST: Final = 80

#: Of cells, of lines and of where these start; then those of blocks, by their labels.
_CELL, _LINE, _START = (0, 140, 140), (200, 20, 20), (20, 60, 200)
_BLOCKS: Final = ((0, 110, 40), (150, 60, 180), (190, 90, 0), (0, 100, 170), (160, 30, 90), (100, 100, 20))
_ON_COLOUR: Final = (255, 255, 255)

#: Height of captions, and the width of strokes, in parts of the longer side.
_CAPTION, _STROKE = 1 / 110, 1 / 900


def save_overlay(image: Image.Image, result: PageResult, file: BinaryIO) -> None:
    """Save `overlay(image, result)` as a PNG."""
    overlay(image, result).save(file, "PNG")


def overlay(image: Image.Image, result: PageResult) -> Image.Image:
    """Draw what was found on a page over its image; returns a picture of at most 2.1 million pixels.

    `image`: the page as rendered, in any size. A page that was flattened is shown as it was read.
    """
    drawing = _Drawing(_flattened(result.page) or image, result.page)
    for table in result.page.tables:
        for cell in table.cells:
            drawing.box(cell, _CELL)
    labels: dict[str, int] = {}
    for block in result.page.blocks:
        number = labels.setdefault(block.label, len(labels))
        drawing.block(block, _BLOCKS[number % len(_BLOCKS)])
    for number, line in enumerate(result.detections, 1):
        drawing.line(line, number)
    return drawing.picture


def _flattened(page: Page) -> Image.Image | None:
    if page.flattened_image is None:
        return None
    return Image.open(io.BytesIO(base64.b64decode(page.flattened_image.partition(",")[2])))


class _Drawing:
    """The picture in the making; boxes are given in pixels of the page."""

    def __init__(self, image: Image.Image, page: Page) -> None:
        shrunk = min(1.0, math.sqrt(_MOST_PIXELS / image.width / image.height))
        size = max(1, round(image.width * shrunk)), max(1, round(image.height * shrunk))
        self.picture = image.convert("L").resize(size, Image.Resampling.BOX)
        self.picture = self.picture.point([value * _GREYS // 256 for value in range(256)])
        greys = [_DARKEST + (255 - _DARKEST) * value // (_GREYS - 1) for value in range(_GREYS)]
        self.picture.putpalette([grey for grey in greys for _ in range(3)])
        self._draw = ImageDraw.Draw(self.picture)
        self._font = ImageFont.load_default(max(8.0, _CAPTION * max(size)))
        self._stroke = max(1, round(_STROKE * max(size)))
        self._scale = size[0] / (page.width_px or size[0]), size[1] / (page.height_px or size[1])

    def box(self, box: Box, colour: tuple[int, int, int], *, width: int = 1) -> None:
        """Draw the outline of an upright box."""
        self._draw.rectangle([self._point(box[:2]), self._point(box[2:])], outline=colour, width=width)

    def block(self, block: Block, colour: tuple[int, int, int]) -> None:
        """Draw a block, with its place in the order and its label at its upper left corner."""
        self.box(block.box, colour, width=2 * self._stroke)
        caption = block.label if block.order is None else f"{block.order} {block.label}"
        left, top = self._point(block.box[:2])
        left, top, right, bottom = self._draw.textbbox((left, max(top, 0)), caption, font=self._font)
        self._draw.rectangle((left, top, right + 4, bottom + 4), fill=colour)
        self._draw.text((left + 2, top + 2), caption, fill=_ON_COLOUR, font=self._font, anchor="lt")

    def line(self, line: Detection, number: int) -> None:
        """Draw a line of text, with its place in the order where it starts."""
        corners = [self._point(corner) for corner in line.box]
        self._draw.polygon(corners, outline=_LINE, width=self._stroke)
        self._draw.circle(corners[0], 2 * self._stroke, fill=_START)
        left, top = corners[0][0] - 3 * self._stroke, corners[0][1]
        self._draw.text((left, top), str(number), fill=_START, font=self._font, anchor="rm")

    def _point(self, corner: Corner) -> tuple[float, float]:
        return corner[0] * self._scale[0], corner[1] * self._scale[1]
