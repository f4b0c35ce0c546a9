"""Transfers with a service that errs: the bytes of the object, or an error, and never anything else."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from aiobotocore.config import AioConfig
from aiobotocore.session import AioSession
from local_cloud import LocalCloud
from multidict import CIMultiDict

from consumer.aws.s3 import S3Store
from consumer.clock import SystemClock, Watchdog
from consumer.domain.body import CHUNK_BYTES, BytesBody
from consumer.domain.errors import ServiceError, SourceChangedError, SourceGoneError, UnavailableError
from consumer.domain.result import Source
from consumer.ports import NewObject
from tests.contract.backends import Steps
from tests.e2e.proxy import Fault, FaultProxy, answer, reset_before, reset_midway, rewritten, stall_midway

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

KEY = "scan.pdf"
BODY = bytes(range(256)) * 1000
CUT_BYTES = 40_000


@pytest.fixture
def proxy(cloud: LocalCloud) -> Iterator[FaultProxy]:
    with FaultProxy(cloud.endpoint_url) as proxy:
        yield proxy


@asynccontextmanager
async def store_with(
    session: AioSession,
    connection: dict[str, Any],
    proxy: FaultProxy,
    read_timeout: float,
    *,
    attempts: int = 1,
    chunk_deadline_s: float = 60,
) -> AsyncIterator[S3Store]:
    config = AioConfig(
        read_timeout=read_timeout, retries={"mode": "standard", "total_max_attempts": attempts}
    )
    proxied = connection | {"endpoint_url": proxy.url}
    async with session.create_client("s3", config=config, **proxied) as client:
        yield S3Store(client, chunk_deadline_s)


@pytest.fixture
async def store(session: AioSession, connection: dict[str, Any], proxy: FaultProxy) -> AsyncIterator[S3Store]:
    async with store_with(session, connection, proxy, 60) as store:
        yield store


@pytest.fixture
async def impatient(
    session: AioSession, connection: dict[str, Any], proxy: FaultProxy
) -> AsyncIterator[S3Store]:
    """A store that soon notices that no bytes come."""
    async with store_with(session, connection, proxy, 0.5) as store:
        yield store


@pytest.fixture
async def source(store: S3Store, s3: "S3Client", bucket: str) -> Source:
    s3.put_object(Bucket=bucket, Key=KEY, Body=BODY)
    head = await store.head(bucket, KEY)
    assert head is not None
    return head.source


async def downloaded(store: S3Store, source: Source, folder: Path) -> bytes:
    path = folder / "download"
    await store.download(source, path, Watchdog(SystemClock()))
    return path.read_bytes()


def _whole(headers: CIMultiDict[str], _: bytes) -> tuple[int, bytes]:
    headers.pop("Content-Range")
    return 200, BODY


def _other_part(headers: CIMultiDict[str], body: bytes) -> tuple[int, bytes]:
    headers["Content-Range"] = f"bytes 0-{len(body) - 1}/{len(BODY)}"
    return 206, BODY[: len(body)]


def _longer(_: CIMultiDict[str], body: bytes) -> tuple[int, bytes]:
    return 200, body * 2


def _flipped(_: CIMultiDict[str], body: bytes) -> tuple[int, bytes]:
    return 200, bytes([body[0] ^ 1]) + body[1:]


async def test_a_stall_is_noticed_and_the_rest_is_requested(
    impatient: S3Store, source: Source, proxy: FaultProxy, tmp_path: Path
) -> None:
    proxy.fail("GetObject", stall_midway(CUT_BYTES))
    assert await downloaded(impatient, source, tmp_path) == BODY
    assert proxy.count("GetObject") >= 2


@pytest.mark.parametrize("change", [_whole, _other_part])
async def test_an_answer_that_is_not_the_rest_is_not_taken_for_it(
    store: S3Store, source: Source, proxy: FaultProxy, tmp_path: Path, change: object
) -> None:
    proxy.fail("GetObject", reset_midway(CUT_BYTES))
    proxy.fail("GetObject", rewritten(change), after=1)  # type: ignore[arg-type]
    assert await downloaded(store, source, tmp_path) == BODY


@pytest.mark.parametrize("change", [_longer, _flipped])
async def test_a_body_that_is_longer_or_has_another_checksum_is_fetched_again(
    store: S3Store, source: Source, proxy: FaultProxy, tmp_path: Path, change: object
) -> None:
    proxy.fail("GetObject", rewritten(change))  # type: ignore[arg-type]
    assert await downloaded(store, source, tmp_path) == BODY


async def test_an_object_overwritten_between_two_parts_is_another_one(
    impatient: S3Store, s3: "S3Client", source: Source, proxy: FaultProxy, tmp_path: Path
) -> None:
    held = stall_midway(CUT_BYTES)
    proxy.fail("GetObject", held)
    download = asyncio.create_task(downloaded(impatient, source, tmp_path))
    assert await asyncio.to_thread(held.reached.wait, 60)
    s3.put_object(Bucket=source.bucket, Key=KEY, Body=BODY + b"new")
    with pytest.raises(SourceChangedError):
        await download


async def test_a_transfer_that_is_cut_again_and_again_ends_as_an_outage(
    store: S3Store, source: Source, proxy: FaultProxy, tmp_path: Path
) -> None:
    proxy.fail("GetObject", reset_midway(CUT_BYTES), times=None)
    with pytest.raises(UnavailableError, match=KEY):
        await downloaded(store, source, tmp_path)


@pytest.mark.parametrize(
    ("status", "code", "is_outage"),
    [
        (503, "SlowDown", True),
        (500, "InternalError", True),
        (400, "ThrottlingException", True),
        (403, "AccessDenied", False),
        (400, "ExpiredToken", False),
        (404, "NoSuchBucket", False),
    ],
)
async def test_an_outage_and_a_refusal_are_different_errors(
    store: S3Store, source: Source, proxy: FaultProxy, status: int, code: str, *, is_outage: bool
) -> None:
    proxy.fail("GetObject", answer(status, code))
    with pytest.raises(ServiceError) as raised:
        await store.read_start(source, 10)
    assert isinstance(raised.value, UnavailableError) is is_outage


async def test_a_start_is_no_longer_than_requested_whatever_the_service_sends(
    store: S3Store, source: Source, proxy: FaultProxy
) -> None:
    proxy.fail("GetObject", rewritten(_whole))
    assert await store.read_start(source, 10) == BODY[:10]


async def streamed(store: S3Store, source: Source) -> bytes:
    return b"".join([chunk async for chunk in store.chunks(source)])


@pytest.mark.parametrize("fault", [reset_midway(CUT_BYTES), stall_midway(CUT_BYTES)])
async def test_chunks_that_stop_coming_go_on_at_their_offset(
    impatient: S3Store, source: Source, proxy: FaultProxy, fault: Fault
) -> None:
    proxy.fail("GetObject", fault)
    assert await streamed(impatient, source) == BODY
    first, second = (call for call in proxy.calls if call.operation == "GetObject")
    assert "Range" not in first.headers
    assert second.headers["Range"].startswith("bytes=")


@pytest.mark.parametrize("change", [_whole, _other_part])
async def test_chunks_that_are_not_the_rest_are_not_taken_for_it(
    store: S3Store, source: Source, proxy: FaultProxy, change: object
) -> None:
    proxy.fail("GetObject", reset_midway(CUT_BYTES))
    proxy.fail("GetObject", rewritten(change), after=1)  # type: ignore[arg-type]
    assert await streamed(store, source) == BODY


async def test_chunks_with_another_checksum_are_an_error(
    store: S3Store, source: Source, proxy: FaultProxy
) -> None:
    proxy.fail("GetObject", rewritten(_flipped))
    with pytest.raises(UnavailableError, match="checksum"):
        await streamed(store, source)


async def test_chunks_that_never_come_are_an_outage(
    impatient: S3Store, source: Source, proxy: FaultProxy
) -> None:
    proxy.fail("GetObject", reset_midway(0), times=None)
    with pytest.raises(UnavailableError, match=KEY):
        await streamed(impatient, source)


@pytest.mark.parametrize("error", [SourceChangedError, SourceGoneError])
async def test_the_rest_of_another_object_is_refused(
    store: S3Store, s3: "S3Client", source: Source, proxy: FaultProxy, error: type[Exception]
) -> None:
    proxy.fail("GetObject", reset_midway(CUT_BYTES))
    chunks = store.chunks(source)
    assert BODY.startswith(await anext(chunks))
    if error is SourceChangedError:
        s3.put_object(Bucket=source.bucket, Key=KEY, Body=BODY + b"new")
    else:
        s3.delete_object(Bucket=source.bucket, Key=KEY)
    with pytest.raises(error):
        assert [chunk async for chunk in chunks]


@pytest.mark.parametrize("fault", [reset_before(), answer(503, "SlowDown"), answer(500, "InternalError")])
async def test_a_put_that_is_sent_again_is_sent_from_its_start(
    session: AioSession,
    connection: dict[str, Any],
    proxy: FaultProxy,
    s3: "S3Client",
    bucket: str,
    fault: Fault,
) -> None:
    proxy.fail("PutObject", fault)
    body = BODY * 10
    async with store_with(session, connection, proxy, 60, attempts=2) as store:
        await store.put(NewObject(bucket, KEY, BytesBody(body), {}), Steps(), replaces=None)
    assert s3.get_object(Bucket=bucket, Key=KEY)["Body"].read() == body
    assert proxy.count("PutObject") == 2


@asynccontextmanager
async def service_that_takes(byte_count: int) -> AsyncIterator[str]:
    """Give the address of a service that lets a body come, and reads so much of it and no more."""
    read = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        await reader.readexactly(byte_count)
        await read.wait()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, limit=65536)
    async with server:
        try:
            yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        finally:
            read.set()


async def test_a_put_that_stalls_is_an_outage(
    session: AioSession, connection: dict[str, Any], bucket: str
) -> None:
    steps, body = Steps(), BytesBody(bytes(100_000_000))
    config = AioConfig(retries={"mode": "standard", "total_max_attempts": 1})
    async with service_that_takes(20_000_000) as url:
        stalling = connection | {"endpoint_url": url}
        async with session.create_client("s3", config=config, **stalling) as client:
            store = S3Store(client, chunk_deadline_s=1)
            with pytest.raises(UnavailableError, match=KEY):
                await store.put(NewObject(bucket, KEY, body, {}), steps, replaces=None)
    assert 20_000_000 // CHUNK_BYTES <= steps.count < body.size_bytes // CHUNK_BYTES
