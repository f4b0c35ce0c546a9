"""Input for detectors of text lines, of any engine, and the meaning of their boxes."""

from typing import Any, Final

import cv2
import numpy as np
import numpy.typing as npt

from consumer.domain.geometry import Point, Quad
from consumer.domain.page import PageImage

Image = npt.NDArray[np.uint8]

#: Narrower strips are padded: detectors scale the short side up to 736 pixels, which takes gigabytes for a
#: long thin strip.
_MAX_ASPECT: Final = 8

#: A crop this many times as high as wide is turned before it is read (get_rotate_crop_image of PaddleOCR, and
#: of all that come from it).
_UPRIGHT_ASPECT: Final = 1.5


def load_pixels(image: PageImage) -> Image:
    """Load a page: rows x columns x BGR. Raises ValueError if the file is of another size."""
    return np.fromfile(image.path, np.uint8).reshape(image.height_px, image.width_px, 3)


def padded(page: Image, longest_px: int) -> tuple[Image, float]:
    """Return the page padded for a detector, and the factor by which it was made smaller; its origin stays.

    A long thin strip gets white at its right or bottom, after its longer side was reduced to `longest_px`:
    white round a strip at full size would take gigabytes. Other pages stay as they are.
    """
    height, width = page.shape[:2]
    if max(height, width) <= _MAX_ASPECT * min(height, width):
        return page, 1.0
    downscale = min(1.0, longest_px / max(height, width))
    if downscale < 1.0:
        size = (max(1, round(width * downscale)), max(1, round(height * downscale)))
        page = np.asarray(cv2.resize(page, size, interpolation=cv2.INTER_AREA), np.uint8)
        height, width = page.shape[:2]
    right, bottom = max(0, height // _MAX_ASPECT - width), max(0, width // _MAX_ASPECT - height)
    white = (255, 255, 255)
    bordered = cv2.copyMakeBorder(page, 0, bottom, 0, right, cv2.BORDER_CONSTANT, value=white)
    return np.asarray(bordered, np.uint8), downscale


def is_vertical(box: npt.NDArray[Any]) -> bool:
    """Whether the crop of this box (4 x 2) is turned a quarter counter-clockwise before it is read."""
    a, b, c, d = box
    width = int(max(np.linalg.norm(a - b), np.linalg.norm(c - d)))
    height = int(max(np.linalg.norm(a - d), np.linalg.norm(b - c)))
    return height >= _UPRIGHT_ASPECT * width


def corners_from_text_start(box: npt.NDArray[Any], *, is_vertical: bool, turned: bool) -> Quad:
    """Return the corners, clockwise, beginning with the start of the text.

    Boxes of detectors begin at the corner nearest the page's top left. Text of a vertical box starts one
    corner further, that of an upside-down one (`turned`) two.
    """
    first = 2 * turned + is_vertical
    a, b, c, d = (Point(float(x), float(y)) for x, y in np.roll(box, -first, axis=0))
    return a, b, c, d


#: A speck is one or two pixels that are darker than the ground by this much.
_SPECK: Final = 55

#: A page is speckled if it has so many of them a pixel (measured: 0.0047 and more with salt-and-pepper noise,
#: 0.0015 at most without).
_SPECKLED: Final = 0.003


def without_specks(page: Image) -> Image:
    """Return a page without the specks of bad scans and faxes; the page itself if it has hardly any."""
    grey = cv2.cvtColor(np.ascontiguousarray(page), cv2.COLOR_BGR2GRAY)
    ground = float(np.median(grey[::8, ::8]))
    dark = (grey < ground - _SPECK).astype(np.uint8)
    # Dark pixels with no dark neighbour, and pairs that have only each other.
    near = _count_around(dark)
    single = (dark == 1) & (near == 1)
    pair = ((dark == 1) & (near == 2)).astype(np.uint8)
    specks = single | ((pair == 1) & (_count_around(pair) == 2))
    if (single.sum() + specks.sum()) / 2 < _SPECKLED * specks.size:
        return page
    clean = page.copy()
    clean[specks] = np.median(page[::8, ::8].reshape(-1, 3), axis=0)
    return clean


def _count_around(mask: Image) -> Image:
    """Number of marked pixels among each pixel and its eight neighbours."""
    return np.asarray(
        cv2.boxFilter(mask, -1, (3, 3), normalize=False, borderType=cv2.BORDER_CONSTANT), np.uint8
    )
