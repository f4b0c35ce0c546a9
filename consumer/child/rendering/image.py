"""Images, rendered by Pillow."""

import math
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO, Final

from PIL import ExifTags, Image, UnidentifiedImageError

from consumer import protocol
from consumer.child.rendering.document import check_page_count, corrupt, unreadable
from consumer.child.rendering.transparency import opaque
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


#: The turn that makes an image upright, by its EXIF orientation.
_TURNS: Final = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_QUARTERS: Final = tuple(_TURNS[orientation] for orientation in (5, 6, 7, 8))


class ImageDocument:
    """An image file, by Pillow; its frames are pages."""

    def __init__(self, file: BinaryIO, file_format: Format, options: protocol.RenderOptions) -> None:
        # Not its name: Pillow maps the pixels of a file that it opens by name into memory, and takes those of
        # a TIFF that is turned by a quarter for rows of the upright page.
        self._file = file
        self._format = file_format
        self._options = options
        try:
            self._image = self._opened()
            self.page_count = self._count_frames()
        except BaseException:
            self.close()
            raise

    def _opened(self) -> Image.Image:
        try:
            return Image.open(self._file, formats=[self._format.name])
        except UnidentifiedImageError as error:
            raise corrupt(f"the {self._format.name} cannot be opened") from error
        except _IMAGE_ERRORS as error:
            raise corrupt(f"the image cannot be opened: {error}") from error

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
        image = self.frame(page_number)
        with decoding():
            plan = plan_page(*image.size, 1.0, self._options.max_page_pixels)
            size = (plan.width_px, plan.height_px)
            if plan.downscaled and self._format is Format.JPEG:
                return self._drafted(size), plan
            return _page(image, size), plan

    def frame(self, page_number: int) -> Image.Image:
        """Return the picture of a page (from 1) as it is stored, but a TIFF's upright; raises PageError.

        It is the next one's too. A JPEG is not decoded yet.
        """
        with decoding():
            self._image.seek(page_number - 1)
            width, height = self._image.size
            limit = _DECODED_PER_PAGE_PIXELS * self._options.max_page_pixels
            # Before anything is decoded.
            if width * height > limit:
                raise unreadable(
                    f"the image has {width} x {height} pixels; at most {limit} are decoded: upload it smaller"
                )
            if self._format is not Format.JPEG:
                # A TIFF is turned upright while it is decoded, so its size is known only then.
                is_lying = self._format is Format.TIFF and upright_turn(self._image) in _QUARTERS
                self._image.load()
                if is_lying and "dpi" in self._image.info:
                    # Pillow turns the pixels alone.
                    self._image.info["dpi"] = tuple(reversed(self._image.info["dpi"]))
        return self._image

    def _drafted(self, size: tuple[int, int]) -> Image.Image:
        # A JPEG can be decoded at a fraction of its size, others only whole. It then keeps that size, so
        # this is another image.
        with Image.open(self._file, formats=[self._format.name]) as image:
            image.draft(None, size)
            return _page(image, size)

    def close(self) -> None:
        """Close the file."""
        self._file.close()


@contextmanager
def decoding() -> Iterator[None]:
    """Turn errors of Pillow on a broken image into PageError."""
    try:
        yield
    except _IMAGE_ERRORS as error:
        raise unreadable(f"the image cannot be decoded: {error}") from error


def _page(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    """The image at this size (before it is turned), upright, in 8-bit RGB."""
    turn = upright_turn(image)
    # It is turned after it was made smaller, because that takes a copy.
    sized = image if image.size == size else _resized(image, size)
    return rgb(sized if turn is None else sized.transpose(turn))


def upright_turn(image: Image.Image) -> Image.Transpose | None:
    """Return how to turn the image upright by its EXIF; None if it is upright, or its EXIF is broken."""
    try:
        return _TURNS.get(image.getexif().get(ExifTags.Base.Orientation, 1))
    except _IMAGE_ERRORS:
        return None


def _resized(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    """The image made smaller by averaging, before its colours are converted, which takes copies."""
    if image.has_transparency_data or image.mode not in ("1", "L", "RGB", "CMYK", "YCbCr"):
        # Palettes, for example, cannot be averaged; nor can a colour that stands for transparency.
        image = rgb(image)
    elif image.mode == "1":
        image = image.convert("L")
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


def rgb(image: Image.Image) -> Image.Image:
    """Return the image in 8-bit RGB."""
    if image.mode.startswith("I") or image.mode == "F":
        # Pillow clips such pixels to 8 bits instead of scaling them: bring the range down first.
        low, high = _range(image)
        scale, offset = 255 / (high - low), -low * 255 / (high - low)
        image = image.convert("F").point(lambda value: value * scale + offset).convert("L")
        if "transparency" in image.info:
            image.info["transparency"] = round(image.info["transparency"] * scale + offset)
    return opaque(image) if image.has_transparency_data else image.convert("RGB")
