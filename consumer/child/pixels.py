"""Pixels of pages, for engines of any kind."""

import numpy as np
import numpy.typing as npt

from consumer.child import files
from consumer.domain.page import PageImage

Image = npt.NDArray[np.uint8]


def load_pixels(image: PageImage) -> Image:
    """Load a page: rows x columns x BGR. Raises ValueError if the file is of another size."""
    with files.readable(image.path) as file:
        return np.fromfile(file, np.uint8).reshape(image.height_px, image.width_px, 3)
