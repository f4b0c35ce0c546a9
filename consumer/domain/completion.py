"""What is announced of a finished document."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Self

from consumer.domain import keys
from consumer.domain.identity import ResultHead
from consumer.domain.result import ResultDocument, Source, Status

#: Amazon Textract's words for the same, so that what understands its announcements needs no others:
#: https://docs.aws.amazon.com/textract/latest/dg/async-notification-payload.html
_STATUSES: Final = {
    Status.SUCCESS: "SUCCEEDED",
    Status.PARTIAL: "PARTIAL_SUCCESS",
    Status.FAILURE: "FAILED",
}


@dataclass(frozen=True, slots=True)
class Completion:
    """A source that has a result; `page_count` is None where that does not tell it without being read."""

    source: Source
    status: Status
    code: str | None
    page_count: int | None

    @classmethod
    def of(cls, document: ResultDocument) -> Self:
        """Of a result that we have just made."""
        code = document.error.code.value if document.error else None
        return cls(document.source, document.status, code, document.page_count)

    @classmethod
    def found(cls, source: Source, there: ResultHead) -> Self:
        """Of a result that was there already."""
        return cls(source, there.status, there.code, there.page_count)

    @property
    def word(self) -> str:
        """Its status, as announced: SUCCEEDED, PARTIAL_SUCCESS or FAILED."""
        return _STATUSES[self.status]

    def message(self, at: datetime) -> dict[str, Any]:
        """The announcement, to be sent as JSON. `at` is told in milliseconds since 1970."""
        source = self.source
        location = {"S3Bucket": source.bucket, "S3ObjectName": source.key}
        if source.version_id is not None:
            location["S3ObjectVersion"] = source.version_id
        return {
            "bucket-ocr": 1,
            "Status": self.word,
            "Code": self.code,
            "Timestamp": int(at.timestamp() * 1000),
            "DocumentLocation": location,
            "DocumentETag": source.etag,
            "DocumentMetadata": {"Pages": self.page_count},
            "ResultLocation": {"S3Bucket": source.bucket, "S3ObjectName": keys.result_key(source.key)},
        }
