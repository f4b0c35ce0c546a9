"""Formats of sources, recognised by their first bytes, never by their name."""

import re
from enum import StrEnum

#: Number of bytes at a file's beginning that `sniff` needs. Readers of PDF accept the header anywhere in
#: the first 1,024 bytes (ISO 32000-1, annex H, note 13).
SNIFF_BYTES = 1024

#: Sizes of the known BMP information headers; many a text begins with "BM" too.
_BMP_HEADER_SIZES = {12, 16, 40, 52, 56, 64, 108, 124}


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

#: TIFF: classic and BigTIFF, each in both byte orders.
_STARTS = {
    b"\x89PNG\r\n\x1a\n": Format.PNG,
    b"\xff\xd8\xff": Format.JPEG,
    b"II*\0": Format.TIFF,
    b"MM\0*": Format.TIFF,
    b"II+\0": Format.TIFF,
    b"MM\0+": Format.TIFF,
}

_HAS_EXTENSION = re.compile(rf"\.(?:{'|'.join(EXTENSIONS)})\Z", re.IGNORECASE)


def has_source_extension(key: str) -> bool:
    """Whether the name has the extension of a supported format, in any case (`scan.PDF`)."""
    return _HAS_EXTENSION.search(key) is not None


def sniff(head: bytes) -> Format | None:
    """Return the format of a file by its first `SNIFF_BYTES` bytes (fewer if it is shorter).

    Returns None for any other format.
    """
    for start, file_format in _STARTS.items():
        if head.startswith(start):
            return file_format
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        return Format.WEBP
    if head.startswith(b"BM") and int.from_bytes(head[14:18], "little") in _BMP_HEADER_SIZES:
        return Format.BMP
    if b"%PDF-" in head[:SNIFF_BYTES]:
        return Format.PDF
    return None
