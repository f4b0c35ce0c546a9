"""A put in chunks, from a body that may be larger than memory."""

import asyncio
import base64
import zlib
from collections.abc import AsyncIterator, Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from consumer.domain.body import CHUNK_BYTES, Body, chunks
from consumer.ports import NewObject

if TYPE_CHECKING:
    from types_aiobotocore_s3 import S3Client

#: Less than a spool keeps in memory.
_SMALL_BYTES: Final = 256 * 1024


async def put_object(
    client: "S3Client", new: NewObject, mark: Callable[[], None], headers: Mapping[str, Any]
) -> str:
    """Put an object; returns its ETag.

    `headers`: more arguments of the operation, such as its condition. `mark` is called whenever the
    connection has taken a chunk.

    The checksum comes from us: over HTTP botocore would read the whole body for it, on the event loop.
    """
    checksum = crc32(new.body) if _is_small(new.body) else await asyncio.to_thread(crc32, new.body)
    # botocore takes for a body what has `read`; aiohttp iterates over it.
    stream: Any = Stream(new.body, mark)
    response = await client.put_object(
        Bucket=new.bucket,
        Key=new.key,
        Body=stream,
        ChecksumCRC32=checksum,
        ContentType=new.content_type,
        Metadata=dict(new.metadata),
        **headers,
    )
    return response["ETag"].strip('"')


class Stream:
    """A body as botocore and aiohttp know bodies."""

    def __init__(self, body: Body, mark: Callable[[], None]) -> None:
        self._body = body
        self._mark = mark
        self._offset = 0

    def __len__(self) -> int:
        return self._body.size_bytes

    def tell(self) -> int:
        """Return the offset of the next byte to be read."""
        return self._offset

    def seek(self, offset: int) -> int:
        """Go to an offset; botocore does before it sends a request again."""
        self._offset = offset
        return offset

    def read(self, size_bytes: int = CHUNK_BYTES) -> bytes:
        """Return the next bytes, at least one, if there are any."""
        chunk = self._body.read(self._offset, size_bytes)
        self._offset += len(chunk)
        return chunk

    async def __aiter__(self) -> AsyncIterator[bytes]:
        # In a thread: a slow disk must not stop the loop.
        is_small = _is_small(self._body)
        while chunk := self.read() if is_small else await asyncio.to_thread(self.read):
            yield chunk
            self._mark()


def _is_small(body: Body) -> bool:
    """Whether a body is in memory, and done with sooner than a thread would begin with it."""
    return body.size_bytes <= _SMALL_BYTES


def crc32(body: Body) -> str:
    """Return the checksum of a body, as S3 wants it."""
    checksum = 0
    for chunk in chunks(body):
        checksum = zlib.crc32(chunk, checksum)
    return base64.b64encode(checksum.to_bytes(4, "big")).decode()
