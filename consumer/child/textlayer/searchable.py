"""The searchable PDF of a document."""

from collections.abc import Callable, Iterable
from typing import BinaryIO

from consumer.child.textlayer.images import make_pdf
from consumer.child.textlayer.interface import Original, Outcome
from consumer.child.textlayer.pdf import add_text
from consumer.domain.formats import Format
from consumer.domain.result import PageResult


def write_searchable_pdf(
    original: Original, pages: Iterable[PageResult], output: BinaryIO, progress: Callable[[], None]
) -> Outcome:
    """Write the document with invisible text over its pages to `output`, which is empty.

    `pages`: all of the document, in order, as read with the original's options; they are taken one by one,
    and `progress` is called after each. Raises DocumentError if the original cannot be opened, and OSError
    or an error of MuPDF if the output cannot be written.
    """
    write = add_text if original.file_format is Format.PDF else make_pdf
    return write(original, pages, output, progress)
