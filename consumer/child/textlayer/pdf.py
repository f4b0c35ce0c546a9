"""Invisible text in a PDF, whose own bytes stay as they are."""

from collections.abc import Callable, Iterable
from contextlib import closing
from itertools import count
from typing import BinaryIO, Final

import pymupdf
from pymupdf import mupdf

from consumer.child.rendering.document import unreadable
from consumer.child.rendering.frame import page_dictionary, page_frame
from consumer.child.rendering.pdf import mend, open_pdf, translated
from consumer.child.textlayer.content import content
from consumer.child.textlayer.font import InvisibleFont
from consumer.child.textlayer.interface import Note, Original, Outcome
from consumer.child.textlayer.lines import Axis, Letter, page_lines
from consumer.child.textlayer.objects import DocumentObjects, put_flate
from consumer.child.textlayer.own_text import OwnText
from consumer.child.textlayer.signatures import is_signed
from consumer.domain.errors import PageError
from consumer.domain.result import PageResult

#: MuPDF's cache of fonts and pictures is emptied after so many pages.
_CACHED_PAGES: Final = 16


def add_text(
    original: Original, pages: Iterable[PageResult], output: BinaryIO, progress: Callable[[], None]
) -> Outcome:
    """Write a PDF with the text of its pages to `output`; one that is signed is not written.

    New objects follow the bytes of the source (PDF 32000-1, 7.5.6), unless it is so damaged that it has to be
    written anew. Raises DocumentError if the source cannot be opened, PageError if it is too damaged to be
    written, and OSError if the disk is full.
    """
    notes: list[Note] = []
    with closing(open_pdf(original.file)) as document, closing(open_pdf(original.file)) as shown:
        if is_signed(document):
            return Outcome(written=False, notes=(Note("the PDF is signed: it has no searchable copy"),))
        layer = _Layer(document, shown)
        for number, page in enumerate(pages, 1):
            try:
                layer.add(page)
            except PageError as error:
                notes.append(Note(error.message, page.page.page_number))
            if not number % _CACHED_PAGES:
                pymupdf.TOOLS.store_shrink(100)
            progress()
        layer.finish()
        with translated(lambda reason: unreadable(f"the PDF is too damaged for a searchable copy: {reason}")):
            is_rewritten = _save(document, output)
        if is_rewritten:
            notes.append(Note("the PDF is damaged: its searchable copy was written anew"))
    return Outcome(written=True, notes=tuple(notes))


class _Layer:
    """The text of all pages of a document. `shown`: the same, which may be changed, for it is not saved."""

    def __init__(self, document: pymupdf.Document, shown: pymupdf.Document) -> None:
        self._document = document
        self._shown = shown
        self._objects = DocumentObjects(document)
        self._font = InvisibleFont()
        self._font_number = 0
        self._seen: set[int] = set()

    def add(self, result: PageResult) -> None:
        """Add the text of a page; raises PageError if the page is too damaged."""
        lines = list(page_lines(result, self._font.width))
        if not lines:
            return
        with translated(lambda reason: unreadable(f"its text is not in the searchable PDF: {reason}")):
            page = self._document[result.page.page_number - 1]
            # A page may be in the document twice.
            if page.xref not in self._seen:
                self._seen.add(page.xref)
                self._add(page, lines, result.page.scale or 1.0)

    def _add(self, page: pymupdf.Page, lines: Iterable[tuple[Axis, list[Letter]]], scale: float) -> None:
        shown = self._shown[page.number]
        mend(shown)
        own = OwnText(shown, scale)
        missing = [(axis, letters) for axis, line in lines if (letters := own.without(line, axis))]
        if not missing:
            return
        name = self._resource(page_dictionary(page))
        layer = self._objects.reserve()
        to_user = page_frame(page).from_pixels(scale)
        put_flate(self._objects, layer, "", content(missing, to_user, self._font, name))
        self._prepend(page_dictionary(page), layer)

    def _prepend(self, page: mupdf.PdfObj, layer: int) -> None:
        """Let the page begin with the layer: what is first finds the page's graphics state untouched."""
        own = mupdf.pdf_dict_gets(page, "Contents")
        contents = mupdf.pdf_new_array(self._objects.pdf, 2)
        mupdf.pdf_array_push(contents, self._objects.reference(layer))
        if mupdf.pdf_is_array(own):
            for index in range(mupdf.pdf_array_len(own)):
                mupdf.pdf_array_push(contents, mupdf.pdf_array_get(own, index))
        elif mupdf.pdf_is_dict(own):
            mupdf.pdf_array_push(contents, own)
        mupdf.pdf_dict_puts(page, "Contents", contents)

    def _resource(self, page: mupdf.PdfObj) -> str:
        """The name of the font among the resources of the page, which other pages may share."""
        if not self._font_number:
            self._font_number = self._objects.reserve()
        resources = mupdf.pdf_dict_get_inheritable(page, mupdf.pdf_new_name("Resources"))
        if not mupdf.pdf_is_dict(resources):
            resources = mupdf.pdf_dict_put_dict(page, mupdf.pdf_new_name("Resources"), 1)
        fonts = mupdf.pdf_dict_gets(resources, "Font")
        if not mupdf.pdf_is_dict(fonts):
            fonts = mupdf.pdf_dict_put_dict(resources, mupdf.pdf_new_name("Font"), 1)

        def is_free(name: str) -> bool:
            found = mupdf.pdf_dict_gets(fonts, name)
            return not found.m_internal or mupdf.pdf_to_num(found) == self._font_number

        name = next(filter(is_free, map("BucketOCR{}".format, count())))
        mupdf.pdf_dict_puts(fonts, name, self._objects.reference(self._font_number))
        return name

    def finish(self) -> None:
        """Add the font, once it is known what it is to say."""
        if self._font_number:
            self._font.put(self._objects, self._font_number)


class _Output(mupdf.FzOutput2):  # type: ignore[misc]
    """A file of ours, to which MuPDF writes. `error`: why it could not be written."""

    def __init__(self, file: BinaryIO) -> None:
        super().__init__()
        self.error: OSError | None = None
        self._file = file
        for use in (self.use_virtual_write, self.use_virtual_seek, self.use_virtual_tell):
            use()

    def write(self, _context: object, data: object, size: int) -> None:
        """Write bytes."""
        try:
            self._file.write(mupdf.raw_to_python_bytes(data, size))
        except OSError as error:
            self.error = error
            raise

    def seek(self, _context: object, offset: int, whence: int) -> None:
        """Write there from now on."""
        self._file.seek(offset, whence)

    def tell(self, _context: object) -> int:
        """Return where it writes."""
        return self._file.tell()


def _save(document: pymupdf.Document, output: BinaryIO) -> bool:
    """Write the document; returns whether all of it had to be written. Raises OSError if the disk is full."""
    pdf = mupdf.pdf_document_from_fz_document(document)
    # PyMuPDF's own method also mends what is broken about attachments.
    options = mupdf.PdfWriteOptions()
    options.do_encrypt = mupdf.PDF_ENCRYPT_KEEP
    # Then MuPDF writes the bytes of the source first.
    options.do_incremental = int(mupdf.pdf_can_be_saved_incrementally(pdf))
    written = _Output(output)
    try:
        mupdf.pdf_write_document(pdf, written, options)
        written.fz_close_output()
    finally:
        if written.error is not None:
            raise written.error
    return not options.do_incremental
