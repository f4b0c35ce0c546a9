"""Objects written beside the result of a document, in other formats.

A new format is an `OutputFormat`; ARCHITECTURE.md, "To add", lists what it needs besides. Its writer gets
every page as a value, in page order, and keeps only what it has made of it, so that memory does not grow with
what the page held.
"""

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, Protocol

from consumer.domain import keys
from consumer.domain.body import Body, Spool
from consumer.domain.result import PageResult, ResultDocument

#: The result document itself, which is always written.
RESULT: Final = "json"

#: Outputs that may have any number of objects.
SEVERAL: Final = frozenset(name for name, ending in keys.OUTPUT_ENDINGS.items() if "/" in ending)

_PATTERNS: Final = {name: re.compile(ending, re.DOTALL) for name, ending in keys.OUTPUT_ENDINGS.items()}

#: Digits of the digest of an output's objects, which is in the metadata of the result.
_DIGITS: Final = 16

#: In the place of the digest of an output that could not be written.
_FAILED: Final = "failed"

#: Makes a place for bytes that may be more than memory takes.
MakeSpool = Callable[[], Spool]


@dataclass(frozen=True, slots=True)
class SourceFormat:
    """A kind of output that is written from the source, and its pages, in a process of its own."""

    name: str
    content_type: str


#: Those that `child.source_outputs` writes, by name.
SOURCE_FORMATS: Final[Mapping[str, SourceFormat]] = {
    each.name: each for each in (SourceFormat("pdf", "application/pdf"), SourceFormat("overlay", "image/png"))
}

#: Names that the setting may have.
NAMES: Final = frozenset({RESULT, *keys.OUTPUT_ENDINGS})


class OutputWriter(Protocol):
    """Writes the objects of one output of one document."""

    def add(self, page: PageResult) -> None:
        """Take the next page."""

    def finish(self, head: ResultDocument) -> Iterable[tuple[str, Body]]:
        """Return the objects: what follows the source's key in the key of each, and its body.

        `head` is the result document without its pages and detections.
        """


@dataclass(frozen=True, slots=True)
class OutputFormat:
    """A kind of output of every document that was read, written from its pages.

    `name`: as in the setting; `keys.OUTPUT_ENDINGS` has it. `begin` begins the output of a document.
    """

    name: str
    content_type: str
    begin: Callable[[MakeSpool], OutputWriter]


@dataclass(frozen=True, slots=True)
class EncodedOutput:
    """An object ready to be stored, of the output `name`."""

    name: str
    key: str
    content_type: str
    body: Body


@dataclass(frozen=True, slots=True)
class Listing:
    """The outputs of one source that are there: by output, the ETags of its objects by their keys."""

    objects: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    @classmethod
    def of(cls, source_key: str, found: Iterable[tuple[str, str]]) -> "Listing":
        """Sort objects, keys and ETags, by the output that they belong to; those of none are left out."""
        objects: dict[str, dict[str, str]] = {}
        for key, etag in found:
            for name, pattern in _PATTERNS.items():
                if key.startswith(source_key) and pattern.fullmatch(key, len(source_key)):
                    objects.setdefault(name, {})[key] = etag
        return cls(objects)

    def of_output(self, name: str) -> Mapping[str, str]:
        """ETags by key of the objects of one output."""
        return self.objects.get(name, {})


@dataclass(frozen=True, slots=True)
class OutputRecord:
    """The outputs of a result as its metadata tell them.

    `digests`: by name, that of keys and ETags of its objects; None if the output could not be written.
    """

    digests: Mapping[str, str | None] = field(default_factory=dict)

    @classmethod
    def parse(cls, text: str) -> "OutputRecord":
        """Read `csv=1f…,hocr=9a…,pdf=failed`; what is not of this form is left out."""
        pairs = (item.partition("=") for item in text.split(",") if "=" in item)
        return cls({name: None if value == _FAILED else value for name, _, value in pairs})

    def __str__(self) -> str:
        """Write it as `parse` reads it."""
        return ",".join(f"{name}={value or _FAILED}" for name, value in sorted(self.digests.items()))

    @property
    def written(self) -> tuple[str, ...]:
        """Names of the outputs that were written."""
        return tuple(sorted(name for name, value in self.digests.items() if value is not None))

    def lacking(self, wanted: Iterable[str], there: Listing) -> Iterator[str]:
        """Yield outputs that are wanted and were not tried, and those that are not there as written."""
        yield from (name for name in wanted if name not in self.digests)
        for name, value in self.digests.items():
            if name in _PATTERNS and value is not None and value != digest(there.of_output(name)):
                yield name


def digest(etags: Mapping[str, str]) -> str:
    """Digest of the objects of one output, their ETags by their keys."""
    lines = (f"{etag} {key}\n" for key, etag in sorted(etags.items()))
    return hashlib.sha256("".join(lines).encode("utf-8", "surrogatepass")).hexdigest()[:_DIGITS]


def is_ending(name: str, ending: str) -> bool:
    """Whether objects of an output may have keys that end like this."""
    return _PATTERNS[name].fullmatch(ending) is not None
