"""Opens files of all formats, quietly."""

import logging
import warnings
from typing import BinaryIO

import pymupdf
from PIL import Image

from consumer import protocol
from consumer.child.rendering.document import Document
from consumer.child.rendering.image import ImageDocument
from consumer.child.rendering.pdf import PdfDocument
from consumer.domain.formats import Format


def quiet_libraries() -> None:
    """Keep the libraries from printing, and from limits of their own."""
    pymupdf.TOOLS.mupdf_display_errors(False)
    pymupdf.TOOLS.mupdf_display_warnings(False)
    # Problems of a file belong in its result, not on standard error.
    warnings.filterwarnings("ignore", module=r"PIL\.")
    logging.getLogger("PIL").addHandler(logging.NullHandler())
    # Pillow's own guard is replaced by the page limit, which is checked before any pixel is made.
    Image.MAX_IMAGE_PIXELS = None


def open_document(file: BinaryIO, file_format: Format, options: protocol.RenderOptions) -> Document:
    """Open the document in a file; the caller closes the document, which closes the file.

    Raises DocumentError if it cannot be rendered, and OSError if it cannot be read.
    """
    if file_format is Format.PDF:
        return PdfDocument(file, options)
    return ImageDocument(file, file_format, options)
