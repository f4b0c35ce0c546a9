"""The announcement of a finished document."""

from datetime import UTC, datetime

from consumer.domain.completion import Completion
from consumer.domain.result import Source, Status

SOURCE = Source(
    bucket="inbox",
    key="a/scan ü.pdf",
    version_id="v1",
    etag="e1",
    size_bytes=1,
    content_type=None,
    last_modified=datetime(2026, 1, 1, tzinfo=UTC),
)


def test_an_announcement_has_the_words_of_textract() -> None:
    partial = Completion(SOURCE, Status.PARTIAL, None, 3)
    assert partial.message(datetime(2026, 1, 1, tzinfo=UTC)) == {
        "bucket-ocr": 1,
        "Status": "PARTIAL_SUCCESS",
        "Code": None,
        "Timestamp": 1767225600000,
        "DocumentLocation": {"S3Bucket": "inbox", "S3ObjectName": "a/scan ü.pdf", "S3ObjectVersion": "v1"},
        "DocumentETag": "e1",
        "DocumentMetadata": {"Pages": 3},
        "ResultLocation": {"S3Bucket": "inbox", "S3ObjectName": "a/scan ü.pdf.ocr.json"},
    }
