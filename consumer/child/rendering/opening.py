"""Opens files of all formats, quietly."""

import logging
import warnings
from pathlib import Path

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


def open_document(path: str, file_format: Format, options: protocol.RenderOptions) -> Document:
    """Open a file, which the caller closes.

    Raises DocumentError if it cannot be rendered, and OSError if it cannot be read.
    """
    # A missing or unreadable file is our failure, and not the document's.
    Path(path).open("rb").close()
    if file_format is Format.PDF:
        return PdfDocument(path, options)
    return ImageDocument(path, file_format, options)
