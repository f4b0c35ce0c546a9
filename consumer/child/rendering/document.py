"""The common part of all document formats: pages, limits, and errors."""

from typing import Protocol

from PIL import Image

from consumer import protocol
from consumer.domain.errors import Code, DocumentError, PageError
from consumer.domain.page import PagePlan


class Document(Protocol):
    """An opened file."""

    page_count: int
    #: Whether pages are measured in points (1/72 inch); otherwise they are images by themselves.
    in_points: bool

    def render(self, page_number: int) -> tuple[Image.Image, PagePlan]:
        """Render page `page_number` (from 1) to 8-bit RGB; raises PageError."""
        ...

    def close(self) -> None:
        """Close the file."""
        ...


def corrupt(message: str) -> DocumentError:
    """Build the error of a file that cannot be opened."""
    return DocumentError(Code.CORRUPT_DOCUMENT, message)


def unreadable(message: str) -> PageError:
    """Build the error of a page that cannot be rendered."""
    return PageError(Code.PAGE_UNREADABLE, message)


def check_page_count(count: int, options: protocol.RenderOptions) -> None:
    """Raise DocumentError if a file has more pages than are allowed."""
    if count > options.max_pages:
        raise DocumentError(
            Code.TOO_MANY_PAGES,
            f"the document has more than {options.max_pages} pages: raise BUCKET_OCR_MAX_PAGES or split it",
        )
