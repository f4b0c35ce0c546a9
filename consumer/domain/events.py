"""Message bodies: the jobs that they ask for, and the request for a part of a document.

Accepted: an S3 event notification of a created or restored object, the same inside an SNS envelope, an
EventBridge event of S3, `s3:TestEvent`, and the project's own request. Everything else is malformed.
"""

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Final, Self
from urllib.parse import unquote_plus

from pydantic import (
    AliasPath,
    AwareDatetime,
    BaseModel,
    Field,
    StrictBool,
    StrictInt,
    ValidationError,
    model_validator,
)

from consumer.domain import keys, parts
from consumer.domain.errors import MalformedMessageError
from consumer.domain.parts import MOST_PAGES, PageRange

#: S3 events may come in an SNS envelope, but no sender nests envelopes.
_MAX_ENVELOPES = 2

#: An archived object can be read again.
_RESTORED: Final = {"ObjectRestore:Completed", "Object Restore Completed"}

#: Why the event of another object that we wrote is ignored.
OWN_OUTPUT: Final = "own output"

#: Why the event of stored pages of a long document is ignored.
OWN_PIECE: Final = "own piece"

_NO_SOURCE: Final = "`pages` needs `etag` and `page_count`: send the request without `pages`"


@dataclass(frozen=True, slots=True)
class PartRange:
    """A range of pages of one very object; 1 <= `first` <= `last` <= `page_count`.

    `etag`, without quotation marks, and `version_id`: of the source that was found to have so many pages.
    `replaces`: ETag of the result that is to be replaced although it is current. `engine`: digest of the
    engine that is to read the pages; None for any. `passed`: how often other consumers have passed it on.
    `queued_at`: when the message came that asked for the whole document; `started_at`: when work on it began.
    """

    first: int
    last: int
    page_count: int
    etag: str
    version_id: str | None = None
    replaces: str | None = None
    engine: str | None = None
    passed: int = 0
    queued_at: datetime | None = None
    started_at: datetime | None = None

    @property
    def pages(self) -> PageRange:
        """The pages as a range."""
        return PageRange(self.first, self.last)


@dataclass(frozen=True, slots=True)
class Job:
    """A request to make sure that the source, as it is *now*, has a current result.

    An event may be old, doubled or late, so it names an object and says nothing about its content.
    `force`: read the source again although its result is current. `part`: the range that is asked for; None
    for the whole source. `problem`: why its options cannot be met; empty if they can.
    """

    bucket: str
    key: str
    force: bool = False
    part: PartRange | None = None
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Notification:
    """A parsed message body.

    `ignored`: a reason for each record that needs no work (test events, deletions, own outputs, folder
    markers). `malformed`: a reason for each that cannot be understood; a message with one must not be
    deleted.
    """

    jobs: tuple[Job, ...] = ()
    ignored: tuple[str, ...] = ()
    malformed: tuple[str, ...] = ()

    @property
    def is_of_part(self) -> bool:
        """Whether it asks for a part of a document."""
        return any(job.part is not None for job in self.jobs)


def parse(body: str) -> Notification:
    """Parse a message body. Never raises: records that cannot be understood are listed as malformed."""
    jobs: list[Job] = []
    ignored: list[str] = []
    malformed: list[str] = []
    for kind, record in _records(body):
        try:
            result = kind.model_validate(record).job()
        except (MalformedMessageError, ValidationError) as error:
            malformed.append(_one_line(error))
        else:
            jobs.append(result) if isinstance(result, Job) else ignored.append(result)
    if not (jobs or ignored or malformed):
        malformed.append("the body is none of the accepted forms")
    return Notification(tuple(dict.fromkeys(jobs)), tuple(ignored), tuple(malformed))


def request(bucket: str, key: str, *, force: bool = False) -> str:
    """Write the body of a message that asks for a source; `force`: although its result is current."""
    forced = {"force": True} if force else {}
    return json.dumps({"bucket-ocr": 1, "bucket": bucket, "key": key, **forced})


def part_request(bucket: str, key: str, part: PartRange) -> str:
    """Write the body of a message that asks for a part of a source."""
    return json.dumps(
        {
            "bucket-ocr": 1,
            "bucket": bucket,
            "key": key,
            "etag": part.etag,
            "version_id": part.version_id,
            "pages": [part.first, part.last],
            "page_count": part.page_count,
            "replaces": part.replaces,
            "engine": part.engine,
            "passed": part.passed,
            "queued_at": part.queued_at.isoformat() if part.queued_at else None,
            "started_at": part.started_at.isoformat() if part.started_at else None,
        }
    )


_Name = Annotated[str, Field(min_length=1)]
#: All names that S3 has ever allowed. The ARN of an access point would send requests to a host of its choice.
_BucketName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{2,254}$")]


class _S3Record(BaseModel):
    event: str = Field(validation_alias="eventName")
    bucket: _BucketName = Field(validation_alias=AliasPath("s3", "bucket", "name"))
    key: _Name = Field(validation_alias=AliasPath("s3", "object", "key"))

    def job(self) -> Job | str:
        # Other stores with the API of S3 (MinIO) write "s3:ObjectCreated:Put".
        event = self.event.removeprefix("s3:")
        if not event.startswith("ObjectCreated:") and event not in _RESTORED:
            return self.event
        try:
            # S3 encodes keys as HTML forms do: "+" is a space, "%2B" a plus.
            key = unquote_plus(self.key, errors="strict")
        except UnicodeDecodeError as error:
            raise MalformedMessageError(f"the key {self.key!r} is not UTF-8") from error
        return _job(self.bucket, key)


class _EventBridge(BaseModel):
    event: str = Field(validation_alias="detail-type")
    bucket: _BucketName = Field(validation_alias=AliasPath("detail", "bucket", "name"))
    key: _Name = Field(validation_alias=AliasPath("detail", "object", "key"))

    def job(self) -> Job | str:
        # Unlike the queue's own notifications, EventBridge carries the key as it is.
        is_readable = self.event == "Object Created" or self.event in _RESTORED
        return _job(self.bucket, self.key) if is_readable else self.event


class _TestEvent(BaseModel):
    event: str = Field(validation_alias="Event")

    def job(self) -> str:
        return self.event


_PageNumber = Annotated[StrictInt, Field(ge=1, le=MOST_PAGES)]


class _Request(BaseModel):
    """The project's own message, for a whole document or a range of its pages."""

    version: Annotated[StrictInt, Field(alias="bucket-ocr", ge=1, le=1)]
    bucket: _BucketName
    key: _Name
    force: StrictBool = False
    etag: _Name | None = None
    version_id: str | None = None
    pages: tuple[_PageNumber, _PageNumber] | None = None
    page_count: _PageNumber | None = None
    replaces: str | None = None
    engine: str | None = None
    passed: Annotated[StrictInt, Field(ge=0)] = 0
    queued_at: AwareDatetime | None = None
    started_at: AwareDatetime | None = None

    @model_validator(mode="after")
    def _pages_in_order(self) -> Self:
        if self.pages is not None and self.pages[0] > self.pages[1]:
            raise ValueError("pages: the first page comes after the last")
        if self.pages is not None and self.page_count is not None and self.pages[1] > self.page_count:
            raise ValueError("pages: the last page comes after the end of the document")
        return self

    def job(self) -> Job | str:
        if self.pages is None:
            return _job(self.bucket, self.key, self.force)
        if self.etag is None or self.page_count is None:
            return _job(self.bucket, self.key, self.force, problem=_NO_SOURCE)
        part = PartRange(
            *self.pages,
            self.page_count,
            self.etag,
            self.version_id,
            replaces=self.replaces,
            engine=self.engine,
            passed=self.passed,
            queued_at=self.queued_at,
            started_at=self.started_at,
        )
        return _job(self.bucket, self.key, self.force, part)


_Kind = type[_S3Record | _EventBridge | _TestEvent | _Request]


def _records(body: str) -> list[tuple[_Kind, Any]]:
    """Unwrap envelopes; returns each record with its kind, unchecked: a bad one must not hide a good one."""
    for _ in range(_MAX_ENVELOPES):
        try:
            document = json.loads(body)
        except (ValueError, RecursionError):
            break
        match document:
            case {"TopicArn": str(), "Message": str(message)}:
                body = message
            case {"Records": [_, *_] as records}:
                return [(_S3Record, record) for record in records]
            case {"Event": "s3:TestEvent"}:
                return [(_TestEvent, document)]
            case {"detail-type": _, "source": "aws.s3"}:
                return [(_EventBridge, document)]
            case {"bucket-ocr": _}:
                return [(_Request, document)]
            case _:
                break
    return []


def _job(
    bucket: str, key: str, force: bool = False, part: PartRange | None = None, problem: str = ""
) -> Job | str:
    if parts.source_key(key) is not None:
        return OWN_PIECE
    if keys.is_own_output(key):
        return OWN_OUTPUT
    if key.endswith("/"):
        return "folder marker"
    if keys.is_too_long(key):
        raise MalformedMessageError(
            f"the key is over {keys.MAX_SOURCE_KEY_BYTES} bytes, which leaves no bytes for the key of "
            f"its result: rename the source that begins with {f's3://{bucket}/{key[:80]}'!r}"
        )
    return Job(bucket, key, force, part, problem)


def _one_line(error: MalformedMessageError | ValidationError) -> str:
    if isinstance(error, MalformedMessageError):
        return str(error)
    first = error.errors()[0]
    field = ".".join(map(str, first["loc"])) or "the record"
    return f"{field}: {first['msg'].replace(_S3Record.__name__, 'an S3 record')}"
