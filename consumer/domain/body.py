"""Bytes of an object to be stored, wherever they are: a result may be larger than memory."""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import Final, Protocol

#: Of a chunk, if a body is read piece by piece.
CHUNK_BYTES: Final = 256 * 1024


class Body(Protocol):
    """Bytes that can be read again and again, from anywhere, also by threads at the same time."""

    @property
    def size_bytes(self) -> int:
        """How many there are."""

    def read(self, offset: int, size_bytes: int) -> bytes:
        """Return bytes from there: at least one, at most `size_bytes`, none only at the end.

        It may read a file, which takes a while: not on an event loop, unless the body is known to be small.
        """


class Spool(Body, Protocol):
    """A body that grows; it is in memory while it is small, then on disk. Its maker closes it."""

    def write(self, data: bytes) -> None:
        """Append bytes; raises HostError if the disk does not take them."""


class BytesBody:
    """A body in memory."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    @property
    def size_bytes(self) -> int:
        """How many bytes there are."""
        return len(self._data)

    def read(self, offset: int, size_bytes: int) -> bytes:
        """Return bytes from there."""
        return self._data[offset : offset + size_bytes]


class SlicedBody:
    """Bytes of another body, which may grow behind them."""

    def __init__(self, body: Body, start: int, size_bytes: int) -> None:
        self._body = body
        self._start = start
        self._size_bytes = size_bytes

    @property
    def size_bytes(self) -> int:
        """How many bytes there are."""
        return self._size_bytes

    def read(self, offset: int, size_bytes: int) -> bytes:
        """Return bytes from there."""
        size_bytes = min(size_bytes, self._size_bytes - offset)
        return self._body.read(self._start + offset, size_bytes) if size_bytes > 0 else b""


class JoinedBody:
    """Bodies one after the other, none of which grows any more."""

    def __init__(self, bodies: Sequence[Body]) -> None:
        self._bodies = [body for body in bodies if body.size_bytes]
        self._ends = list(accumulate(body.size_bytes for body in self._bodies))

    @property
    def size_bytes(self) -> int:
        """How many bytes there are."""
        return self._ends[-1] if self._ends else 0

    def read(self, offset: int, size_bytes: int) -> bytes:
        """Return bytes of the one body that holds the offset."""
        if offset >= self.size_bytes:
            return b""
        index = bisect_right(self._ends, offset)
        body = self._bodies[index]
        return body.read(offset - self._ends[index] + body.size_bytes, size_bytes)


def chunks(body: Body, size_bytes: int = CHUNK_BYTES) -> Iterator[bytes]:
    """Yield the bytes of a body, from its start to its end."""
    offset = 0
    while chunk := body.read(offset, size_bytes):
        yield chunk
        offset += len(chunk)


def lines(body: Body) -> Iterator[bytes]:
    """Yield the lines of a body, each without its line feed."""
    rest = b""
    for chunk in chunks(body):
        *whole, rest = (rest + chunk).split(b"\n")
        yield from whole
    if rest:
        yield rest
