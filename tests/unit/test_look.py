"""Objects whose bytes cannot be had: what S3 answers, and what that means."""

from datetime import UTC, datetime
from typing import Any, cast

import pytest
from botocore.exceptions import ClientError

from consumer.aws import look
from consumer.aws.s3 import S3Store
from consumer.domain.errors import Code, ForbiddenError, UnavailableError

ONGOING = 'ongoing-request="true"'
DONE = 'ongoing-request="false", expiry-date="Fri, 21 Dec 2029 00:00:00 GMT"'


@pytest.mark.parametrize(
    ("head", "is_archived"),
    [
        ({}, False),
        ({"StorageClass": "STANDARD_IA"}, False),
        ({"StorageClass": "GLACIER_IR"}, False),
        ({"StorageClass": "GLACIER"}, True),
        ({"StorageClass": "DEEP_ARCHIVE"}, True),
        ({"StorageClass": "DEEP_ARCHIVE", "Restore": ONGOING}, True),
        ({"StorageClass": "GLACIER", "Restore": DONE}, False),
        ({"StorageClass": "INTELLIGENT_TIERING"}, False),
        ({"StorageClass": "INTELLIGENT_TIERING", "ArchiveStatus": "ARCHIVE_ACCESS"}, True),
        ({"StorageClass": "INTELLIGENT_TIERING", "ArchiveStatus": "DEEP_ARCHIVE_ACCESS"}, True),
        (
            {"StorageClass": "INTELLIGENT_TIERING", "ArchiveStatus": "ARCHIVE_ACCESS", "Restore": ONGOING},
            True,
        ),
    ],
)
def test_an_object_is_archived_from_its_storage_class_or_tier_until_it_is_restored(
    head: dict[str, str], is_archived: bool
) -> None:
    unreadable = look.unreadable(cast(Any, head))
    assert (unreadable is not None) is is_archived
    if unreadable is not None:
        assert unreadable.code is Code.ARCHIVED
        assert (head.get("ArchiveStatus") or head["StorageClass"]) in unreadable.message
        assert "restore" in unreadable.message


class Client:
    """An S3 client to which a HEAD is refused by 400, and a GET by `code`; None: it is not."""

    def __init__(self, code: str | None) -> None:
        self.code = code
        self.keys = ["a.pdf", "a.pdf.ocr.json"]

    async def head_object(self, **_: str) -> Any:
        raise _error("400", 400)

    async def get_object(self, **_: str) -> Any:
        if self.code is not None:
            raise _error(self.code, 400)
        return {"Body": Body()}

    async def list_objects_v2(self, **asked: Any) -> Any:
        keys = [key for key in self.keys if key.startswith(asked["Prefix"])]
        found = {"ETag": '"e"', "Size": 5, "LastModified": datetime(2026, 1, 1, tzinfo=UTC)}
        return {"Contents": [{"Key": key, **found} for key in keys[: asked["MaxKeys"]]]}


class Body:
    """A body that is left unread."""

    async def __aenter__(self) -> None: ...

    async def __aexit__(self, *_: object) -> None: ...


def _error(code: str, status: int) -> ClientError:
    answer = {"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(cast(Any, answer), "It")


def store(client: Client) -> S3Store:
    return S3Store(cast(Any, client))


async def test_an_object_with_a_key_of_its_clients_is_described_by_a_listing() -> None:
    info = await store(Client("InvalidRequest")).head("inbox", "a.pdf")
    assert info is not None
    assert info.unreadable is not None
    assert info.unreadable.code is Code.KEY_REQUIRED
    assert (info.etag, info.source.size_bytes, info.source.version_id) == ("e", 5, None)


async def test_one_that_is_gone_meanwhile_is_not_there() -> None:
    client = Client("InvalidRequest")
    client.keys = ["a.pdf.ocr.json"]
    assert await store(client).head("inbox", "a.pdf") is None


async def test_other_reasons_of_a_refused_head_are_no_matter_of_keys_and_no_object_counts_as_gone() -> None:
    with pytest.raises(ForbiddenError, match="ExpiredToken"):
        await store(Client("ExpiredToken")).head("inbox", "a.pdf")
    with pytest.raises(UnavailableError, match="400"):
        await store(Client(None)).head("inbox", "a.pdf")
