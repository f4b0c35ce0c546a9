"""A page: the size it is rendered at, its image, and the result of reading that image."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from pydantic import BaseModel, Field

from consumer.domain.errors import Code
from consumer.domain.geometry import Quad
from consumer.domain.legibility import TextLine, low_confidence, mean_confidence
from consumer.domain.result import (
    Corners,
    Detection,
    Page,
    PageResult,
    Status,
    Warning,  # noqa: A004 - its name in the schema
    Word,
)

POINTS_PER_INCH: Final = 72.0

#: Far above any page (PDF ends at 14,400 points without user units), far below where floats overflow.
_MAX_SIDE: Final = 1e9


@dataclass(frozen=True, slots=True)
class PagePlan:
    """Size of the image of a page. `scale`: pixels per point; of an image, per pixel of its own."""

    width_px: int
    height_px: int
    scale: float
    downscaled: bool


#: Pictures for people are no larger; an A4 page at 144 dpi has fewer.
SHOWN_PIXELS: Final = 2_100_000


def plan_page(width: float, height: float, scale: float, max_pixels: int) -> PagePlan:
    """Size of the image of a page of `width` x `height` points (or own pixels, for an image).

    The wanted `scale` is lowered as far as needed to keep the image within `max_pixels`; no side
    becomes less than one pixel. Raises ValueError if a side is not a positive number, or absurd.
    """
    if not (0 < width <= _MAX_SIDE and 0 < height <= _MAX_SIDE and scale > 0 and max_pixels > 0):
        raise ValueError(f"a page of {width} x {height} cannot be rendered")
    downscaled = _pixels(width, height, scale) > max_pixels
    if downscaled:
        # Two steps: a side that would be under one pixel stays one, so the other must give way more.
        scale = min(math.sqrt(max_pixels / width / height), max_pixels / max(width, height))
        while _pixels(width, height, scale) > max_pixels:
            scale *= 0.999
    return PagePlan(_side(width * scale), _side(height * scale), scale, downscaled)


def _side(length: float) -> int:
    return max(1, round(length))


def _pixels(width: float, height: float, scale: float) -> int:
    return _side(width * scale) * _side(height * scale)


class PageImage(BaseModel, frozen=True, allow_inf_nan=False):
    """A page as pixels: rows of BGR bytes without padding in a file, in the frame of `geometry`.

    `dpi` is null for a page that is an image by itself. The caller of the renderer deletes the file.
    """

    kind: Literal["image"] = "image"
    page_number: int = Field(ge=1)
    path: str
    width_px: int = Field(ge=1)
    height_px: int = Field(ge=1)
    scale: float = Field(gt=0, description="pixels per point; of an image: per own pixel")
    dpi: float | None
    downscaled: bool = Field(description="smaller than wanted, to keep within the page limit")
    render_s: float = Field(ge=0)

    def result(self, lines: Sequence[TextLine], unread: Sequence[Quad] = (), **content: Any) -> PageResult:
        """Build the result of reading this image, without `engine_s`.

        `lines`: in reading order. `unread`: the corners of lines that were found and could not be read.
        `content`: further fields of `result.Page`; a dewarped page has a `width_px` and `height_px` of its
        own.
        """
        number = self.page_number
        fields = self.model_dump(include={"page_number", "width_px", "height_px", "scale", "dpi"})
        fields["confidence"] = mean_confidence(lines)
        return PageResult(
            page=Page(status=Status.SUCCESS, **fields | content),
            detections=tuple(
                Detection(
                    text=line.text,
                    box=_corners(line.quad),
                    confidence=line.confidence,
                    page_number=number,
                    words=_words(line),
                )
                for line in lines
            ),
            warnings=tuple(filter(None, (self._downscaled(), low_confidence(lines, unread, number)))),
            render_s=self.render_s,
        )

    def _downscaled(self) -> Warning | None:
        if not self.downscaled:
            return None
        message = (
            "the page is larger than BUCKET_OCR_MAX_PAGE_PIXELS allows; "
            f"it was read at scale {self.scale:.3g}"
        )
        return Warning(code=Code.PAGE_DOWNSCALED, message=message, page_number=self.page_number)


def _words(line: TextLine) -> tuple[Word, ...] | None:
    if line.words is None:
        return None
    return tuple(
        Word(text=word.text, box=_corners(word.quad), confidence=word.confidence) for word in line.words
    )


def _corners(quad: Quad) -> Corners:
    a, b, c, d = ((int(x), int(y)) for x, y in quad)
    return a, b, c, d
