"""The bucket on S3."""

import asyncio
import contextlib
import random
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import FileIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode

from botocore.exceptions import ClientError
from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_attempt, wait_random_exponential

from consumer.aws import look
from consumer.aws.client import UNREACHABLE, error_code, service_call, translate_errors
from consumer.aws.small_objects import delete_objects, read_object
from consumer.aws.upload import put_object
from consumer.clock import Watchdog
from consumer.domain.errors import (
    DISK_FULL_ERRNOS,
    ConflictError,
    DiskFullError,
    HostError,
    ServiceError,
    SourceChangedError,
    SourceGoneError,
    UnavailableError,
)
from consumer.domain.result import Source
from consumer.ports import ListedObject, NewObject, ObjectInfo

if TYPE_CHECKING:
    from types_aiobotocore_s3 import S3Client

_CHUNK_BYTES: Final = 1024 * 1024

_PRECONDITION_FAILED: Final = {"412", "PreconditionFailed"}
_CONCURRENT_WRITE: Final = {"409", "ConditionalRequestConflict"}

#: A body that stalls is noticed by the socket's timeout; one that trickles, or is sent, by this for a chunk.
_CHUNK_DEADLINE_S: Final = 60.0

#: A body is asked for so often without a byte.
_MOST_CUTS: Final = 5

#: Deadline of a transfer: a minute, plus its time at this rate.
_SLOWEST_BYTES_PER_S: Final = 256 * 1024


def encryption_headers(algorithm: str | None, key_id: str | None) -> dict[str, str]:
    """Arguments of a put that ask for server-side encryption; none for the default of the bucket."""
    headers = {"ServerSideEncryption": algorithm, "SSEKMSKeyId": key_id}
    return {name: value for name, value in headers.items() if value is not None}


class _TransferCutError(UnavailableError):
    """A body was cut; the rest can be asked for."""


class _ConcurrentWriteError(UnavailableError):
    """Another writer wrote the same object at the same time."""


@dataclass(frozen=True, slots=True)
class S3Store:
    """Objects of any bucket that the credentials open.

    `chunk_deadline_s`: a put ends after so long without a chunk that the connection took. `encryption`: of
    what is put, see `encryption_headers`.
    """

    client: "S3Client"
    chunk_deadline_s: float = _CHUNK_DEADLINE_S
    encryption: Mapping[str, str] = field(default_factory=dict)

    async def check_bucket(self, bucket: str) -> None:
        """Raise ServiceError if the bucket does not exist or may not be used."""
        async with service_call(f"HEAD s3://{bucket}"):
            await self.client.head_bucket(Bucket=bucket)

    async def head(self, bucket: str, key: str) -> ObjectInfo | None:
        """Describe an object as it is now; None if there is none."""
        return await look.head(self.client, bucket, key)

    async def find(self, bucket: str, key: str) -> ObjectInfo | None:
        """Describe an object by a listing, which tells no version and no metadata; None if there is none."""
        return await look.find(self.client, bucket, key)

    async def read_start(self, source: Source, size_bytes: int) -> bytes:
        """Return the first bytes of this very object; raises SourceChangedError, SourceGoneError."""
        if source.size_bytes == 0:
            return b""
        with _translate_pinned(source):
            async with asyncio.timeout(_deadline_s(size_bytes)):
                first = f"bytes=0-{size_bytes - 1}"
                response = await self.client.get_object(**_pinned_arguments(source), Range=first)
                start = b""
                async with response["Body"] as body:
                    while chunk := await body.read(size_bytes - len(start)):
                        start += chunk
                return start

    async def download(self, source: Source, path: Path, watchdog: Watchdog) -> None:
        """Write this very object to a file; raises SourceChangedError, SourceGoneError if it is another.

        A transfer that is cut continues at its offset, as long as the object is the same.
        """
        with _translate_disk_errors(source.size_bytes):
            file = FileIO(path, "wb")
        with file:
            async with service_call(f"GET s3://{source.bucket}/{source.key}", _deadline_s(source.size_bytes)):
                async for attempt in _retried(_TransferCutError):
                    with attempt:
                        await self._fetch_rest(source, file, watchdog)

    async def _fetch_rest(self, source: Source, file: FileIO, watchdog: Watchdog) -> None:
        """Append the rest of the object to the file."""
        if (offset := file.tell()) >= source.size_bytes:
            # Complete, and yet not right: a checksum said so.
            offset = file.seek(0)
            file.truncate()
        part: dict[str, Any] = {"Range": f"bytes={offset}-"} if offset else {}
        with _translate_pinned(source):
            response = await self.client.get_object(**_pinned_arguments(source), **part)
        async with response["Body"] as body:
            if offset and not response.get("ContentRange", "").startswith(f"bytes {offset}-"):
                # Not the rest, but the whole, or some other part.
                offset = file.seek(0)
                file.truncate()
                if "ContentRange" in response:
                    raise _transfer_cut(source, f"asked for the rest, and got {response['ContentRange']}")
            while chunk := await _next_chunk(source, body):
                if file.tell() + len(chunk) > source.size_bytes:
                    raise _transfer_cut(source, f"goes on after {source.size_bytes} bytes")
                # In a thread: a slow disk must not stop the loop.
                with _translate_disk_errors(source.size_bytes):
                    await asyncio.to_thread(_write, file, chunk)
                watchdog.mark()
        if (written := file.tell()) != source.size_bytes:
            raise _transfer_cut(source, f"ended after {written} of {source.size_bytes} bytes")

    async def put(self, new: NewObject, watchdog: Watchdog, *, replaces: str | None) -> str:
        """Write an object only if the one there still has the ETag `replaces` (None: is absent).

        Returns the ETag of the new one.
        """
        condition = {"IfNoneMatch": "*"} if replaces is None else {"IfMatch": f'"{replaces}"'}
        return await self._put(new, watchdog, condition)

    async def _put(self, new: NewObject, watchdog: Watchdog, condition: dict[str, str]) -> str:
        uri = f"s3://{new.bucket}/{new.key}"
        async with service_call(f"PUT {uri}", self.chunk_deadline_s) as postpone:

            def mark() -> None:
                postpone()
                watchdog.mark()

            async for attempt in _retried(_ConcurrentWriteError):
                with attempt, _translate_refusal(uri):
                    return await put_object(self.client, new, mark, {**condition, **self.encryption})
        raise AssertionError("the last try returns or raises")

    async def put_new(self, new: NewObject, watchdog: Watchdog, tags: Mapping[str, str]) -> None:
        """Write an object only if there is none of this key; raises ConflictError if there is."""
        await self._put(new, watchdog, {"IfNoneMatch": "*", "Tagging": urlencode(tags)})

    async def read(self, bucket: str, key: str) -> bytes | None:
        """Return a whole object, for objects known to be small; None if there is none."""
        return await read_object(self.client, bucket, key)

    async def delete(self, bucket: str, keys: Sequence[str]) -> None:
        """Delete objects; those that do not exist are no error."""
        await delete_objects(self.client, bucket, keys)

    async def chunks(self, source: Source) -> AsyncGenerator[bytes]:
        """Yield the bytes of this very object; raises SourceChangedError, SourceGoneError if it is another.

        A transfer that is cut continues at its offset, as long as the object is the same. Its reader may take
        as long as it likes.
        """
        offset, cuts = 0, 0
        while offset < source.size_bytes:
            try:
                async with contextlib.aclosing(self._rest(source, offset)) as rest:
                    async for chunk in rest:
                        offset, cuts = offset + len(chunk), 0
                        yield chunk
            except _TransferCutError:
                cuts += 1
                # After the last byte it was the checksum, and the reader has the bytes.
                if offset == source.size_bytes or cuts == _MOST_CUTS:
                    raise
                await asyncio.sleep(random.uniform(0, cuts))  # noqa: S311 - so that many do not come at once

    async def _rest(self, source: Source, offset: int) -> AsyncGenerator[bytes]:
        part: dict[str, Any] = {"Range": f"bytes={offset}-"} if offset else {}
        async with service_call(f"GET s3://{source.bucket}/{source.key}"):
            with _translate_pinned(source):
                response = await self.client.get_object(**_pinned_arguments(source), **part)
        async with response["Body"] as body:
            if offset and not response.get("ContentRange", "").startswith(f"bytes {offset}-"):
                raise _transfer_cut(source, "asked for the rest, and got something else")
            while chunk := await _next_chunk(source, body):
                offset += len(chunk)
                if offset > source.size_bytes:
                    raise _transfer_cut(source, f"goes on after {source.size_bytes} bytes")
                yield chunk
        if offset < source.size_bytes:
            raise _transfer_cut(source, f"ended after {offset} of {source.size_bytes} bytes")

    async def list(self, bucket: str, prefix: str) -> AsyncGenerator[tuple[str, str]]:
        """Key and ETag of all objects whose keys start with `prefix`, in the order of their keys."""
        async with contextlib.aclosing(self.listed(bucket, prefix)) as objects:
            async for each in objects:
                yield each.key, each.etag

    async def listed(self, bucket: str, prefix: str) -> AsyncGenerator[ListedObject]:
        """Objects whose keys start with `prefix`, in the order of their keys, with sizes and times."""
        with translate_errors(f"LIST s3://{bucket}/{prefix}"):
            pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
            async for page in pages:
                for item in page.get("Contents", []):
                    etag = item["ETag"].strip('"')
                    yield ListedObject(item["Key"], etag, item["Size"], item["LastModified"])


def _deadline_s(size_bytes: int) -> float:
    return 60 + size_bytes / _SLOWEST_BYTES_PER_S


def _retried(error: type[ServiceError]) -> AsyncRetrying:
    """Try a few times, at random moments of a second or two, as long as it fails like this."""
    return AsyncRetrying(
        retry=retry_if_exception_type(error),
        stop=stop_after_attempt(5),
        wait=wait_random_exponential(multiplier=0.25, max=2),
        reraise=True,
    )


async def _next_chunk(source: Source, body: Any) -> bytes:
    try:
        async with asyncio.timeout(_CHUNK_DEADLINE_S):
            chunk: bytes = await body.read(_CHUNK_BYTES)
            return chunk
    except UNREACHABLE as error:
        raise _transfer_cut(source, str(error) or type(error).__name__) from error


def _transfer_cut(source: Source, how: str) -> _TransferCutError:
    return _TransferCutError(f"GET s3://{source.bucket}/{source.key}: {how}")


@contextmanager
def _translate_refusal(what: str) -> Iterator[None]:
    """Distinguish the ways in which a conditional put is refused."""
    try:
        yield
    except ClientError as error:
        # If-Match on an object that has been deleted meanwhile is answered by 404.
        if (code := error_code(error)) in _PRECONDITION_FAILED | look.MISSING:
            raise ConflictError(f"{what} was written by another consumer") from error
        if code in _CONCURRENT_WRITE:
            raise _ConcurrentWriteError(f"PUT {what}: {code}: another writer keeps writing it") from error
        raise


@contextmanager
def _translate_disk_errors(size_bytes: int) -> Iterator[None]:
    """Say whose fault it is that a file of `size_bytes` cannot be written."""
    try:
        yield
    except OSError as error:
        message = f"a download cannot be written: {error}"
        if error.errno in DISK_FULL_ERRNOS:
            raise DiskFullError(message, size_bytes) from error
        raise HostError(message) from error


def _write(file: FileIO, chunk: bytes) -> None:
    # Unbuffered, so that a full disk is noticed here; such a write may take a part only.
    left = memoryview(chunk)
    while left:
        left = left[file.write(left) :]


def _pinned_arguments(source: Source) -> dict[str, Any]:
    """Arguments of a GET that returns this very object or fails."""
    arguments: dict[str, Any] = {"Bucket": source.bucket, "Key": source.key, "IfMatch": f'"{source.etag}"'}
    if source.version_id is not None:
        arguments["VersionId"] = source.version_id
    return arguments


@contextmanager
def _translate_pinned(source: Source) -> Iterator[None]:
    with translate_errors(f"GET s3://{source.bucket}/{source.key}"):
        try:
            yield
        except ClientError as error:
            if error_code(error) in look.MISSING:
                raise SourceGoneError(source.key) from error
            if error_code(error) in _PRECONDITION_FAILED:
                raise SourceChangedError(source.key) from error
            raise
