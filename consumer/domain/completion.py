"""The announcement of a finished document."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from consumer.domain import keys
from consumer.domain.identity import ResultHead
from consumer.domain.result import Source, Status

#: Amazon Textract's words, so that consumers of its announcements understand ours:
#: https://docs.aws.amazon.com/textract/latest/dg/async-notification-payload.html
_STATUSES: Final = {Status.SUCCESS: "SUCCEEDED", Status.PARTIAL: "PARTIAL_SUCCESS", Status.FAILURE: "FAILED"}


@dataclass(frozen=True, slots=True)
class Completion:
    """A source and its result, which was just made or existed already."""

    source: Source
    result: ResultHead

    def message(self, at: datetime) -> dict[str, Any]:
        """Return the announcement, to be sent as JSON. `at`: its time, sent in milliseconds since 1970."""
        source = self.source
        location = {"S3Bucket": source.bucket, "S3ObjectName": source.key}
        if source.version_id is not None:
            location["S3ObjectVersion"] = source.version_id
        return {
            "bucket-ocr": 1,
            "Status": _STATUSES[self.result.status],
            "Code": self.result.code,
            "Timestamp": int(at.timestamp() * 1000),
            "DocumentLocation": location,
            "DocumentETag": source.etag,
            "DocumentMetadata": {"Pages": self.result.page_count},
            "ResultLocation": {"S3Bucket": source.bucket, "S3ObjectName": keys.result_key(source.key)},
        }
