"""The format of a file is recognised by its bytes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumer.domain.formats import SNIFF_BYTES, Format, has_source_extension, sniff

BMP_HEADER = b"BM\x1a\x00\x01\x00\x00\x00\x00\x00\x36\x00\x00\x00"
HEADS = [
    (b"%PDF-1.7\n", Format.PDF),
    (b"\xef\xbb\xbf%PDF-1.4", Format.PDF),
    (b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR", Format.PNG),
    (b"\xff\xd8\xff\xe0\x00\x10JFIF", Format.JPEG),
    (b"\xff\xd8\xff\xe1\x00\x10Exif", Format.JPEG),
    (b"II*\x00\x08\x00\x00\x00", Format.TIFF),
    (b"MM\x00*\x00\x00\x00\x08", Format.TIFF),
    (b"II+\x00\x08\x00\x00\x00", Format.TIFF),
    (b"MM\x00+\x00\x08\x00\x00", Format.TIFF),
    (b"RIFF\x24\x00\x00\x00WEBPVP8 ", Format.WEBP),
    *((BMP_HEADER + size.to_bytes(4, "little"), Format.BMP) for size in (12, 40, 108, 124)),
]


@pytest.mark.parametrize(("head", "file_format"), HEADS)
def test_a_format_is_recognised_by_its_first_bytes(head: bytes, file_format: Format) -> None:
    assert sniff(head) is file_format
    assert sniff(head + bytes(SNIFF_BYTES)) is file_format


@pytest.mark.parametrize(
    "head",
    [
        b"",
        b"BM",
        b"BMW is a maker of cars and motorcycles, seated in Munich",
        b"RIFF\x24\x00\x00\x00WAVEfmt ",
        b"RIFF",
        b"%PDF",
        b"%pdf-1.7",
        b"GIF89a",
        b"PK\x03\x04",
        b"\xff\xd8",
        b"\x89PNG",
        b"PNG\r\n\x1a\n",
        b"II*",
        bytes(SNIFF_BYTES),
    ],
)
def test_other_bytes_are_of_no_format(head: bytes) -> None:
    assert sniff(head) is None


@pytest.mark.parametrize(
    ("junk_bytes", "is_pdf"), [(0, True), (1, True), (1019, True), (1020, False), (5000, False)]
)
def test_a_pdf_header_may_stand_anywhere_in_the_first_1024_bytes(junk_bytes: int, is_pdf: bool) -> None:
    assert sniff(b"\n" * junk_bytes + b"%PDF-1.7\n") is (Format.PDF if is_pdf else None)


@given(st.sampled_from(HEADS), st.data())
def test_a_head_cut_short_is_its_own_format_or_none(head: tuple[bytes, Format], data: st.DataObject) -> None:
    cut = head[0][: data.draw(st.integers(0, len(head[0])))]
    assert sniff(cut) in {head[1], None}


@pytest.mark.parametrize(
    ("key", "expected"),
    [("a/scan.PDF", True), ("x.jfif", True), ("scan.pdf.txt", False), ("pdf", False), ("a.pdf/b", False)],
)
def test_only_the_last_extension_of_a_key_counts(key: str, expected: bool) -> None:
    assert has_source_extension(key) is expected
