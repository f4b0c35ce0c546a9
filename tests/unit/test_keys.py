"""Keys of sources and of the outputs beside them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumer.domain import keys
from consumer.domain.formats import EXTENSIONS, has_source_extension


@pytest.mark.parametrize(
    ("key", "own"),
    [
        ("scan.pdf.ocr.json", True),
        ("a/b c/scan.PDF.ocr.json", True),
        ("scan.JpEg.ocr.md", True),
        ("scan.tiff.ocr.pdf", True),
        ("scan.pdf.ocr/parts/0123456789abcdef-300/1-64.json.gz", True),
        ("scan.pdf.ocr/page-0001.png", True),
        ("scan.pdf.ocr.hocr", True),
        ("scan.pdf.ocr.alto.xml", True),
        ("scan.pdf.ocr.page.xml", True),
        ("scan.pdf.ocr/page-0001.page.xml", True),
        ("scan.pdf.ocr.textract.json", True),
        ("line\nbreak.pdf.ocr.json", True),
        ("report.ocr.pdf", False),
        ("report.ocr.json", False),
        ("notes.txt.ocr.json", False),
        ("scan.pdf", False),
        ("scan.pdf.ocr", False),
        ("scan.pdf.ocr.png", False),
        ("scan.pdf.ocr.json.pdf", False),
        ("scan.pdf.ocr.json\n", False),
        ("scan.pdf.OCR.json", False),
        ("scanpdf.ocr.json", False),
        ("scan.pdf.ocrs/x.pdf", False),
    ],
)
def test_only_a_name_that_we_write_is_an_own_output(key: str, own: bool) -> None:
    assert keys.is_own_output(key) is own


@given(stem=st.text(), extension=st.sampled_from(EXTENSIONS), upper=st.booleans())
def test_the_result_of_a_source_never_becomes_a_source(stem: str, extension: str, upper: bool) -> None:
    key = f"{stem}.{extension.upper() if upper else extension}"
    assert has_source_extension(key)
    assert keys.is_own_output(keys.result_key(key))


@given(st.text(max_size=1100))
def test_a_source_is_too_long_when_its_results_name_is_over_1024_bytes(key: str) -> None:
    assert keys.is_too_long(key) is (len(keys.result_key(key).encode()) > 1024)


@pytest.mark.parametrize(
    ("key", "too_long"),
    [("x" * 1015, False), ("x" * 1016, True), ("ü" * 507 + "x", False), ("ü" * 508, True)],
)
def test_the_length_of_a_key_is_counted_in_bytes(key: str, too_long: bool) -> None:
    assert keys.is_too_long(key) is too_long


@pytest.mark.parametrize(
    ("uri", "location"),
    [
        ("s3://inbox/a/1page.pdf", ("inbox", "a/1page.pdf")),
        ("s3://inbox/", ("inbox", "")),
        ("s3://inbox", ("inbox", "")),
        ("s3://inbox//double/", ("inbox", "/double/")),
        ("s3://inbox/line\nbreak ?#%20.pdf", ("inbox", "line\nbreak ?#%20.pdf")),
    ],
)
def test_an_s3_uri_is_a_bucket_and_a_key(uri: str, location: tuple[str, str]) -> None:
    assert keys.parse_s3_uri(uri) == location


def test_an_access_point_is_refused_because_results_and_events_name_the_bucket() -> None:
    with pytest.raises(ValueError, match="names an access point: name its bucket"):
        keys.parse_s3_uri("s3://arn:aws:s3:eu-central-1:123456789012:accesspoint/mine/a.pdf")


@pytest.mark.parametrize("uri", ["", "s3://", "s3:///key", "inbox/key", "https://inbox/key", " s3://inbox"])
def test_a_malformed_s3_uri_is_refused_and_named(uri: str) -> None:
    with pytest.raises(ValueError, match="not of the form s3://bucket/key") as refused:
        keys.parse_s3_uri(uri)
    assert repr(uri) in str(refused.value)
