"""Formats of sources, recognised by their first bytes, never by their name."""

import re
from enum import StrEnum

#: Number of bytes at a file's beginning that `sniff` needs. Readers of PDF accept the header anywhere in
#: the first 1,024 bytes (ISO 32000-1, annex H, note 13).
SNIFF_BYTES = 1024


class Format(StrEnum):
    """A supported format; the value is its media type."""

    PDF = "application/pdf"
    PNG = "image/png"
    JPEG = "image/jpeg"
    TIFF = "image/tiff"
    BMP = "image/bmp"
    WEBP = "image/webp"


#: Extensions (lower case) under which clients upload these formats.
EXTENSIONS = ("pdf", "png", "jpg", "jpeg", "jpe", "jfif", "tif", "tiff", "bmp", "dib", "webp")

_SIGNATURES = {
    Format.PNG: re.compile(rb"\x89PNG\r\n\x1a\n"),
    Format.JPEG: re.compile(rb"\xff\xd8\xff"),
    # Classic and BigTIFF, each in both byte orders.
    Format.TIFF: re.compile(rb"II[*+]\0|MM\0[*+]"),
    Format.WEBP: re.compile(rb"RIFF.{4}WEBP", re.DOTALL),
    # A text may begin with "BM" too, so the size of the information header must be known: 12, 16, 40, 52, 56,
    # 64, 108 or 124 bytes.
    Format.BMP: re.compile(rb"BM.{12}[\x0c\x10\x28\x34\x38\x40\x6c\x7c]\0\0\0", re.DOTALL),
    Format.PDF: re.compile(rb".{,%d}%%PDF-" % (SNIFF_BYTES - len(b"%PDF-")), re.DOTALL),
}

_HAS_EXTENSION = re.compile(rf"\.(?:{'|'.join(EXTENSIONS)})\Z", re.IGNORECASE)


def has_source_extension(key: str) -> bool:
    """Whether the name has the extension of a supported format, in any case (`scan.PDF`)."""
    return _HAS_EXTENSION.search(key) is not None


def sniff(head: bytes) -> Format | None:
    """Return the format of a file by its first `SNIFF_BYTES` bytes (fewer if it is shorter).

    Returns None for any other format.
    """
    return next((each for each, signature in _SIGNATURES.items() if signature.match(head)), None)
