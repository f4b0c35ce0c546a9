"""Pages as files of pixels, as renderers leave them for engines."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pymupdf

from consumer.domain.page import PageImage


def stored(
    pixels: npt.NDArray[np.uint8],
    path: Path,
    page_number: int = 1,
    *,
    scale: float = 1.0,
    dpi: float | None = None,
) -> PageImage:
    """Store pixels (rows x columns x BGR); without `dpi` they are a page that is an image by itself."""
    pixels.tofile(path)
    height, width = pixels.shape[:2]
    return PageImage(
        page_number=page_number,
        path=str(path),
        width_px=width,
        height_px=height,
        scale=scale,
        dpi=dpi,
        downscaled=False,
        render_s=0.0,
    )


def bgr(pixmap: Any) -> npt.NDArray[np.uint8]:
    """Return a pixmap of MuPDF as rows x columns x BGR; it has no alpha."""
    rgb = pymupdf.Pixmap(pymupdf.csRGB, pixmap).samples
    return np.frombuffer(rgb, np.uint8).reshape(pixmap.height, pixmap.width, 3)[:, :, ::-1]
