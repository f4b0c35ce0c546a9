"""What PaddleX's detector of lines is given: no page in less than half its size, or beyond its limits."""

from typing import Any

import numpy as np
import pytest

from consumer.child.pixels import Image
from consumer.child.ppstructure.detection import at_least_half, model_input


@pytest.mark.parametrize(
    ("limits", "widest_px"),
    [
        ((736, "min", 4000), 10_000),
        ((1200, "max", 4000), 10_000),
        ((736, "min", 15_000), 15_000),
        ((12_000, "max", 15_000), 12_000),
    ],
)
def test_no_page_is_looked_at_in_less_than_half_its_size(
    limits: tuple[int, str, int], widest_px: int
) -> None:
    def resize(
        imgs: list[Image], limit_side_len: int, limit_type: str, max_side_limit: int
    ) -> tuple[list[Image], list[Any]]:
        (page,) = imgs
        longest = min(limit_side_len, max_side_limit) if limit_type == "max" else max_side_limit
        return [page[:, :longest]], [page.shape]

    wide, small = np.zeros((300, 20_000, 3), np.uint8), np.zeros((700, 900, 3), np.uint8)
    side, kind, most = limits
    images, shapes = at_least_half(resize)(
        [wide, small], limit_side_len=side, limit_type=kind, max_side_limit=most
    )
    assert [each.shape[1] for each in images] == [widest_px, 900]
    assert shapes == [wide.shape, small.shape]


@pytest.mark.parametrize("size", [(300, 40_000), (40_000, 300), (3, 700), (1, 1), (40_000, 1)])
def test_the_input_of_the_pipeline_has_sides_that_it_takes_and_leads_back_to_the_page(
    size: tuple[int, int],
) -> None:
    image, transform = model_input(np.zeros((*size, 3), np.uint8))
    assert min(image.shape[:2]) >= 32
    assert max(image.shape[:2]) < 2**15
    assert (transform.input_height_px, transform.input_width_px) == image.shape[:2]
    # What was added is white and lies behind the page.
    rows, columns = (max(1, round(side * transform.downscale)) for side in size)
    assert image[:rows, :columns].max() == 0
    assert image[rows:].min(initial=255) == image[:, columns:].min(initial=255) == 255
