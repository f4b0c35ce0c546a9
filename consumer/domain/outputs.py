"""Objects written beside the result of a document, in other formats.

A new format is an `OutputFormat`; ARCHITECTURE.md, "To add", lists what it needs besides. Its writer gets
every page as a value, in page order, and keeps only what it has made of it, so that memory does not grow with
what the page held.
"""

from dataclasses import dataclass
from typing import Protocol

from consumer.domain.result import PageResult, ResultDocument


class OutputWriter(Protocol):
    """Writes one object of one document."""

    def add(self, page: PageResult) -> None:
        """Take the next page."""

    def finish(self, head: ResultDocument) -> bytes:
        """Return the object's body; `head` is the result document without its pages and detections."""


class OutputFormat(Protocol):
    """A kind of object written beside the source of every document that could be opened.

    A FAILURE result leaves the outputs of an earlier version of the source as they are.
    """

    @property
    def content_type(self) -> str:
        """Media type of the object."""

    def key(self, source_key: str) -> str:
        """Key of the object; `keys.is_own_output` must know it by its name."""

    def writer(self) -> OutputWriter:
        """Begin the object of a document."""


@dataclass(frozen=True, slots=True)
class EncodedOutput:
    """An object ready to be stored."""

    key: str
    content_type: str
    body: bytes
