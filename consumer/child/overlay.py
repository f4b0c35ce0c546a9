"""A page as a picture with what was found on it: lines, blocks and cells of tables, in their order."""

import base64
import io
import math
from pathlib import Path
from typing import Final

from PIL import Image, ImageDraw, ImageFont

from consumer.domain.geometry import Point, Rect, between, bounds, common_area
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

#: Round the letters of a caption, in pixels.
_MARGIN: Final = 2


def save_overlay(image: Image.Image, result: PageResult, path: Path) -> None:
    """Save `overlay(image, result)` as a PNG."""
    overlay(image, result).save(path, "PNG")


def overlay(image: Image.Image, result: PageResult) -> Image.Image:
    """Draw what was found on a page over its image; returns a picture of at most 2.1 million pixels.

    `image`: the page as rendered, in any size. A page that was flattened is shown as it was read.
    """
    drawing = _Drawing(_flattened(result.page) or image, result.page)
    for table in result.page.tables:
        for cell in table.cells:
            drawing.box(cell, _CELL)
    labels = list(dict.fromkeys(block.label for block in result.page.blocks))
    colours = [_BLOCKS[labels.index(block.label) % len(_BLOCKS)] for block in result.page.blocks]
    for block, colour in zip(result.page.blocks, colours, strict=True):
        drawing.block(block, colour)
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
        shrunk = min(1.0, math.sqrt(_MOST_PIXELS / image.width / image.height))
        size = max(1, round(image.width * shrunk)), max(1, round(image.height * shrunk))
        self.picture = image.convert("L").resize(size, Image.Resampling.BOX)
        self.picture = self.picture.point([value * _GREYS // 256 for value in range(256)])
        greys = [_DARKEST + (255 - _DARKEST) * value // (_GREYS - 1) for value in range(_GREYS)]
        self.picture.putpalette([grey for grey in greys for _ in range(3)])
        self._draw = ImageDraw.Draw(self.picture)
        self._font = ImageFont.load_default(max(8.0, _CAPTION * max(size)))
        self._stroke = max(1, round(_STROKE * max(size)))
        # By lines and their numbers, and by captions.
        self._taken: list[Rect] = []
        self._scale = size[0] / (page.width_px or size[0]), size[1] / (page.height_px or size[1])

    def box(self, box: Box, colour: tuple[int, int, int], *, width: int = 1) -> None:
        """Draw the outline of an upright box."""
        self._draw.rectangle([self._point(box[:2]), self._point(box[2:])], outline=colour, width=width)

    def block(self, block: Block, colour: tuple[int, int, int]) -> None:
        """Draw the outline of a block."""
        self.box(block.box, colour, width=2 * self._stroke)

    def line(self, line: Detection, number: int) -> None:
        """Draw a line of text, with its place in the order before its start."""
        start, end, below_end, below_start = map(self._point, line.box)
        self._draw.polygon([start, end, below_end, below_start], outline=_LINE, width=self._stroke)
        self._draw.circle(start, 2 * self._stroke, fill=_START)
        text = str(number)
        left, top, right, bottom = self._draw.textbbox((0, 0), text, font=self._font, anchor="mm")
        length = math.hypot(end.x - start.x, end.y - start.y) or 1.0
        along = Point((end.x - start.x) / length, (end.y - start.y) / length)
        gap = 3 * self._stroke + (abs(along.x) * (right - left) + abs(along.y) * (bottom - top)) / 2
        middle = between(start, below_start, 0.5)
        x, y = middle.x - gap * along.x, middle.y - gap * along.y
        self._draw.text((x, y), text, fill=_START, font=self._font, anchor="mm")
        self._taken.append(bounds((start, end, below_end, below_start)))
        self._taken.append(Rect(x + left, y + top, x + right, y + bottom))

    def caption(self, block: Block, colour: tuple[int, int, int]) -> None:
        """Draw a block's place in the order and its label, where they hide the least of what is drawn."""
        text = block.label if block.order is None else f"{block.order} {block.label}"
        _, _, width, height = self._draw.textbbox((_MARGIN, _MARGIN), text, font=self._font, anchor="lt")
        width, height = width + _MARGIN, height + _MARGIN
        (x1, y1), (x2, y2) = self._point(block.box[:2]), self._point(block.box[2:])
        # At its upper left corner, above it, at the right end of its last line, beside it, below it.
        corners = [(x1, y1), (x1, y1 - height), (x2 - width, y1 - height), (x2 - width, y2 - height)]
        corners += [(x2, y1), (x1, y2), (x2 - width, y2)]
        free_x, free_y = self.picture.width - width, self.picture.height - height
        places = [
            Rect(x, y, x + width, y + height)
            for x, y in ((max(0.0, min(x, free_x)), max(0.0, min(y, free_y))) for x, y in corners)
        ]
        place = min(places, key=lambda each: sum(common_area(each, other) for other in self._taken))
        self._taken.append(place)
        self._draw.rectangle(place, fill=colour)
        origin = place.x1 + _MARGIN, place.y1 + _MARGIN
        self._draw.text(origin, text, fill=_ON_COLOUR, font=self._font, anchor="lt")

    def _point(self, corner: Corner) -> Point:
        return Point(corner[0] * self._scale[0], corner[1] * self._scale[1])
