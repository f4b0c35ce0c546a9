"""The source of a searchable PDF, and the outcome of writing it."""

from typing import BinaryIO, NamedTuple

from consumer import protocol
from consumer.domain.formats import Format


class Original(NamedTuple):
    """The source of a document, and the options with which its pages were rendered."""

    file: BinaryIO
    file_format: Format
    options: protocol.RenderOptions


class Note(NamedTuple):
    """Something that a reader of the searchable PDF should know, about one page or all of it."""

    message: str
    page_number: int | None = None


class Outcome(NamedTuple):
    """Whether a searchable PDF was written, and notes about it; without one, a note says why."""

    written: bool
    notes: tuple[Note, ...]
