"""The parent's end of the socket to a child: requests with their files, and messages of limited size."""

import asyncio
import contextlib
import os
import socket
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from consumer import protocol
from consumer.domain.errors import DISK_FULL_ERRNOS, ChildError, DiskFullError, HostError

#: Taken at once; also how much may be in memory beyond the limit of a message.
_CHUNK_BYTES: Final = 64 * 1024

_READ: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC
_WRITE: Final = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC


class HungUpError(Exception):
    """The child has closed its end."""


@dataclass(eq=False)
class Channel:
    """A socket that does not block. `limit_bytes`: of a message; `received_bytes`: of all so far.

    Not `asyncio.StreamReader`, which keeps a message three times and more than one beside it.
    """

    socket: socket.socket
    limit_bytes: int = protocol.MAX_MESSAGE_BYTES
    received_bytes: int = field(default=0, init=False)
    _received: bytearray = field(default_factory=bytearray, init=False)

    async def send(self, message: bytes, descriptors: Sequence[int] = ()) -> None:
        """Send a message with open files; raises ChildError, or OSError if nobody is there to take it."""
        sent = 0
        if descriptors:
            try:
                sent = socket.send_fds(self.socket, [message], descriptors)
            except BlockingIOError as error:
                raise ChildError("a child replied to a request before it had read it") from error
        await asyncio.get_running_loop().sock_sendall(self.socket, memoryview(message)[sent:])

    async def receive(self) -> bytearray:
        """Wait for a message; raises HungUpError, ChildError if it is too long, or OSError."""
        looked_at = 0
        while (end := self._received.find(b"\n", looked_at)) < 0:
            looked_at = len(self._received)
            if looked_at > self.limit_bytes:
                raise ChildError(f"the child process sent over {self.limit_bytes} bytes")
            data = await asyncio.get_running_loop().sock_recv(self.socket, _CHUNK_BYTES)
            if not data:
                raise HungUpError
            self.received_bytes += len(data)
            self._received += data
        # Only what comes behind it is copied.
        message, self._received = self._received, self._received[end + 1 :]
        del message[end:]
        return message

    def close(self) -> None:
        """Hang up."""
        self.socket.close()


@contextlib.contextmanager
def opened(files: Iterable[protocol.RequestFile]) -> Iterator[list[int]]:
    """Open the files of a request, and make those that are written; raises HostError."""
    with contextlib.ExitStack() as stack:
        descriptors = []
        for file in files:
            descriptors.append(_open(file))
            stack.callback(os.close, descriptors[-1])
        yield descriptors


def _open(file: protocol.RequestFile) -> int:
    try:
        return os.open(file.path, _WRITE if file.is_output else _READ, 0o600)
    except OSError as error:
        if error.errno in DISK_FULL_ERRNOS:
            raise DiskFullError(f"no space for another file: {error}", 0) from error
        raise HostError(str(error)) from error
