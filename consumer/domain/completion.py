"""The announcement of a finished document."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Self

from consumer.domain import keys
from consumer.domain.identity import ResultHead
from consumer.domain.result import ResultDocument, Source, Status

#: Amazon Textract's words, so that consumers of its announcements understand ours:
#: https://docs.aws.amazon.com/textract/latest/dg/async-notification-payload.html
_STATUSES: Final = {
    Status.SUCCESS: "SUCCEEDED",
    Status.PARTIAL: "PARTIAL_SUCCESS",
    Status.FAILURE: "FAILED",
}


@dataclass(frozen=True, slots=True)
class Completion:
    """A source that has a result. `page_count`: None if the result's metadata do not contain it."""

    source: Source
    status: Status
    code: str | None
    page_count: int | None

    @classmethod
    def of(cls, document: ResultDocument) -> Self:
        """Describe a result that was just made."""
        code = document.error.code.value if document.error else None
        return cls(document.source, document.status, code, document.page_count)

    @classmethod
    def found(cls, source: Source, existing: ResultHead) -> Self:
        """Describe a result that existed already."""
        return cls(source, existing.status, existing.code, existing.page_count)

    def message(self, at: datetime) -> dict[str, Any]:
        """Return the announcement, to be sent as JSON. `at`: its time, sent in milliseconds since 1970."""
        source = self.source
        location = {"S3Bucket": source.bucket, "S3ObjectName": source.key}
        if source.version_id is not None:
            location["S3ObjectVersion"] = source.version_id
        return {
            "bucket-ocr": 1,
            "Status": _STATUSES[self.status],
            "Code": self.code,
            "Timestamp": int(at.timestamp() * 1000),
            "DocumentLocation": location,
            "DocumentETag": source.etag,
            "DocumentMetadata": {"Pages": self.page_count},
            "ResultLocation": {"S3Bucket": source.bucket, "S3ObjectName": keys.result_key(source.key)},
        }
