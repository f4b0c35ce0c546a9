"""`ports.ObjectStore`, as the pipeline relies on it."""

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from consumer.adapters.s3 import S3Store
from consumer.domain.errors import ConflictError, ServiceError, SourceChangedError, SourceGoneError
from consumer.domain.result import Source

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

KEY = "a b/ü+1%.pdf"
BODY = bytes(range(256)) * 8192  # two chunks of a download
META = {"ocr-status": "SUCCESS"}


@pytest.fixture
async def source(store: S3Store, s3: "S3Client", bucket: str) -> Source:
    s3.put_object(Bucket=bucket, Key=KEY, Body=BODY, ContentType="application/pdf")
    head = await store.head(bucket, KEY)
    assert head is not None
    return head.source


def _no_progress() -> None:
    pass


class TestHead:
    async def test_of_nothing_is_none(self, store: S3Store, bucket: str) -> None:
        assert await store.head(bucket, "missing.pdf") is None

    async def test_tells_the_facts_of_the_object(
        self, store: S3Store, s3: "S3Client", bucket: str, source: Source
    ) -> None:
        assert (source.bucket, source.key, source.size_bytes) == (bucket, KEY, len(BODY))
        assert (source.content_type, source.version_id) == ("application/pdf", None)
        assert f'"{source.etag}"' == s3.head_object(Bucket=bucket, Key=KEY)["ETag"]

    async def test_of_a_versioned_object_names_the_version(
        self, store: S3Store, s3: "S3Client", bucket: str
    ) -> None:
        s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
        version_id = s3.put_object(Bucket=bucket, Key=KEY, Body=BODY)["VersionId"]
        head = await store.head(bucket, KEY)
        assert head is not None
        assert head.source.version_id == version_id

    async def test_gives_metadata_names_in_lower_case(
        self, store: S3Store, s3: "S3Client", bucket: str
    ) -> None:
        s3.put_object(Bucket=bucket, Key="x", Body=b"", Metadata={"OCR-Status": "SUCCESS"})
        head = await store.head(bucket, "x")
        assert head is not None
        assert head.metadata == META


class TestPutResult:
    async def _put(self, store: S3Store, bucket: str, body: bytes, replaces: str | None) -> str:
        await store.put_result(bucket, KEY, body, META, replaces=replaces)
        head = await store.head(bucket, KEY)
        assert head is not None
        assert (head.metadata, head.source.content_type) == (META, "application/json")
        return head.source.etag

    async def test_replaces_only_what_was_looked_at(self, store: S3Store, bucket: str) -> None:
        first = await self._put(store, bucket, b"1", None)
        with pytest.raises(ConflictError):
            await self._put(store, bucket, b"2", None)
        second = await self._put(store, bucket, b"2", first)
        assert second != first
        with pytest.raises(ConflictError):
            await self._put(store, bucket, b"3", first)
        assert await store.read(bucket, KEY) == b"2"

    async def test_of_what_was_deleted_meanwhile_is_a_conflict(
        self, store: S3Store, s3: "S3Client", bucket: str
    ) -> None:
        etag = await self._put(store, bucket, b"1", None)
        s3.delete_object(Bucket=bucket, Key=KEY)
        with pytest.raises(ConflictError):
            await self._put(store, bucket, b"2", etag)
        assert await store.read(bucket, KEY) is None


class TestDownload:
    async def test_writes_the_bytes_and_tells_progress(
        self, store: S3Store, source: Source, tmp_path: Path
    ) -> None:
        steps: list[None] = []
        await store.download(source, tmp_path / "x", lambda: steps.append(None))
        assert (tmp_path / "x").read_bytes() == BODY
        assert len(steps) >= 2
        assert await store.read_start(source, 100) == BODY[:100]
        assert await store.read_start(source, 10 * len(BODY)) == BODY

    async def test_of_an_empty_object_is_empty(
        self, store: S3Store, s3: "S3Client", bucket: str, tmp_path: Path
    ) -> None:
        s3.put_object(Bucket=bucket, Key="empty.pdf", Body=b"")
        head = await store.head(bucket, "empty.pdf")
        assert head is not None
        await store.download(head.source, tmp_path / "x", _no_progress)
        assert (tmp_path / "x").read_bytes() == await store.read_start(head.source, 100) == b""

    async def test_of_an_overwritten_object_is_refused(
        self, store: S3Store, s3: "S3Client", source: Source, tmp_path: Path
    ) -> None:
        s3.put_object(Bucket=source.bucket, Key=KEY, Body=b"other")
        with pytest.raises(SourceChangedError):
            await store.download(source, tmp_path / "x", _no_progress)
        with pytest.raises(SourceChangedError):
            await store.read_start(source, 100)

    async def test_of_a_deleted_object_is_refused(
        self, store: S3Store, s3: "S3Client", source: Source, tmp_path: Path
    ) -> None:
        s3.delete_object(Bucket=source.bucket, Key=KEY)
        with pytest.raises(SourceGoneError):
            await store.download(source, tmp_path / "x", _no_progress)
        with pytest.raises(SourceGoneError):
            await store.read_start(source, 100)

    async def test_of_a_versioned_object_is_of_that_version(
        self, store: S3Store, s3: "S3Client", bucket: str, tmp_path: Path
    ) -> None:
        s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
        s3.put_object(Bucket=bucket, Key=KEY, Body=b"old")
        head = await store.head(bucket, KEY)
        assert head is not None
        s3.put_object(Bucket=bucket, Key=KEY, Body=b"new")
        await store.download(head.source, tmp_path / "x", _no_progress)
        assert (tmp_path / "x").read_bytes() == b"old"

    async def test_that_ends_early_is_tried_again_later(
        self, store: S3Store, source: Source, tmp_path: Path
    ) -> None:
        larger = source.model_copy(update={"size_bytes": source.size_bytes + 1})
        with pytest.raises(ServiceError, match=re.escape(f"GET s3://{source.bucket}/{KEY}")):
            await store.download(larger, tmp_path / "x", _no_progress)


async def test_list_gives_all_keys_under_a_prefix_in_order(
    store: S3Store, s3: "S3Client", bucket: str
) -> None:
    for key in ("b/2", "b/1", "a/1"):
        s3.put_object(Bucket=bucket, Key=key, Body=key.encode())
    listed = [item async for item in store.list(bucket, "b/")]
    assert [(item.key, item.size_bytes) for item in listed] == [("b/1", 3), ("b/2", 3)]
    head = await store.head(bucket, "b/1")
    assert head is not None
    assert listed[0].etag == head.source.etag


async def test_upload_returns_the_etag_that_head_tells(store: S3Store, bucket: str, tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(BODY)
    etag = await store.upload(tmp_path / "x", bucket, KEY, "application/pdf")
    head = await store.head(bucket, KEY)
    assert head is not None
    assert (head.source.etag, head.source.content_type) == (etag, "application/pdf")


async def test_a_missing_bucket_is_a_service_error_that_names_it(store: S3Store) -> None:
    with pytest.raises(ServiceError, match="s3://no-such-bucket-here/x"):
        await store.put_result("no-such-bucket-here", "x", b"", {}, replaces=None)
