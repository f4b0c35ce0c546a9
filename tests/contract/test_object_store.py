"""`ports.ObjectStore`, as the service relies on it, on S3 and of the fake; and the rest of S3's adapter."""

import contextlib
import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from consumer.aws.s3 import S3Store
from consumer.domain import keys
from consumer.domain.body import CHUNK_BYTES, Body, BytesBody, JoinedBody
from consumer.domain.errors import Code, ConflictError, ServiceError, SourceChangedError, SourceGoneError
from consumer.domain.result import Source
from consumer.ports import NewObject, ObjectInfo, ObjectStore
from consumer.service.spool import FileSpool
from tests.contract.backends import BucketBackend, FakeBucketBackend, LocalStackBucketBackend, Steps

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

KEY = "a b/ü+1%.pdf"
RESULT_KEY = keys.result_key(KEY)
BODY = bytes(range(256)) * 8192  # two chunks of a download
META = {"ocr-status": "SUCCESS"}
NO_BUCKET = "no-such-bucket-here"


@pytest.fixture(params=["localstack", "fake"])
def backend(request: pytest.FixtureRequest) -> BucketBackend:
    if request.param == "fake":
        return FakeBucketBackend()
    return LocalStackBucketBackend(*map(request.getfixturevalue, ("store", "bucket", "s3")))


@pytest.fixture
async def source(backend: BucketBackend) -> Source:
    backend.upload(KEY, BODY)
    return (await _head(backend.store, backend.name)).source


async def _head(store: ObjectStore, bucket: str, key: str = KEY) -> ObjectInfo:
    head = await store.head(bucket, key)
    assert head is not None
    return head


class TestHead:
    async def test_of_nothing_is_none(self, backend: BucketBackend) -> None:
        assert await backend.store.head(backend.name, "missing.pdf") is None

    async def test_describes_the_object(self, backend: BucketBackend) -> None:
        etag, _ = backend.upload(KEY, BODY)
        source = (await _head(backend.store, backend.name)).source
        assert (source.bucket, source.key, source.size_bytes) == (backend.name, KEY, len(BODY))
        assert (source.etag, source.version_id) == (etag, None)

    async def test_a_listing_finds_the_object_and_none_of_a_longer_key(self, backend: BucketBackend) -> None:
        backend.upload(f"{KEY}.ocr.json", b"{}")
        assert await backend.store.find(backend.name, KEY) is None
        backend.upload(KEY, BODY)
        found = await backend.store.find(backend.name, KEY)
        assert found is not None
        head = await _head(backend.store, backend.name)
        assert found.source == head.source.model_copy(update={"content_type": None})

    async def test_of_a_versioned_object_names_the_version(self, backend: BucketBackend) -> None:
        backend.keep_versions()
        versions = [backend.upload(KEY, BODY)[1] for _ in range(2)]
        source = (await _head(backend.store, backend.name)).source
        assert source.version_id == versions[1] != versions[0]

    async def test_of_a_deleted_object_is_none_though_a_version_of_it_is_kept(
        self, backend: BucketBackend
    ) -> None:
        backend.keep_versions()
        backend.upload(KEY, BODY)
        backend.delete(KEY)
        assert await backend.store.head(backend.name, KEY) is None


@pytest.mark.usefixtures("source")
class TestPut:
    async def _put(self, backend: BucketBackend, body: bytes, replaces: str | None) -> str:
        new = NewObject(backend.name, RESULT_KEY, BytesBody(body), META)
        etag = await backend.store.put(new, Steps(), replaces=replaces)
        head = await _head(backend.store, backend.name, RESULT_KEY)
        assert (head.metadata, head.etag) == (META, etag)
        return head.source.etag

    async def test_replaces_only_the_object_that_was_looked_at(self, backend: BucketBackend) -> None:
        first = await self._put(backend, b"1", None)
        with pytest.raises(ConflictError):
            await self._put(backend, b"2", None)
        second = await self._put(backend, b"2", first)
        assert second != first
        with pytest.raises(ConflictError):
            await self._put(backend, b"3", first)
        assert backend.body(RESULT_KEY) == b"2"

    async def test_of_a_result_deleted_meanwhile_is_a_conflict(self, backend: BucketBackend) -> None:
        etag = await self._put(backend, b"1", None)
        backend.delete(RESULT_KEY)
        with pytest.raises(ConflictError):
            await self._put(backend, b"2", etag)
        assert await backend.store.head(backend.name, RESULT_KEY) is None

    @pytest.mark.parametrize("versioned", [False, True])
    async def test_is_possible_again_if_the_result_was_deleted(
        self, backend: BucketBackend, versioned: bool
    ) -> None:
        if versioned:
            backend.keep_versions()
        await self._put(backend, b"1", None)
        backend.delete(RESULT_KEY)
        await self._put(backend, b"2", None)
        assert backend.body(RESULT_KEY) == b"2"


class TestPieces:
    """Objects that are written once, listed, read and deleted."""

    TAGS: Final = {"bucket-ocr": "part", "b": "x y"}

    async def _put(self, backend: BucketBackend, key: str, body: bytes = b"1") -> None:
        new = NewObject(backend.name, key, BytesBody(body), META, "application/gzip")
        await backend.store.put_new(new, Steps(), self.TAGS)

    async def test_is_put_once_with_its_metadata_type_and_tags(self, backend: BucketBackend) -> None:
        backend.upload(KEY, BODY)
        await self._put(backend, RESULT_KEY, BODY)
        with pytest.raises(ConflictError):
            await self._put(backend, RESULT_KEY)
        assert await backend.store.read(backend.name, RESULT_KEY) == BODY
        assert (await _head(backend.store, backend.name, RESULT_KEY)).metadata == META
        assert backend.tags(RESULT_KEY) == self.TAGS
        with pytest.raises(ServiceError, match=f"s3://{NO_BUCKET}"):
            await backend.store.put_new(NewObject(NO_BUCKET, KEY, BytesBody(b""), {}), Steps(), {})

    async def test_are_listed_in_order_and_deleted_whether_they_exist_or_not(
        self, backend: BucketBackend
    ) -> None:
        names = [f"{KEY}.ocr/{number:04}" for number in range(3)]
        for name in reversed(names):
            await self._put(backend, name)
        await self._put(backend, f"{KEY}.other")
        listed = [key async for key, _ in backend.store.list(backend.name, f"{KEY}.ocr/")]
        assert listed == names
        # More than S3 deletes in one request; one that exists in each.
        missing = [f"{KEY}.ocr/missing {number}" for number in range(1000)]
        await backend.store.delete(backend.name, [names[0], *missing, names[1]])
        await backend.store.delete(backend.name, [])
        assert [key async for key, _ in backend.store.list(backend.name, KEY)] == [
            f"{KEY}.ocr/0002",
            f"{KEY}.other",
        ]
        assert await backend.store.read(backend.name, names[0]) is None
        with pytest.raises(ServiceError, match=f"s3://{NO_BUCKET}"):
            await backend.store.delete(NO_BUCKET, [KEY])

    @pytest.mark.parametrize("character", ["\x01", "\r", "\n", "\x1f", "\uffff"])
    async def test_are_deleted_whatever_their_names_hold(
        self, backend: BucketBackend, character: str
    ) -> None:
        names = [f"{KEY}.ocr/{character}/{number}" for number in range(2)]
        for name in names:
            await self._put(backend, name)
        await backend.store.delete(backend.name, [*names, f"{KEY}.ocr/other"])
        for name in names:
            assert await backend.store.head(backend.name, name) is None

    async def test_can_be_put_again_when_it_was_deleted(self, backend: BucketBackend) -> None:
        await self._put(backend, KEY + ".piece")
        await backend.store.delete(backend.name, [KEY + ".piece"])
        await self._put(backend, KEY + ".piece", b"2")
        assert await backend.store.read(backend.name, KEY + ".piece") == b"2"


@pytest.mark.usefixtures("source")
class TestBodies:
    """Of puts: every kind of body arrives whole, and each chunk of it is progress."""

    @pytest.mark.parametrize("kind", ["empty", "small", "joined", "spooled"])
    async def test_a_body_arrives_whole(self, backend: BucketBackend, tmp_path: Path, kind: str) -> None:
        spool = FileSpool(tmp_path)
        spool.write(BODY)
        bodies: dict[str, Body] = {
            "empty": BytesBody(b""),
            "small": BytesBody(b"{}"),
            "joined": JoinedBody([BytesBody(b"["), spool, BytesBody(b""), spool, BytesBody(b"]")]),
            "spooled": spool,
        }
        wanted = {"empty": b"", "small": b"{}", "joined": b"[" + 2 * BODY + b"]", "spooled": BODY}[kind]
        steps = Steps()
        with contextlib.closing(spool):
            new = NewObject(backend.name, RESULT_KEY, bodies[kind], META)
            await backend.store.put(new, steps, replaces=None)
        assert backend.body(RESULT_KEY) == wanted
        assert steps.count >= len(wanted) // CHUNK_BYTES


class TestDownload:
    async def _read(self, backend: BucketBackend, source: Source, path: Path) -> bytes:
        await backend.store.download(source, path, Steps())
        body = path.read_bytes()
        assert await backend.store.read_start(source, 100) == body[:100]
        return body

    async def _is_refused(
        self, backend: BucketBackend, source: Source, path: Path, error: type[Exception]
    ) -> None:
        with pytest.raises(error):
            await backend.store.download(source, path, Steps())
        with pytest.raises(error):
            await backend.store.read_start(source, 100)

    async def test_writes_the_bytes_and_marks_progress(
        self, backend: BucketBackend, source: Source, tmp_path: Path
    ) -> None:
        steps = Steps()
        await backend.store.download(source, tmp_path / "x", steps)
        assert (tmp_path / "x").read_bytes() == BODY
        assert steps.count
        assert await backend.store.read_start(source, 100) == BODY[:100]
        assert await backend.store.read_start(source, 10 * len(BODY)) == BODY

    async def test_of_an_empty_object_is_empty(self, backend: BucketBackend, tmp_path: Path) -> None:
        backend.upload("empty.pdf", b"")
        source = (await _head(backend.store, backend.name, "empty.pdf")).source
        assert await self._read(backend, source, tmp_path / "x") == b""

    async def test_of_an_overwritten_object_is_refused(
        self, backend: BucketBackend, source: Source, tmp_path: Path
    ) -> None:
        backend.upload(KEY, b"other")
        await self._is_refused(backend, source, tmp_path / "x", SourceChangedError)

    async def test_of_an_object_overwritten_by_the_same_bytes_is_of_these(
        self, backend: BucketBackend, source: Source, tmp_path: Path
    ) -> None:
        backend.upload(KEY, BODY)
        assert await self._read(backend, source, tmp_path / "x") == BODY

    async def test_of_a_deleted_object_is_refused(
        self, backend: BucketBackend, source: Source, tmp_path: Path
    ) -> None:
        backend.delete(KEY)
        await self._is_refused(backend, source, tmp_path / "x", SourceGoneError)

    async def test_of_a_versioned_object_is_of_that_version(
        self, backend: BucketBackend, tmp_path: Path
    ) -> None:
        backend.keep_versions()
        backend.upload(KEY, b"old")
        source = (await _head(backend.store, backend.name)).source
        backend.upload(KEY, b"new")
        assert await self._read(backend, source, tmp_path / "x") == b"old"
        backend.delete(KEY)
        assert await self._read(backend, source, tmp_path / "x") == b"old"


async def test_a_missing_bucket_is_a_service_error_that_names_it(
    backend: BucketBackend, source: Source, tmp_path: Path
) -> None:
    await backend.store.check_bucket(backend.name)
    with pytest.raises(ServiceError, match=f"s3://{NO_BUCKET}"):
        await backend.store.check_bucket(NO_BUCKET)
    new = NewObject(NO_BUCKET, RESULT_KEY, BytesBody(b""), {})
    with pytest.raises(ServiceError, match=f"s3://{NO_BUCKET}"):
        await backend.store.put(new, Steps(), replaces=None)
    elsewhere = source.model_copy(update={"bucket": NO_BUCKET})
    with pytest.raises(ServiceError, match=f"s3://{NO_BUCKET}"):
        await backend.store.download(elsewhere, tmp_path / "x", Steps())
    # The answer to a HEAD has no body, so it does not say which is missing.
    assert await backend.store.head(NO_BUCKET, KEY) is None


class TestS3:
    """For the command line, or of S3 alone."""

    async def test_metadata_names_are_given_in_lower_case(
        self, store: S3Store, s3: "S3Client", bucket: str
    ) -> None:
        s3.put_object(Bucket=bucket, Key=KEY, Body=b"", Metadata={"OCR-Status": "SUCCESS"})
        assert (await _head(store, bucket)).metadata == META

    async def test_a_result_is_json(self, store: S3Store, bucket: str) -> None:
        await store.put(NewObject(bucket, KEY, BytesBody(b"{}"), META), Steps(), replaces=None)
        assert (await _head(store, bucket)).source.content_type == "application/json"

    async def test_an_object_in_an_archive_says_so_until_it_is_restored(
        self, store: S3Store, s3: "S3Client", bucket: str
    ) -> None:
        s3.put_object(Bucket=bucket, Key=KEY, Body=BODY, StorageClass="GLACIER")
        unreadable = (await _head(store, bucket)).unreadable
        assert unreadable is not None
        assert unreadable.code is Code.ARCHIVED
        s3.restore_object(Bucket=bucket, Key=KEY, RestoreRequest={"Days": 1})
        assert (await _head(store, bucket)).unreadable is None

    async def test_an_object_with_a_key_of_its_clients_says_so(
        self, store: S3Store, s3: "S3Client", bucket: str
    ) -> None:
        answer = s3.put_object(
            Bucket=bucket, Key=KEY, Body=BODY, SSECustomerAlgorithm="AES256", SSECustomerKey="k" * 32
        )
        head = await _head(store, bucket)
        assert head.unreadable is not None
        assert head.unreadable.code is Code.KEY_REQUIRED
        assert (head.etag, head.source.size_bytes) == (answer["ETag"].strip('"'), len(BODY))

    async def test_every_chunk_is_progress(
        self, store: S3Store, s3: "S3Client", bucket: str, tmp_path: Path
    ) -> None:
        s3.put_object(Bucket=bucket, Key=KEY, Body=BODY)
        steps = Steps()
        source = (await _head(store, bucket)).source
        await store.download(source, tmp_path / "x", steps)
        assert steps.count >= 2

    async def test_a_download_that_ends_early_is_tried_again_later(
        self, store: S3Store, s3: "S3Client", bucket: str, tmp_path: Path
    ) -> None:
        s3.put_object(Bucket=bucket, Key=KEY, Body=BODY)
        source = (await _head(store, bucket)).source
        larger = source.model_copy(update={"size_bytes": source.size_bytes + 1})
        with pytest.raises(ServiceError, match=re.escape(f"GET s3://{bucket}/{KEY}")):
            await store.download(larger, tmp_path / "x", Steps())

    async def test_list_gives_all_keys_under_a_prefix_in_order(
        self, store: S3Store, s3: "S3Client", bucket: str
    ) -> None:
        for key in ("b/2", "b/1", "a/1"):
            s3.put_object(Bucket=bucket, Key=key, Body=key.encode())
        listed = [item async for item in store.list(bucket, "b/")]
        etags = [(await _head(store, bucket, key)).source.etag for key in ("b/1", "b/2")]
        assert listed == [("b/1", etags[0]), ("b/2", etags[1])]
