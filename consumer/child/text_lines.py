"""Pixels of pages, for engines of any kind."""

from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from consumer.domain.page import PageImage

Image = npt.NDArray[np.uint8]

#: A speck is one or two pixels that are darker than the ground by this much.
_SPECK: Final = 55

#: A page is speckled if it has so many of them a pixel (measured: 0.0047 and more with salt-and-pepper noise,
#: 0.0015 at most without).
_SPECKLED: Final = 0.003


def load_pixels(image: PageImage) -> Image:
    """Load a page: rows x columns x BGR. Raises ValueError if the file is of another size."""
    return np.fromfile(image.path, np.uint8).reshape(image.height_px, image.width_px, 3)


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
