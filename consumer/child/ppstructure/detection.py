"""Input for PaddleX's pipeline and its detector of lines: pages of any size, as large as print needs."""

from collections.abc import Callable, Sequence
from typing import Any, Final

import cv2
import numpy as np

from consumer.child.pixels import Image
from consumer.domain.geometry import PageTransform

#: PaddleX keeps coordinates in 16 bits.
_LONGEST_PX: Final = 32_000

#: PaddleX fails on smaller images: their crops are empty.
_SMALLEST_PX: Final = 32

_WHITE: Final = (255, 255, 255)


def model_input(page: Image) -> tuple[Image, PageTransform]:
    """Return the page as input for the pipeline, and its transform back to the page."""
    height, width = page.shape[:2]
    image = page
    if (downscale := min(1.0, _LONGEST_PX / max(height, width))) < 1.0:
        size = (max(1, round(width * downscale)), max(1, round(height * downscale)))
        image = np.asarray(cv2.resize(page, size, interpolation=cv2.INTER_AREA), np.uint8)
    bottom, right = (max(0, _SMALLEST_PX - side) for side in image.shape[:2])
    if right or bottom:
        bordered = cv2.copyMakeBorder(image, 0, bottom, 0, right, cv2.BORDER_CONSTANT, value=_WHITE)
        image = np.asarray(bordered, np.uint8)
    return image, PageTransform(width, height, image.shape[1], image.shape[0], downscale)


def at_least_half(
    resize: Callable[..., tuple[list[Image], list[Any]]],
) -> Callable[..., tuple[list[Image], list[Any]]]:
    """Have the detector's step that resizes pages make none smaller than half its size, whatever its limits.

    PaddleX brings a long side of 20,000 pixels down to 4,000, and small print is lost.
    """

    def resize_to_half(
        imgs: Sequence[Image], limit_side_len: int, limit_type: str, max_side_limit: int
    ) -> tuple[list[Image], list[Any]]:
        images, shapes = [], []
        for page in imgs:
            half_px = max(page.shape[:2]) // 2
            least = half_px if limit_type == "max" else 0
            resized, shape = resize(
                imgs=[page],
                limit_side_len=max(limit_side_len, least),
                limit_type=limit_type,
                max_side_limit=max(max_side_limit, half_px),
            )
            images += resized
            shapes += shape
        return images, shapes

    return resize_to_half
