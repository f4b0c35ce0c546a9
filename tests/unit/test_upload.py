"""Bodies on their way to the bucket: large ones are read in threads, small ones at once."""

import threading
from typing import Any, cast

import pytest

from consumer.aws.s3 import S3Store, encryption_headers
from consumer.aws.upload import put_object
from consumer.clock import SystemClock, Watchdog
from consumer.domain.body import BytesBody
from consumer.ports import NewObject

SMALL_BYTES, LARGE_BYTES = 1000, 1_000_000


class Client:
    """An S3 client that takes a body as aiohttp does."""

    def __init__(self) -> None:
        self.taken = b""
        self.arguments: dict[str, Any] = {}

    async def put_object(self, **arguments: Any) -> dict[str, str]:
        self.taken = b"".join([chunk async for chunk in arguments["Body"]])
        self.arguments = arguments
        return {"ETag": '"e"'}


class WatchedBody(BytesBody):
    """A body that knows the threads in which it was read."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self.threads: set[int] = set()

    def read(self, offset: int, size_bytes: int) -> bytes:
        self.threads.add(threading.get_ident())
        return super().read(offset, size_bytes)


@pytest.mark.parametrize(("size_bytes", "is_on_the_loop"), [(SMALL_BYTES, True), (LARGE_BYTES, False)])
async def test_a_body_is_read_on_the_loop_only_if_it_is_small(size_bytes: int, is_on_the_loop: bool) -> None:
    data = bytes(size_bytes)
    client, body = Client(), WatchedBody(data)
    etag = await put_object(cast(Any, client), NewObject("b", "k", body, {}), lambda: None, {})
    assert (client.taken, etag) == (data, "e")
    assert (threading.get_ident() in body.threads) is is_on_the_loop


@pytest.mark.parametrize(
    ("settings", "headers"),
    [
        ((None, None), {}),
        (("AES256", None), {"ServerSideEncryption": "AES256"}),
        (("aws:kms", "alias/ocr"), {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": "alias/ocr"}),
    ],
)
async def test_every_put_asks_for_the_encryption_of_the_settings(
    settings: tuple[str | None, str | None], headers: dict[str, str]
) -> None:
    client = Client()
    store = S3Store(cast(Any, client), encryption=encryption_headers(*settings))
    new, watchdog = NewObject("b", "k", BytesBody(b"x"), {}), Watchdog(SystemClock())
    for put in (
        store.put(new, watchdog, replaces=None),
        store.put(new, watchdog, replaces="e"),
        store.put_new(new, watchdog, {"a": "b"}),
    ):
        await put
        asked = {
            name: value for name, value in client.arguments.items() if name.startswith(("SSE", "Server"))
        }
        assert asked == headers
