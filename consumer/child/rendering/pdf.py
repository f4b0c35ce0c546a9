"""PDF, rendered by PyMuPDF."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

import pymupdf
from PIL import Image

from consumer import protocol
from consumer.child.rendering.document import check_page_count, corrupt, unreadable
from consumer.domain.errors import Code, DocumentError, PageError
from consumer.domain.formats import Format
from consumer.domain.page import PagePlan, plan_page

#: An indirect reference in the text of a PDF object.
_REFERENCE: Final = re.compile(r"(\d+) \d+ R")

#: MuPDF takes a narrower page for a broken one.
_MIN_SIDE_PT: Final = 1

#: Errors of PyMuPDF on broken files.
_PDF_ERRORS: Final = (pymupdf.mupdf.FzErrorBase, RuntimeError, ValueError, IndexError)


class PdfDocument:
    """A PDF, by PyMuPDF."""

    def __init__(self, path: str, file_format: Format, options: protocol.RenderOptions) -> None:
        self._options = options
        # The library's message is our name of the file, which is of no use to readers of the result.
        with _translated(lambda _: corrupt("the PDF is damaged and cannot be opened: upload it again")):
            self._document = pymupdf.open(path, filetype=file_format.name)
        try:
            self.page_count = self._count_pages()
        except BaseException:
            self.close()
            raise

    def _count_pages(self) -> int:
        with _translated(lambda reason: corrupt(f"the PDF cannot be read: {reason}")):
            # Many PDFs are encrypted with an empty user password: they open without one.
            if self._document.needs_pass and not self._document.authenticate(""):
                raise DocumentError(Code.ENCRYPTED, "the PDF needs a password: upload it without one")
            if self._document.page_count < 1:
                self._write_missing_count()
            count = int(self._document.page_count)
        if count < 1:
            raise corrupt("the PDF has no pages")
        check_page_count(count, self._options)
        return count

    def _write_missing_count(self) -> None:
        """Count the pages of a PDF without a page count in its page tree, as viewers do."""
        root = self._reference(self._document.pdf_catalog(), "Pages")
        seen: set[int] = set()
        waiting, count = [root], 0
        while waiting:
            node = waiting.pop()
            if node in seen or not 0 < node < self._document.xref_length():
                continue
            seen.add(node)
            kind, kids = self._document.xref_get_key(node, "Kids")
            if kind == "xref":
                kids = self._document.xref_object(self._reference(node, "Kids"))
            waiting += map(int, _REFERENCE.findall(kids))
            # A node without kids is a page, whatever its type says.
            count += kind == "null"
        if count:
            self._document.xref_set_key(root, "Count", str(count))

    def _reference(self, number: int, key: str) -> int:
        """Number of the object that a value refers to; 0 if it refers to none."""
        match = _REFERENCE.fullmatch(self._document.xref_get_key(number, key)[1])
        return int(match[1]) if match else 0

    def render(self, page_number: int) -> tuple[Image.Image, PagePlan]:
        """Render a page (from 1) to 8-bit RGB; raises PageError."""
        with _translated(lambda reason: unreadable(f"the page cannot be rendered: {reason}")):
            page = self._document[page_number - 1]
            _mend(page)
            plan = plan_page(
                page.rect.width, page.rect.height, self._options.scale, self._options.max_page_pixels
            )
            matrix = pymupdf.Matrix(plan.scale, plan.scale)
            pymupdf.TOOLS.reset_mupdf_warnings()
            pixels = page.get_pixmap(matrix=matrix, colorspace=pymupdf.csRGB, alpha=False)
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


def _mend(page: pymupdf.Page) -> None:
    """Correct values with which MuPDF would show a blank or turned page, and viewers do not.

    The part of the CropBox within the MediaBox is shown (PDF 32000-1, 14.11.2), or else the MediaBox.
    A page is turned by a multiple of 90 degrees, or not at all. Its UserUnit is a positive number, or 1.
    """
    mupdf = pymupdf.mupdf
    dictionary = mupdf.pdf_page_from_fz_page(page.this).obj()
    crop_box = mupdf.pdf_dict_get_inheritable(dictionary, _name("CropBox"))
    shown = pymupdf.Rect(mupdf.pdf_to_rect(crop_box)) & page.mediabox
    if crop_box.m_internal and min(shown.width, shown.height) < _MIN_SIDE_PT:
        mupdf.pdf_dict_put_rect(dictionary, _name("CropBox"), mupdf.FzRect(*page.mediabox))
    if mupdf.pdf_to_int(mupdf.pdf_dict_get_inheritable(dictionary, _name("Rotate"))) % 90:
        mupdf.pdf_dict_put_int(dictionary, _name("Rotate"), 0)
    if mupdf.pdf_dict_get_real_default(dictionary, _name("UserUnit"), 1.0) <= 0:
        mupdf.pdf_dict_del(dictionary, _name("UserUnit"))


def _name(text: str) -> pymupdf.mupdf.PdfObj:
    return pymupdf.mupdf.pdf_new_name(text)


@contextmanager
def _translated(to_error: Callable[[str], DocumentError | PageError]) -> Iterator[None]:
    """Turn errors of PyMuPDF into ours, and a lack of memory into MemoryError."""
    try:
        yield
    except pymupdf.mupdf.FzErrorSystem as error:
        raise MemoryError(str(error)) from error
    except _PDF_ERRORS as error:
        raise to_error(str(error)) from error
