"""Images, rendered by Pillow."""

import math
import struct
from typing import Any, Final

from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from consumer import protocol
from consumer.child.rendering.document import check_page_count, corrupt, unreadable
from consumer.domain.formats import Format
from consumer.domain.page import PagePlan, plan_page

#: An image is decoded whole before it can be made smaller; larger ones are refused.
_DECODED_PER_PAGE_PIXELS: Final = 8

#: Errors of Pillow on broken files.
_IMAGE_ERRORS: Final = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    EOFError,
    LookupError,
    OverflowError,
    struct.error,
)


class ImageDocument:
    """An image file, by Pillow; its frames are pages."""

    in_points = False

    def __init__(self, path: str, file_format: Format, options: protocol.RenderOptions) -> None:
        self._path = path
        self._format = file_format
        self._options = options
        try:
            self._image = Image.open(path, formats=[file_format.name])
        except UnidentifiedImageError as error:
            raise corrupt(f"the {file_format.name} cannot be opened") from error
        except _IMAGE_ERRORS as error:
            raise corrupt(f"the image cannot be opened: {error}") from error
        try:
            self.page_count = self._count_frames()
        except BaseException:
            self.close()
            raise

    def _check_size(self) -> None:
        """Refuse an image that is too large, before anything is decoded."""
        width, height = self._image.size
        limit = _DECODED_PER_PAGE_PIXELS * self._options.max_page_pixels
        if width * height > limit:
            raise unreadable(
                f"the image has {width} x {height} pixels; at most {limit} are decoded: upload it smaller"
            )

    def _count_frames(self) -> int:
        # Further pictures in a JPEG (MPO) are depth maps and previews of the first.
        if self._format is Format.JPEG:
            return 1
        if self._format is not Format.TIFF:
            count = int(getattr(self._image, "n_frames", 1))
            check_page_count(count, self._options)
            return count
        # The directories of a TIFF are a chain, which may be endless: count them, and not too far.
        count = 1
        while True:
            try:
                self._image.seek(count)
            except EOFError:
                return count
            except _IMAGE_ERRORS:
                # A broken directory is one page that cannot be read, and the end of the chain.
                return count + 1
            count += 1
            check_page_count(count, self._options)

    def render(self, page_number: int) -> tuple[Image.Image, PagePlan]:
        """Render a page (from 1) to 8-bit RGB; raises PageError."""
        try:
            self._image.seek(page_number - 1)
            self._check_size()
            plan = plan_page(*self._image.size, 1.0, self._options.max_page_pixels)
            if not plan.downscaled:
                return _rgb(ImageOps.exif_transpose(self._image)), plan
            return self._smaller((plan.width_px, plan.height_px)), plan
        except _IMAGE_ERRORS as error:
            raise unreadable(f"the image cannot be decoded: {error}") from error

    def _smaller(self, size: tuple[int, int]) -> Image.Image:
        if self._format is not Format.JPEG:
            return _upright(self._image, size)
        # A JPEG can be decoded at a fraction of its size, others only whole. It then keeps that size, so
        # this is another image.
        with Image.open(self._path, formats=[self._format.name]) as image:
            image.draft(None, size)
            return _upright(image, size)

    def close(self) -> None:
        """Close the file."""
        self._image.close()


def _upright(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    """The image made smaller, then turned as its orientation says."""
    orientation = image.getexif().get(ExifTags.Base.Orientation)
    smaller = _resized(image, size)
    smaller.getexif()[ExifTags.Base.Orientation] = orientation or 1
    return _rgb(ImageOps.exif_transpose(smaller))


def _resized(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    """The image made smaller by averaging, before its colours are converted, which takes copies."""
    if image.mode == "1":
        image = image.convert("L")
    elif image.mode not in ("L", "RGB", "RGBA", "CMYK", "YCbCr"):
        # Palettes, for example, cannot be averaged.
        image = _rgb(image)
    return image.resize(size, Image.Resampling.BOX)


def _range(image: Image.Image) -> tuple[float, float]:
    """The values of black and white; raises ValueError if there are none."""
    extrema: Any = image.convert("F").getextrema()
    low, high = min(extrema[0], 0.0), max(extrema[1], 1.0)
    if not (math.isfinite(low) and math.isfinite(high)):
        raise ValueError("some of its pixels are no numbers")
    if image.mode.startswith("I;16"):
        # Scanners store 10, 12 or 14 bits in 16.
        high = 2.0 ** math.ceil(math.log2(high + 1)) - 1
    return low, high


def _rgb(image: Image.Image) -> Image.Image:
    """The image in 8-bit RGB, transparency over white."""
    if image.mode.startswith("I") or image.mode == "F":
        # Pillow clips such pixels to 8 bits instead of scaling them: bring the range down first.
        low, high = _range(image)
        scale, offset = 255 / (high - low), -low * 255 / (high - low)
        image = image.convert("F").point(lambda value: value * scale + offset).convert("L")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(white, image).convert("RGB")
    return image.convert("RGB")
