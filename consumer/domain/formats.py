"""Which files are sources: by their first bytes, never by their name."""

import re
from enum import StrEnum

#: How many bytes of a file's beginning `sniff` wants to see. Readers of PDF accept the header
#: anywhere in the first 1,024 bytes (ISO 32000-1, annex H, note 13).
SNIFF_BYTES = 1024

#: Sizes of the known BMP information headers; "BM" alone would make any text that starts so a picture.
_BMP_HEADER_SIZES = {12, 16, 40, 52, 56, 64, 108, 124}


class Format(StrEnum):
    """A file format that is read; the value is its media type."""

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
    """Whether the name promises one of the formats (`scan.PDF`), whatever the bytes are."""
    return _HAS_EXTENSION.search(key) is not None


def sniff(head: bytes) -> Format | None:
    """Tell the format from the first `SNIFF_BYTES` bytes of a file (fewer if it is shorter).

    Returns None where they are of no format that is read.
    """
    for start, found in _STARTS.items():
        if head.startswith(start):
            return found
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        return Format.WEBP
    if head.startswith(b"BM") and int.from_bytes(head[14:18], "little") in _BMP_HEADER_SIZES:
        return Format.BMP
    if b"%PDF-" in head[:SNIFF_BYTES]:
        return Format.PDF
    return None
