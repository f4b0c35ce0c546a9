"""Rendering: from a file to one raw BGR image per page. PyMuPDF for PDF, Pillow for images."""

import struct
import time
import warnings
from collections import OrderedDict
from pathlib import Path
from typing import Any, Final, Protocol

import pymupdf
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from consumer import wire
from consumer.domain.errors import Code, DocumentError, PageError
from consumer.domain.formats import Format
from consumer.domain.page import PageImage
from consumer.domain.plan import POINTS_PER_INCH, PagePlan, plan_page

#: Documents kept open: a child renders pages of a few documents in turn.
_OPEN_DOCUMENTS: Final = 4

#: An image is decoded whole before it can be made smaller; this many times the page limit is the end.
_DECODED_PER_PAGE_PIXELS: Final = 8

#: What Pillow raises on broken files.
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

#: What PyMuPDF raises on broken files.
_PDF_ERRORS: Final = (pymupdf.mupdf.FzErrorBase, RuntimeError, ValueError)


class _Document(Protocol):
    page_count: int
    #: Whether pages are measured in points, of which an inch has 72, or are images by themselves.
    in_points: bool

    def render(self, page_number: int) -> tuple[Image.Image, PagePlan]:
        """Render page `page_number` (from 1) to 8-bit RGB; raises PageError."""
        ...

    def close(self) -> None:
        """Close the file."""
        ...


class RenderChild:
    """The render role: opens documents and renders their pages."""

    def __init__(self, options: wire.RenderOptions) -> None:
        self._options = options
        self._documents: OrderedDict[str, _Document] = OrderedDict()
        pymupdf.TOOLS.mupdf_display_errors(False)
        pymupdf.TOOLS.mupdf_display_warnings(False)
        # What is wrong with a file stands in its result, not on standard error.
        warnings.filterwarnings("ignore", module=r"PIL\.")
        # Pillow's own guard is replaced by the page limit, which is checked before any pixel is made.
        Image.MAX_IMAGE_PIXELS = None

    def ready(self) -> wire.Reply:
        """Say that there is nothing to warm up."""
        return wire.RendererReady()

    def handle(self, request: wire.Request) -> wire.Reply:
        """Open a document or render a page."""
        match request:
            case wire.OpenDocument(path=path, format=file_format):
                return wire.DocumentOpened(page_count=self._open(path, file_format).page_count)
            case wire.RenderPage():
                return self._render(request)
            case wire.CloseDocument(path=path):
                if (document := self._documents.pop(path, None)) is not None:
                    document.close()
                return wire.DocumentClosed()
            case _:
                raise TypeError(f"a renderer cannot {request.kind}")

    def _render(self, request: wire.RenderPage) -> PageImage:
        started = time.monotonic()
        document = self._open(request.path, request.format)
        image, plan = document.render(request.page_number)
        Path(request.image_path).write_bytes(image.tobytes("raw", "BGR"))
        return PageImage(
            page_number=request.page_number,
            path=request.image_path,
            width_px=image.width,
            height_px=image.height,
            scale=plan.scale,
            dpi=plan.scale * POINTS_PER_INCH if document.in_points else None,
            downscaled=plan.downscaled,
            render_s=time.monotonic() - started,
        )

    def _open(self, path: str, file_format: Format) -> _Document:
        document = self._documents.pop(path, None)
        if document is None:
            # A file that cannot be found or read is our own doing, and not the document's.
            Path(path).open("rb").close()
            document = (_Pdf if file_format is Format.PDF else _Picture)(path, file_format, self._options)
        self._documents[path] = document
        if len(self._documents) > _OPEN_DOCUMENTS:
            self._documents.popitem(last=False)[1].close()
        return document


class _Pdf:
    in_points = True

    def __init__(self, path: str, file_format: Format, options: wire.RenderOptions) -> None:
        self._options = options
        try:
            self._document = pymupdf.open(path, filetype=file_format.name)
        except _PDF_ERRORS as error:
            # The library names the file, which is ours; the reader of the result knows it by another name.
            reason = str(error).replace(path, "")
            raise DocumentError(Code.CORRUPT_DOCUMENT, f"the PDF cannot be opened: {reason}") from error
        try:
            self.page_count = self._count_pages()
        except BaseException:
            self.close()
            raise

    def _count_pages(self) -> int:
        try:
            # Many PDFs are encrypted with an empty user password: they open without one.
            if self._document.needs_pass and not self._document.authenticate(""):
                raise DocumentError(Code.ENCRYPTED, "the PDF needs a password: upload it without one")
            count = int(self._document.page_count)
        except _PDF_ERRORS as error:
            raise DocumentError(Code.CORRUPT_DOCUMENT, f"the PDF cannot be read: {error}") from error
        if count < 1:
            raise DocumentError(Code.CORRUPT_DOCUMENT, "the PDF has no pages")
        _check_page_count(count, self._options)
        return count

    def render(self, page_number: int) -> tuple[Image.Image, PagePlan]:
        try:
            page = self._document[page_number - 1]
            plan = plan_page(
                page.rect.width, page.rect.height, self._options.scale, self._options.max_page_pixels
            )
            matrix = pymupdf.Matrix(plan.scale, plan.scale)
            pixels = page.get_pixmap(matrix=matrix, colorspace=pymupdf.csRGB, alpha=False)
        except _PDF_ERRORS as error:
            raise PageError(Code.PAGE_UNREADABLE, f"the page cannot be rendered: {error}") from error
        # PyMuPDF keeps rows without padding, so the samples are an image as they are.
        size = (pixels.width, pixels.height)
        return Image.frombuffer("RGB", size, pixels.samples_mv, "raw", "RGB", 0, 1), plan

    def close(self) -> None:
        self._document.close()


class _Picture:
    in_points = False

    def __init__(self, path: str, file_format: Format, options: wire.RenderOptions) -> None:
        self._options = options
        try:
            self._image = Image.open(path, formats=[file_format.name])
        except UnidentifiedImageError as error:
            raise DocumentError(Code.CORRUPT_DOCUMENT, f"the {file_format.name} cannot be opened") from error
        except _IMAGE_ERRORS as error:
            raise DocumentError(Code.CORRUPT_DOCUMENT, f"the image cannot be opened: {error}") from error
        try:
            self.page_count = self._count_frames(file_format)
        except BaseException:
            self.close()
            raise

    def _check_size(self) -> None:
        """Before anything is decoded."""
        width, height = self._image.size
        limit = _DECODED_PER_PAGE_PIXELS * self._options.max_page_pixels
        if width * height > limit:
            raise PageError(
                Code.PAGE_UNREADABLE,
                f"the image has {width} x {height} pixels; at most {limit} are decoded: upload it smaller",
            )

    def _count_frames(self, file_format: Format) -> int:
        # Further pictures in a JPEG (MPO) are depth maps and previews of the first.
        if file_format is Format.JPEG:
            return 1
        if file_format is not Format.TIFF:
            count = int(getattr(self._image, "n_frames", 1))
            _check_page_count(count, self._options)
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
            _check_page_count(count, self._options)

    def render(self, page_number: int) -> tuple[Image.Image, PagePlan]:
        try:
            self._image.seek(page_number - 1)
            self._check_size()
            plan = plan_page(*self._image.size, 1.0, self._options.max_page_pixels)
            if not plan.downscaled:
                return _rgb(ImageOps.exif_transpose(self._image)), plan
            # A JPEG can be decoded at a fraction of its size, others only whole.
            self._image.draft(None, (plan.width_px, plan.height_px))
            orientation = self._image.getexif().get(ExifTags.Base.Orientation)
            image = _resized(self._image, (plan.width_px, plan.height_px))
            image.getexif()[ExifTags.Base.Orientation] = orientation or 1
            return _rgb(ImageOps.exif_transpose(image)), plan
        except _IMAGE_ERRORS as error:
            raise PageError(Code.PAGE_UNREADABLE, f"the image cannot be decoded: {error}") from error

    def close(self) -> None:
        self._image.close()


def _check_page_count(count: int, options: wire.RenderOptions) -> None:
    if count > options.max_pages:
        raise DocumentError(
            Code.TOO_MANY_PAGES,
            f"the document has more than {options.max_pages} pages: raise BUCKET_OCR_MAX_PAGES or split it",
        )


def _resized(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    """The image made smaller before its colours are converted, which takes copies; average of its pixels."""
    if image.mode == "1":
        image = image.convert("L")
    elif image.mode not in ("L", "RGB", "RGBA", "CMYK", "YCbCr"):
        # Palettes cannot be averaged, and the like.
        image = _rgb(image)
    return image.resize(size, Image.Resampling.BOX)


def _rgb(image: Image.Image) -> Image.Image:
    """The image in 8-bit RGB, transparency over white."""
    if image.mode.startswith("I") or image.mode == "F":
        # Pillow clips such pixels to 8 bits instead of scaling them: bring the range down first.
        low_high: Any = image.convert("F").getextrema()
        span = 65535.0 if image.mode.startswith("I;16") else max(low_high[1], 1.0)
        image = image.convert("F").point(lambda value: value * (255 / span)).convert("L")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(white, image).convert("RGB")
    return image.convert("RGB")
