"""Shapes are told from letters."""

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from consumer.child.pixels import Image
from consumer.child.rapidocr.shapes import is_filled_shape

SIDE = 300


def box(margin: int = 20) -> npt.NDArray[np.float32]:
    low, high = margin, SIDE - margin
    return np.array([(low, low), (high, low), (high, high), (low, high)], np.float32)


def page(tone: int, thickness: int) -> Image:
    image = np.full((SIDE, SIDE, 3), 255, np.uint8)
    cv2.circle(image, (SIDE // 2, SIDE // 2), SIDE // 2 - 30, (tone, tone, tone), thickness)
    return image


@pytest.mark.parametrize("tone", [0, 120, 200])
def test_a_large_disk_is_no_letter(tone: int) -> None:
    assert is_filled_shape(page(tone, cv2.FILLED), box())
    assert is_filled_shape(np.rot90(page(tone, cv2.FILLED)), box())


@pytest.mark.parametrize("thickness", [4, 40])
def test_a_large_o_is_a_letter(thickness: int) -> None:
    assert not is_filled_shape(page(0, thickness), box())


def test_a_small_disk_may_be_a_bullet_and_a_picture_is_no_shape() -> None:
    assert not is_filled_shape(page(0, cv2.FILLED), box(110))
    noise = np.random.default_rng(1).integers(0, 255, (SIDE, SIDE, 3), np.uint8)
    assert not is_filled_shape(noise, box())
