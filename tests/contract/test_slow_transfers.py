"""A result of 200 MB over a line of 1 MB/s: it takes longer than any deadline, and comes through."""

import asyncio
import os
import time
from typing import Any

import pytest
from aiobotocore.config import AioConfig
from aiobotocore.session import AioSession

from consumer.aws.s3 import S3Store
from consumer.clock import SystemClock, Watchdog
from consumer.domain.body import BytesBody
from consumer.ports import NewObject

BYTES_PER_S = 1_000_000
BODY = os.urandom(200 * BYTES_PER_S)
READ_BYTES = 100_000


class SlowService:
    """Takes a body at 1 MB/s. `body`: what has come."""

    def __init__(self) -> None:
        self.body = bytearray()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        started_at = time.monotonic()
        while len(self.body) < len(BODY):
            self.body += await reader.read(READ_BYTES)
            await asyncio.sleep(started_at + len(self.body) / BYTES_PER_S - time.monotonic())
        writer.write(b'HTTP/1.1 200 OK\r\nETag: "1"\r\nContent-Length: 0\r\n\r\n')
        await writer.drain()
        writer.close()


@pytest.mark.soak
@pytest.mark.timeout(1200)
async def test_a_put_over_a_slow_line_comes_through(session: AioSession, connection: dict[str, Any]) -> None:
    service, watchdog = SlowService(), Watchdog(SystemClock())
    longest_s = 0.0

    async def watch() -> None:
        nonlocal longest_s
        while True:
            await asyncio.sleep(0.1)
            longest_s = max(longest_s, watchdog.seconds_since_progress)

    # As the consumer has it; no deadline but those of chunks lasts longer than the put.
    config = AioConfig(read_timeout=20, retries={"mode": "standard", "total_max_attempts": 1})
    started_at = time.monotonic()
    async with await asyncio.start_server(service.serve, "127.0.0.1", 0) as server:
        slow = connection | {"endpoint_url": f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"}
        async with session.create_client("s3", config=config, **slow) as client:
            watching = asyncio.create_task(watch())
            new = NewObject("bucket", "key", BytesBody(BODY), {})
            await S3Store(client).put(new, watchdog, replaces=None)
            watching.cancel()
    assert service.body == BODY
    assert time.monotonic() - started_at > 60
    assert longest_s < 60
