"""Cleans pages of the specks of bad scans and faxes, which hide text from the detector."""

from typing import Any, Final

import cv2
import numpy as np
import numpy.typing as npt

from consumer.child.pixels import Image

#: A speck is one or two pixels that are darker than the ground by this much.
_SPECK: Final = 55

#: A page is speckled if it has so many of them a pixel (measured: 0.0047 and more with salt-and-pepper noise,
#: 0.0015 at most without). Its middle is looked at, and it is cleaned in bands: it may be large.
_SPECKLED: Final = 0.003
_MIDDLE_PX: Final = 2048
_BAND_PX: Final = 1024


def without_specks(page: Image) -> Image:
    """Return a page without its specks; the page itself if it has hardly any."""
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
