"""How faults of `tests/e2e/proxy.py` look to clients, and whether LocalStack carried the call out."""

import base64
import contextlib
import random
import uuid
import zlib
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import aiohttp
import boto3
import pytest
from aiobotocore.config import AioConfig
from aiobotocore.session import get_session
from botocore.exceptions import (
    ClientError,
    ConnectionClosedError,
    HTTPClientError,
    ReadTimeoutError,
    ResponseStreamingError,
)
from local_cloud import LocalCloud

from tests.e2e.proxy import (
    Fault,
    FaultProxy,
    answer,
    delay,
    hold,
    lost_response,
    reset_before,
    reset_midway,
    stall,
    stall_midway,
    truncated,
)
from tests.e2e.stack import free_port, until

if TYPE_CHECKING:
    from types_aiobotocore_s3 import S3Client as AsyncS3Client
    from types_boto3_s3 import S3Client
    from types_boto3_sqs import SQSClient

Late = Callable[..., Future[Any]]

BODY = bytes(range(256)) * 4
STRANGE_KEY = "a b/ü+1%.pdf"
LARGE_BYTES = 5 * 1024 * 1024
#: Time that a client waits for the next byte if its call stalls, and otherwise; and a test for an event.
HASTY_S = 1.0
PATIENT_S = 30.0
DEADLINE_S = 60.0


@dataclass(frozen=True)
class World:
    """LocalStack's own clients, with a bucket and a queue of this module."""

    cloud: LocalCloud
    s3: "S3Client"
    sqs: "SQSClient"
    bucket: str
    queue_url: str


@pytest.fixture(scope="module")
def world(cloud: LocalCloud) -> Iterator[World]:
    name = f"proxy-{uuid.uuid4()}"
    with contextlib.closing(cloud.client("s3")) as s3, contextlib.closing(cloud.client("sqs")) as sqs:
        s3.create_bucket(Bucket=name)
        s3.put_object(Bucket=name, Key="source", Body=BODY)
        yield World(cloud, s3, sqs, name, sqs.create_queue(QueueName=name)["QueueUrl"])


@pytest.fixture
def proxy(cloud: LocalCloud) -> Iterator[FaultProxy]:
    with FaultProxy(cloud.endpoint_url) as proxy:
        yield proxy


def _options(proxy: FaultProxy, read_timeout: float) -> dict[str, Any]:
    """A client behind the proxy that tries once. Checksums would find a cut before the tests do."""
    config: dict[str, Any] = {
        "proxies": {},
        "read_timeout": read_timeout,
        "retries": {"mode": "standard", "total_max_attempts": 1},
        "response_checksum_validation": "when_required",
    }
    return {
        "endpoint_url": proxy.url,
        "region_name": "us-east-1",
        "aws_access_key_id": "test",
        "aws_secret_access_key": "test",
        "config": AioConfig(**config),
    }


def _behind(proxy: FaultProxy, service: str, read_timeout: float = PATIENT_S) -> "contextlib.closing[Any]":
    make: Any = boto3.client  # its stubs know the services by name only
    return contextlib.closing(make(service, **_options(proxy, read_timeout)))


@pytest.fixture
def s3(proxy: FaultProxy) -> Iterator["S3Client"]:
    with _behind(proxy, "s3") as s3:
        yield s3


@pytest.fixture
def sqs(proxy: FaultProxy) -> Iterator["SQSClient"]:
    with _behind(proxy, "sqs") as sqs:
        yield sqs


@pytest.fixture
async def async_s3(proxy: FaultProxy) -> AsyncIterator["AsyncS3Client"]:
    async with get_session().create_client("s3", **_options(proxy, PATIENT_S)) as async_s3:
        yield async_s3


@pytest.fixture
def late() -> Iterator[Late]:
    """Call something in a thread; whatever becomes of it, it has ended afterwards."""
    with ThreadPoolExecutor() as threads:
        yield threads.submit


def _exists(world: World, key: str) -> bool:
    return "Contents" in world.s3.list_objects_v2(Bucket=world.bucket, Prefix=key)


def _status(s3: "S3Client", bucket: str, key: str) -> int:
    try:
        return s3.head_object(Bucket=bucket, Key=key)["ResponseMetadata"]["HTTPStatusCode"]
    except ClientError as error:
        return error.response["ResponseMetadata"]["HTTPStatusCode"]


def _code(raised: pytest.ExceptionInfo[ClientError]) -> tuple[int, str]:
    answered = raised.value.response
    return answered["ResponseMetadata"]["HTTPStatusCode"], answered["Error"]["Code"]


def test_strange_keys_pass_and_every_call_is_named(
    world: World, proxy: FaultProxy, s3: "S3Client", sqs: "SQSClient"
) -> None:
    place: dict[str, Any] = {"Bucket": world.bucket, "Key": STRANGE_KEY}
    s3.put_object(**place, Body=BODY, Metadata={"a": "b"})
    direct, passed = world.s3.head_object(**place), s3.head_object(**place)
    assert (passed["ContentLength"], passed["Metadata"]) == (len(BODY), {"a": "b"})
    assert passed["ETag"] == direct["ETag"]
    part = s3.get_object(**place, Range="bytes=10-19")
    assert (part["ResponseMetadata"]["HTTPStatusCode"], part["Body"].read()) == (206, BODY[10:20])
    assert [item["Key"] for item in s3.list_objects_v2(Bucket=world.bucket, Prefix="a b/")["Contents"]] == [
        STRANGE_KEY
    ]
    s3.head_bucket(Bucket=world.bucket)
    s3.delete_object(**place)
    with pytest.raises(ClientError) as missing:
        s3.head_object(**place)
    assert _code(missing) == (404, "404")
    sqs.send_message(QueueUrl=world.queue_url, MessageBody="ü")
    message = sqs.receive_message(QueueUrl=world.queue_url)["Messages"][0]
    assert message["Body"] == "ü"
    sqs.delete_message(QueueUrl=world.queue_url, ReceiptHandle=message["ReceiptHandle"])

    seen = [(call.service, call.operation, call.place, call.key, call.status) for call in proxy.calls]
    bucket = queue = world.bucket
    assert seen == [
        ("s3", "PutObject", bucket, STRANGE_KEY, 200),
        ("s3", "HeadObject", bucket, STRANGE_KEY, 200),
        ("s3", "GetObject", bucket, STRANGE_KEY, 206),
        ("s3", "ListObjectsV2", bucket, None, 200),
        ("s3", "HeadBucket", bucket, None, 200),
        ("s3", "DeleteObject", bucket, STRANGE_KEY, 204),
        ("s3", "HeadObject", bucket, STRANGE_KEY, 404),
        ("sqs", "SendMessage", queue, None, 200),
        ("sqs", "ReceiveMessage", queue, None, 200),
        ("sqs", "DeleteMessage", queue, None, 200),
    ]
    assert [call.number for call in proxy.calls] == list(range(1, 11))
    assert proxy.calls[2].headers["Range"] == "bytes=10-19"
    assert proxy.calls[9].parameters["ReceiptHandle"] == message["ReceiptHandle"]
    assert (proxy.count("HeadObject", key=STRANGE_KEY), proxy.count("s3"), proxy.count("*")) == (2, 7, 10)


def test_large_bodies_pass_intact(world: World, proxy: FaultProxy, s3: "S3Client") -> None:
    body = random.Random(1).randbytes(LARGE_BYTES)
    s3.put_object(Bucket=world.bucket, Key="large", Body=body)
    assert proxy.calls[0].headers["Expect"] == "100-continue"
    assert world.s3.get_object(Bucket=world.bucket, Key="large")["Body"].read() == body
    assert s3.get_object(Bucket=world.bucket, Key="large")["Body"].read() == body


@pytest.mark.parametrize("pieces", [1, 2])
async def test_an_upload_in_chunks_of_aws_passes(world: World, proxy: FaultProxy, pieces: int) -> None:
    checksum = base64.b64encode(zlib.crc32(BODY).to_bytes(4, "big"))
    framed = b"%x\r\n%b\r\n0\r\nx-amz-checksum-crc32:%b\r\n\r\n" % (len(BODY), BODY, checksum)
    headers = {
        "Content-Encoding": "aws-chunked",
        "X-Amz-Content-Sha256": "STREAMING-UNSIGNED-PAYLOAD-TRAILER",
        "X-Amz-Decoded-Content-Length": str(len(BODY)),
        "X-Amz-Trailer": "x-amz-checksum-crc32",
    }

    async def in_pieces() -> AsyncIterator[bytes]:
        yield framed[:100]
        yield framed[100:]

    key = f"chunked-{pieces}"
    body = framed if pieces == 1 else in_pieces()  # the latter without a Content-Length
    async with (
        aiohttp.ClientSession() as session,
        session.put(f"{proxy.url}/{world.bucket}/{key}", data=body, headers=headers) as answered,
    ):
        assert answered.status == 200
    assert world.s3.get_object(Bucket=world.bucket, Key=key)["Body"].read() == BODY


def test_errors_look_like_those_of_the_service(
    world: World, proxy: FaultProxy, s3: "S3Client", sqs: "SQSClient"
) -> None:
    proxy.fail("HeadObject", answer(503, "SlowDown"))
    proxy.fail("PutObject", answer(409, "ConditionalRequestConflict", "A <conflict> & more"))
    proxy.fail("sqs", answer(403, "RequestThrottled", "slowly"))
    with pytest.raises(ClientError) as slow_down:
        s3.head_object(Bucket=world.bucket, Key="source")
    with pytest.raises(ClientError) as conflict:
        s3.put_object(Bucket=world.bucket, Key="refused", Body=BODY)
    with pytest.raises(ClientError) as throttled:
        sqs.send_message(QueueUrl=world.queue_url, MessageBody="refused")
    # The error of a HEAD has no body that could name it.
    assert _code(slow_down) == (503, "503")
    assert _code(conflict) == (409, "ConditionalRequestConflict")
    assert conflict.value.response["Error"]["Message"] == "A <conflict> & more"
    assert _code(throttled) == (403, "RequestThrottled")
    assert [(call.fault, call.status) for call in proxy.calls] == [
        ("answer(503, SlowDown)", 503),
        ("answer(409, ConditionalRequestConflict)", 409),
        ("answer(403, RequestThrottled)", 403),
    ]
    assert not _exists(world, "refused")
    assert world.cloud.messages(world.queue_url) == []


def test_only_a_lost_response_has_had_its_effect(
    world: World, proxy: FaultProxy, s3: "S3Client", sqs: "SQSClient"
) -> None:
    for key, fault in (("reset", reset_before()), ("lost", lost_response())):
        proxy.fail("PutObject", fault)
        with pytest.raises(ConnectionClosedError):
            s3.put_object(Bucket=world.bucket, Key=key, Body=BODY)
    assert (_exists(world, "reset"), _exists(world, "lost")) == (False, True)

    world.sqs.send_message(QueueUrl=world.queue_url, MessageBody="lost")
    for fault, visible in ((reset_before(), True), (lost_response(), False)):
        proxy.fail("ReceiveMessage", fault)
        with pytest.raises(ConnectionClosedError):
            sqs.receive_message(QueueUrl=world.queue_url)
        assert [message.visible for message in world.cloud.messages(world.queue_url)] == [visible]
    world.sqs.purge_queue(QueueUrl=world.queue_url)
    assert [call.status for call in proxy.calls] == [None] * 4


async def test_aiohttp_sends_again_without_being_asked(
    world: World, proxy: FaultProxy, async_s3: "AsyncS3Client"
) -> None:
    proxy.fail("PutObject", lost_response())
    with pytest.raises(ClientError) as refused:
        await async_s3.put_object(Bucket=world.bucket, Key="again", Body=BODY, IfNoneMatch="*")
    # So one attempt is refused because of its own first request.
    assert _code(refused) == (412, "PreconditionFailed")
    assert [call.status for call in proxy.calls] == [None, 412]
    assert {call.headers["amz-sdk-request"] for call in proxy.calls} == {"attempt=1"}


@pytest.mark.parametrize("rst", [False, True])
async def test_a_body_that_is_cut(
    world: World, proxy: FaultProxy, s3: "S3Client", async_s3: "AsyncS3Client", rst: bool
) -> None:
    proxy.fail("GetObject", reset_midway(100, rst=rst), times=2)
    proxy.fail("GetObject", reset_midway(len(BODY)), after=2)
    for size_bytes in (100, len(BODY) - 1):
        body = s3.get_object(Bucket=world.bucket, Key="source")["Body"]
        assert body.read(size_bytes) == BODY[:size_bytes]
        with pytest.raises(ResponseStreamingError):
            body.read()
        if size_bytes == 100:
            answered = await async_s3.get_object(Bucket=world.bucket, Key="source")
            async with answered["Body"] as async_body:
                with pytest.raises(aiohttp.ClientPayloadError):
                    await async_body.read()


def test_an_answer_without_a_body_is_cut_before_it(world: World, proxy: FaultProxy, s3: "S3Client") -> None:
    proxy.fail("s3", reset_midway(0), times=2)
    proxy.fail("HeadObject", truncated(0), after=1)
    with pytest.raises(ConnectionClosedError):
        s3.put_object(Bucket=world.bucket, Key="cut", Body=BODY)
    assert _exists(world, "cut")
    with pytest.raises(ConnectionClosedError):
        s3.head_object(Bucket=world.bucket, Key="cut")
    assert s3.head_object(Bucket=world.bucket, Key="cut")["ContentLength"] == len(BODY)


async def test_a_truncated_body_is_a_sound_answer(
    world: World, proxy: FaultProxy, s3: "S3Client", async_s3: "AsyncS3Client"
) -> None:
    proxy.fail("GetObject", truncated(100), times=2)
    answered = s3.get_object(Bucket=world.bucket, Key="source")
    assert (answered["ContentLength"], answered["Body"].read()) == (100, BODY[:100])
    async with (await async_s3.get_object(Bucket=world.bucket, Key="source"))["Body"] as body:
        assert await body.read() == BODY[:100]
    assert s3.get_object(Bucket=world.bucket, Key="source")["Body"].read() == BODY


def test_a_body_that_stalls_goes_on_when_released(world: World, proxy: FaultProxy, s3: "S3Client") -> None:
    proxy.fail("GetObject", gate := stall_midway(100), times=2)
    with _behind(proxy, "s3", HASTY_S) as hasty_s3:
        body = hasty_s3.get_object(Bucket=world.bucket, Key="source")["Body"]
        assert body.read(100) == BODY[:100]
        with pytest.raises(ReadTimeoutError):
            body.read()
    assert gate.reached.is_set()
    body = s3.get_object(Bucket=world.bucket, Key="source")["Body"]
    gate.release()
    assert body.read() == BODY


def test_a_held_call_is_overtaken(world: World, proxy: FaultProxy, s3: "S3Client", late: Late) -> None:
    proxy.fail("PutObject", gate := hold(), key="overtaken")
    put = late(s3.put_object, Bucket=world.bucket, Key="overtaken", Body=b"held", IfNoneMatch="*")
    assert gate.reached.wait(DEADLINE_S)
    assert not _exists(world, "overtaken")
    world.s3.put_object(Bucket=world.bucket, Key="overtaken", Body=b"first")
    gate.release()
    with pytest.raises(ClientError) as refused:
        put.result(DEADLINE_S)
    assert _code(refused) == (412, "PreconditionFailed")


def test_an_answer_is_held(world: World, proxy: FaultProxy, s3: "S3Client", late: Late) -> None:
    proxy.fail("PutObject", gate := hold(carried_out=True))
    put = late(s3.put_object, Bucket=world.bucket, Key="held", Body=BODY)
    assert gate.reached.wait(DEADLINE_S)
    assert _exists(world, "held")
    assert not put.done()
    gate.release()
    assert put.result(DEADLINE_S)["ETag"]


def test_a_call_is_carried_out_after_its_client_has_timed_out(world: World, proxy: FaultProxy) -> None:
    proxy.fail("PutObject", delay(HASTY_S + 0.3), key="late")
    with _behind(proxy, "s3", HASTY_S) as hasty_s3, pytest.raises(ReadTimeoutError):
        hasty_s3.put_object(Bucket=world.bucket, Key="late", Body=BODY)
    until(lambda: _exists(world, "late"), DEADLINE_S, "the late object")


def test_leaving_does_not_wait_for_stalls_and_carries_nothing_out(world: World, late: Late) -> None:
    stalled = stall()
    faults: dict[str, Fault] = {"stalled": stalled, "midway": stall_midway(0), "delayed": delay(60)}
    with FaultProxy(world.cloud.endpoint_url) as proxy, _behind(proxy, "s3") as s3:
        for key, fault in faults.items():
            proxy.fail("*", fault, key=key)
        calls = [late(s3.put_object, Bucket=world.bucket, Key=key, Body=BODY) for key in faults]
        until(lambda: proxy.count("PutObject") == len(faults), DEADLINE_S, "all calls")
    for call in calls:
        with pytest.raises(HTTPClientError):
            call.result(DEADLINE_S)
    stalled.release()
    assert (_exists(world, "stalled"), _exists(world, "delayed")) == (False, False)


def test_rules_count_what_they_match(world: World, proxy: FaultProxy, s3: "S3Client") -> None:
    def seen(number: int, key: str = "source") -> list[int]:
        return [_status(s3, world.bucket, key) for _ in range(number)]

    proxy.fail("HeadObject", answer(500, "InternalError"), key="source", after=1, times=2)
    proxy.fail("HeadObject", answer(403, "AccessDenied"), after=2, times=2)
    assert seen(5) == [200, 500, 500, 403, 200]
    proxy.fail("s3", answer(503, "SlowDown"), key="source", times=None)
    assert seen(3) == [503, 503, 503]
    assert seen(1, "missing") == [404]
    proxy.heal()
    assert seen(2) == [200, 200]


def test_random_faults_are_of_a_seed(world: World, proxy: FaultProxy, s3: "S3Client") -> None:
    def seen(seed: int) -> list[int]:
        proxy.fail_randomly(0.5, seed, [answer(500, "InternalError"), answer(503, "SlowDown")])
        return [_status(s3, world.bucket, "source") for _ in range(20)]

    first = seen(1)
    assert set(first) == {200, 500, 503}
    assert seen(1) == first
    assert seen(2) != first


def test_a_service_that_is_gone_drops_connections() -> None:
    with FaultProxy(f"http://127.0.0.1:{free_port()}") as proxy, _behind(proxy, "sqs") as sqs:
        with pytest.raises(ConnectionClosedError):
            sqs.list_queues()
        assert [(call.operation, call.status) for call in proxy.calls] == [("ListQueues", None)]
