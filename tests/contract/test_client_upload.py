"""Uploads as clients make them: large ones in parts, of which nothing stays if they do not end."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from consumer.aws.client_upload import ClientUploads
from consumer.aws.s3 import S3Store
from consumer.cli.local_files import ChangedError, FileBody
from consumer.domain.body import Body
from consumer.domain.errors import ServiceError
from consumer.ports import NewObject

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

KEY = "a b/ü+1%.pdf"
#: S3 takes no smaller parts.
PART_BYTES = 5 * 1024 * 1024
LARGE = bytes(range(256)) * (2 * PART_BYTES // 256 + 100)


@pytest.fixture
def uploads(store: S3Store) -> ClientUploads:
    return ClientUploads(store.client, pytest.fail, part_bytes=PART_BYTES)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "a.pdf"


@pytest.fixture
def body(path: Path) -> Iterator[FileBody]:
    path.write_bytes(LARGE)
    with FileBody.opened(path) as body:
        yield body


def new(bucket: str, body: Body, content_type: str = "application/pdf") -> NewObject:
    return NewObject(bucket, KEY, body, {}, content_type)


def unfinished(s3: "S3Client", bucket: str) -> object:
    return s3.list_multipart_uploads(Bucket=bucket).get("Uploads", [])


@pytest.mark.parametrize("size_bytes", [0, 1000, PART_BYTES, PART_BYTES + 1, len(LARGE)])
async def test_an_upload_has_its_bytes_its_type_and_the_etag_that_head_returns(
    uploads: ClientUploads, store: S3Store, s3: "S3Client", bucket: str, path: Path, size_bytes: int
) -> None:
    path.write_bytes(LARGE[:size_bytes])
    sent: list[int] = []
    with FileBody.opened(path) as body:
        etag = await uploads.upload(new(bucket, body), body.require_unchanged, sent.append)
    info = await store.head(bucket, KEY)
    assert info is not None
    assert (info.etag, info.source.content_type) == (etag, "application/pdf")
    assert b"".join([chunk async for chunk in store.chunks(info.source)]) == LARGE[:size_bytes]
    assert (sum(sent), len(sent)) == (size_bytes, max(-(-size_bytes // PART_BYTES), 1))
    assert ("-" in etag) is (size_bytes > PART_BYTES)
    assert unfinished(s3, bucket) == []


@pytest.mark.parametrize("rest", [LARGE[: PART_BYTES // 2], LARGE + b"more"], ids=["shorter", "longer"])
async def test_of_a_large_file_that_is_written_meanwhile_nothing_stays(
    uploads: ClientUploads,
    store: S3Store,
    s3: "S3Client",
    bucket: str,
    path: Path,
    body: FileBody,
    rest: bytes,
) -> None:
    with path.open("r+b") as file:
        file.truncate(file.write(rest))
    with pytest.raises(ChangedError, match=r"a\.pdf was written while it was uploaded"):
        await uploads.upload(new(bucket, body), body.require_unchanged, lambda _: None)
    assert await store.head(bucket, KEY) is None
    assert unfinished(s3, bucket) == []


async def test_a_small_file_that_is_written_meanwhile_is_reported(
    uploads: ClientUploads, bucket: str, path: Path
) -> None:
    path.write_bytes(b"%PDF-")
    with FileBody.opened(path) as body:
        path.write_bytes(b"%PDF-1.7")
        with pytest.raises(ChangedError):
            await uploads.upload(new(bucket, body), body.require_unchanged, lambda _: None)


async def test_a_refusal_names_the_object(uploads: ClientUploads, body: FileBody) -> None:
    with pytest.raises(ServiceError, match=r"s3://no-such-bucket-here/a b/.*NoSuchBucket"):
        await uploads.upload(new("no-such-bucket-here", body), body.require_unchanged, lambda _: None)
