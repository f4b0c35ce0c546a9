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
#: 0.0015 at most without). Its middle is looked at, and it is cleaned in bands: it may be large.
_SPECKLED: Final = 0.003
_MIDDLE_PX: Final = 2048
_BAND_PX: Final = 1024


def without_specks(page: Image) -> Image:
    """Return a page without the specks of bad scans and faxes; the page itself if it has hardly any."""
    ground = np.median(page[::8, ::8].reshape(-1, 3), axis=0)
    top, left = (max(0, (side - _MIDDLE_PX) // 2) for side in page.shape[:2])
    single, pairs = _specks(page[top : top + _MIDDLE_PX, left : left + _MIDDLE_PX], ground)
    if (single.sum() + pairs.sum() / 2) < _SPECKLED * single.size:
        return page
    clean = page.copy()
    for first in range(0, len(page), _BAND_PX):
        # Pairs may lie across the edge of a band.
        before = min(first, 2)
        band = slice(first - before, first + _BAND_PX + 2)
        single, pairs = _specks(page[band], ground)
        clean[first : first + _BAND_PX][(single | pairs)[before : before + _BAND_PX]] = ground
    return clean


def _specks(part: Image, ground: npt.NDArray[Any]) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Dark pixels without dark neighbours, and those that have only each other."""
    grey = cv2.cvtColor(np.ascontiguousarray(part), cv2.COLOR_BGR2GRAY)
    dark = (grey < ground.mean() - _SPECK).astype(np.uint8)
    near = _count_around(dark)
    pairs = dark * (near == 2)
    return (dark == 1) & (near == 1), (pairs == 1) & (_count_around(pairs) == 2)


def _count_around(mask: Image) -> Image:
    """Number of marked pixels among each pixel and its eight neighbours."""
    counts = cv2.boxFilter(mask, -1, (3, 3), normalize=False, borderType=cv2.BORDER_CONSTANT)
    return np.asarray(counts, np.uint8)
