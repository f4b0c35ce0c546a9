"""Files of a request. They come open with it: a process behind its walls opens none by its name.

A handler that is called without a parent, as tests do, opens them by name.
"""

import contextlib
import os
import socket
from collections.abc import Iterator, Sequence
from typing import BinaryIO, Final, cast

from consumer import protocol

_CHUNK_BYTES: Final = 64 * 1024

#: Descriptors of the request that is being handled, by the names of its files.
_descriptors: dict[str, int] = {}


def requests(connection: socket.socket) -> Iterator[protocol.Request]:
    """Yield request after request until the parent has gone; the files of each are open until the next."""
    line = bytearray()
    descriptors: list[int] = []
    while True:
        data, sent, *_ = socket.recv_fds(connection, _CHUNK_BYTES, protocol.MOST_FILES)
        descriptors += sent
        line += data
        # The parent waits for the reply before it sends more. Its last request, when it died, may be cut.
        if data.endswith(b"\n"):
            request = protocol.parse_request(bytes(line))
            with _held(protocol.files(request), descriptors):
                yield request
            line, descriptors = bytearray(), []
        elif not data:
            return


@contextlib.contextmanager
def _held(files: Sequence[protocol.RequestFile], descriptors: Sequence[int]) -> Iterator[None]:
    _descriptors.update((file.path, sent) for file, sent in zip(files, descriptors, strict=False))
    try:
        yield
    finally:
        _descriptors.clear()
        for descriptor in descriptors:
            os.close(descriptor)


def readable(path: str) -> BinaryIO:
    """Open a file of the request from its start; it may stay open after the request."""
    file = _opened(path, "rb")
    file.seek(0)
    return file


def writable(path: str) -> BinaryIO:
    """Open a file that the request asks for."""
    return _opened(path, "wb")


def _opened(path: str, mode: str) -> BinaryIO:
    descriptor = _descriptors.get(path)
    return cast(BinaryIO, open(path if descriptor is None else os.dup(descriptor), mode))  # noqa: PTH123
