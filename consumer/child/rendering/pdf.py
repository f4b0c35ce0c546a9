"""PDF, rendered by PyMuPDF."""

import errno
import mmap
import os
import re
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import BinaryIO, Final

import pymupdf
from PIL import Image

from consumer import protocol
from consumer.child.rendering import limits
from consumer.child.rendering.document import check_page_count, corrupt, unreadable
from consumer.child.rendering.frame import page_dictionary, page_frame
from consumer.domain.errors import Code, DocumentError, PageError
from consumer.domain.formats import Format
from consumer.domain.page import PagePlan, plan_page

#: An indirect reference in the text of a PDF object.
_REFERENCE: Final = re.compile(r"(\d+) \d+ R")

#: Errors of PyMuPDF on broken files.
_PDF_ERRORS: Final = (pymupdf.mupdf.FzErrorBase, RuntimeError, ValueError, IndexError)


class PdfDocument:
    """A PDF, by PyMuPDF."""

    def __init__(self, file: BinaryIO, options: protocol.RenderOptions) -> None:
        self._options = options
        with file:
            self._document = open_pdf(file)
        try:
            self.page_count = int(self._document.page_count)
            check_page_count(self.page_count, self._options)
        except BaseException:
            self.close()
            raise

    def render(self, page_number: int) -> tuple[Image.Image, PagePlan]:
        """Render a page (from 1) to 8-bit RGB; raises PageError."""
        with translated(lambda reason: unreadable(f"the page cannot be rendered: {reason}")):
            page = self._document[page_number - 1]
            mend(page)
            plan = plan_page(
                page.rect.width, page.rect.height, self._options.scale, self._options.max_page_pixels
            )
            matrix = pymupdf.Matrix(plan.scale, plan.scale)
            pymupdf.TOOLS.reset_mupdf_warnings()
            pixels = page.get_pixmap(matrix=matrix, colorspace=pymupdf.csRGB, alpha=False)
        _give_back(self._document)
        # PyMuPDF keeps rows without padding, so the samples are an image as they are.
        size = (pixels.width, pixels.height)
        image = Image.frombuffer("RGB", size, pixels.samples_mv, "raw", "RGB", 0, 1)
        # MuPDF leaves out what it cannot decode. A scan that is damaged must not pass for a blank page.
        problem = pymupdf.TOOLS.mupdf_warnings().partition("\n")[0]
        if problem and image.getcolors(maxcolors=1):
            raise unreadable(f"nothing on the page can be rendered: {problem}")
        return image, plan

    def close(self) -> None:
        """Close the file."""
        self._document.close()


def open_pdf(file: BinaryIO) -> pymupdf.Document:
    """Open a PDF that has pages and needs no password; raises DocumentError for any other.

    The file may be closed afterwards. It must not become shorter while the document is open.
    """
    mapped = _mapped(file)
    # The library's message says nothing to readers of the result.
    with translated(
        lambda _: corrupt("the PDF is damaged and cannot be opened: repair it, or save it to a new PDF")
    ):
        document = pymupdf.open(stream=memoryview(mapped), filetype=Format.PDF.name)
    try:
        with translated(lambda reason: corrupt(f"the PDF cannot be read: {reason}")):
            _unlock(document)
            if document.page_count < 1:
                _write_missing_count(document)
            _check_pages(document)
    except BaseException:
        document.close()
        raise
    return document


def _mapped(file: BinaryIO) -> mmap.mmap:
    """Map a file: MuPDF opens files by name, or takes bytes; these are read as a document needs them."""
    allowed_bytes = limits.allow_address_space(os.fstat(file.fileno()).st_size)
    try:
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except OSError as error:
        limits.allow_address_space(-allowed_bytes)
        if error.errno == errno.ENOMEM:
            raise MemoryError(str(error)) from error
        raise
    weakref.finalize(mapped, limits.allow_address_space, -allowed_bytes)
    return mapped


def _unlock(document: pymupdf.Document) -> None:
    # Many PDFs are encrypted with an empty user password: they open without one.
    if document.needs_pass and not document.authenticate(""):
        raise DocumentError(Code.ENCRYPTED, "the PDF needs a password: upload it without one")


def _check_pages(document: pymupdf.Document) -> None:
    if document.page_count < 1:
        raise corrupt("the PDF has no pages")


def _write_missing_count(document: pymupdf.Document) -> None:
    """Count the pages of a PDF without a page count in its page tree, as viewers do."""
    root = _reference(document, document.pdf_catalog(), "Pages")
    seen: set[int] = set()
    waiting, count = [root], 0
    while waiting:
        node = waiting.pop()
        if node in seen or not 0 < node < document.xref_length():
            continue
        seen.add(node)
        kind, kids = document.xref_get_key(node, "Kids")
        if kind == "xref":
            kids = document.xref_object(_reference(document, node, "Kids"))
        waiting += map(int, _REFERENCE.findall(kids))
        # A node without kids is a page, whatever its type says.
        count += kind == "null"
    if count:
        document.xref_set_key(root, "Count", str(count))


def _give_back(document: pymupdf.Document) -> None:
    """Let the kernel keep the source's pages, which would count as this process's memory."""
    document.stream.obj.madvise(mmap.MADV_DONTNEED)


def _reference(document: pymupdf.Document, number: int, key: str) -> int:
    """Number of the object that a value refers to; 0 if it refers to none."""
    match = _REFERENCE.fullmatch(document.xref_get_key(number, key)[1])
    return int(match[1]) if match else 0


def mend(page: pymupdf.Page) -> None:
    """Correct values with which MuPDF would show a blank or turned page, and viewers do not.

    This changes the document.
    """
    mupdf = pymupdf.mupdf
    frame, dictionary = page_frame(page), page_dictionary(page)
    mupdf.pdf_dict_put_rect(dictionary, _name("CropBox"), mupdf.FzRect(*frame[:4]))
    mupdf.pdf_dict_put_int(dictionary, _name("Rotate"), frame.rotation)
    mupdf.pdf_dict_put_real(dictionary, _name("UserUnit"), frame.user_unit)


def _name(text: str) -> pymupdf.mupdf.PdfObj:
    return pymupdf.mupdf.pdf_new_name(text)


@contextmanager
def translated(to_error: Callable[[str], DocumentError | PageError]) -> Iterator[None]:
    """Turn errors of PyMuPDF into ours, and a lack of memory into MemoryError."""
    try:
        yield
    except pymupdf.mupdf.FzErrorSystem as error:
        raise MemoryError(str(error)) from error
    except _PDF_ERRORS as error:
        raise to_error(str(error)) from error
