"""Keys of sources and of the outputs beside them."""

import re
from collections.abc import Mapping
from typing import Final

from consumer.domain.formats import EXTENSIONS

#: What the keys of all outputs begin with, after the source's key.
OUTPUT_PREFIX: Final = ".ocr"

RESULT_SUFFIX: Final = OUTPUT_PREFIX + ".json"

#: S3 allows keys of so many bytes of UTF-8.
MAX_KEY_BYTES: Final = 1024

#: The key of the result is longer than the source's.
MAX_SOURCE_KEY_BYTES: Final = MAX_KEY_BYTES - len(RESULT_SUFFIX)

#: By the name of an output, what follows the source's key in the keys of its objects, as a pattern.
OUTPUT_ENDINGS: Final[Mapping[str, str]] = {
    "markdown": r"\.ocr\.md",
    "pdf": r"\.ocr\.pdf",
    "hocr": r"\.ocr\.hocr",
    "alto": r"\.ocr\.alto\.xml",
    # The format has one page to a file.
    "page": r"\.ocr(?:|/page-\d{4,})\.page\.xml",
    "textract": r"\.ocr\.textract\.json",
    "csv": r"\.ocr/page-\d{4,}-table-\d+\.csv",
    "overlay": r"\.ocr/page-\d{4,}\.png",
}

_OWN_OUTPUT = re.compile(
    rf"\.(?i:{'|'.join(EXTENSIONS)})(?:\.ocr/|(?:{re.escape(RESULT_SUFFIX)}|{'|'.join(OUTPUT_ENDINGS.values())})\Z)"
)
#: Old buckets may have names that new ones may not.
_BUCKET = re.compile(r"[A-Za-z0-9._-]{1,255}")

_ENDING = re.compile(rf"{re.escape(RESULT_SUFFIX)}|{'|'.join(OUTPUT_ENDINGS.values())}|\.ocr/.*", re.DOTALL)


def result_key(source_key: str) -> str:
    """Key of the result document of a source."""
    return source_key + RESULT_SUFFIX


def is_own_output(key: str) -> bool:
    """Whether the key alone shows that we wrote the object: `scan.pdf.ocr.json`, `scan.pdf.ocr/…`.

    `report.ocr.pdf` is a client's own document. An output of a source without a known extension
    (`scan` -> `scan.ocr.json`) is recognised by its metadata only.
    """
    return _OWN_OUTPUT.search(key) is not None


def may_be_output_of(source_key: str, key: str) -> bool:
    """Whether the object is named like an output of the source, whatever extension that has."""
    ending = key.removeprefix(source_key)
    return ending != key and _ENDING.fullmatch(ending) is not None


def is_too_long(source_key: str) -> bool:
    """Whether the key of the source's result would be longer than S3 allows."""
    return not fits(result_key(source_key))


def fits(key: str) -> bool:
    """Whether S3 allows a key of this length."""
    return len(key.encode()) <= MAX_KEY_BYTES


def parse_s3_uri(uri: str) -> tuple[str, str]:
    """Split `s3://bucket/key` into bucket and key (which may be empty); raises ValueError for other forms."""
    match = re.fullmatch(r"s3://([^/]+)(?:/(.*))?", uri, re.DOTALL)
    if match is None:
        raise ValueError(f"{uri!r} is not of the form s3://bucket/key")
    if ":" in match[1]:
        raise ValueError(f"{uri!r} names an access point: name its bucket, as events and results do")
    if _BUCKET.fullmatch(match[1]) is None:
        raise ValueError(f"{match[1]!r} is no name of a bucket")
    return match[1], match[2] or ""
