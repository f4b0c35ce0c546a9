"""Child processes: started, spoken to by frames over a socket, and killed with all they started.

A child is a fresh interpreter (never a fork), leader of its own process group, without the parent's
AWS variables. Whatever goes wrong with it, the caller sees a ChildError and the next request gets a
fresh child. That none can be started is the machine's fault and no document's: a MachineError.
"""

import asyncio
import contextlib
import os
import signal
import socket
import sys
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final

import structlog

from consumer import wire
from consumer.domain.errors import ChildError, MachineError

_STANDARD_ERROR: Final = 2

#: Importing an engine and loading its models, on a busy machine.
START_DEADLINE_S: Final = 120.0

#: A killed process is reaped at once; if not, the kernel is at fault and waiting longer would not help.
_REAP_DEADLINE_S: Final = 10.0

log = structlog.get_logger(__name__)


class ChildTimeoutError(ChildError):
    """The child did not answer in time; it was killed."""


class Seat:
    """A place for one child of a role, filled anew whenever the child has died or was killed.

    Takes one request at a time, first come first served. `seated` starts and ends it.
    """

    def __init__(self, role: str, options: wire.RenderOptions | wire.EngineOptions) -> None:
        self._role = role
        self._options = options
        self._child: _Child | None = None
        self._turn = asyncio.Lock()
        #: Requests that wait or are answered now.
        self.load = 0
        self.ready: wire.Reply | None = None

    async def fill(self) -> None:
        """Start the child now rather than at the first request; raises MachineError."""
        async with self._turn:
            await self._filled()

    async def request(self, message: wire.Request, deadline_s: float) -> wire.Reply:
        """Hand a request to the child and wait for its reply.

        Raises ChildError where the child dies or talks nonsense, ChildTimeoutError where it does not
        answer within `deadline_s`, MachineError where no child can be started or the child finds the
        machine broken. A child whose request failed or was cancelled is killed.
        """
        self.load += 1
        try:
            async with self._turn:
                child = await self._filled()
                try:
                    async with asyncio.timeout(deadline_s):
                        reply = await child.request(message)
                except BaseException as error:
                    await self.vacate()
                    if isinstance(error, TimeoutError):
                        raise ChildTimeoutError(f"{self._role}: no answer in {deadline_s:.0f} s") from error
                    raise
        finally:
            self.load -= 1
        if isinstance(reply, wire.Broken):
            raise MachineError(f"{self._role}: {reply.message}")
        return reply

    async def vacate(self) -> None:
        """Kill the child; the next request gets a fresh one."""
        child, self._child = self._child, None
        if child is not None:
            await child.kill()

    async def _filled(self) -> "_Child":
        if self._child is None:
            self._child, self.ready = await _start(self._role, self._options)
        return self._child


@asynccontextmanager
async def seated(seats: Sequence[Seat]) -> AsyncIterator[None]:
    """Fill all seats at the same time and wait until every child is ready; kill them all at the end.

    Raises MachineError where one does not get ready.
    """
    async with AsyncExitStack() as stack:
        for seat in seats:
            stack.push_async_callback(seat.vacate)
        try:
            async with asyncio.TaskGroup() as group:
                for seat in seats:
                    group.create_task(seat.fill(), name="start a child")
        except ExceptionGroup as errors:
            raise errors.exceptions[0] from errors
        yield


class _Child:
    def __init__(self, process: Process, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._process = process
        self._reader = reader
        self._writer = writer

    async def request(self, message: wire.Request) -> wire.Reply:
        try:
            self._writer.write(wire.frame(message))
            await self._writer.drain()
        except OSError as error:
            raise await self._death() from error
        return await self.reply()

    async def reply(self) -> wire.Reply:
        try:
            length = wire.frame_length(await self._reader.readexactly(wire.LENGTH.size))
            return wire.parse_reply(await self._reader.readexactly(length))
        except (asyncio.IncompleteReadError, OSError) as error:
            raise await self._death() from error

    async def kill(self) -> None:
        """End the child and everything it started, and wait until it is gone."""
        self._writer.close()
        await _end(self._process)

    async def _death(self) -> ChildError:
        try:
            async with asyncio.timeout(_REAP_DEADLINE_S):
                code = await self._process.wait()
        except TimeoutError:
            return ChildError("the child process hung up but lives on")
        how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"exited with {code}"
        return ChildError(f"the child process {how}")


async def _start(role: str, options: wire.RenderOptions | wire.EngineOptions) -> tuple[_Child, wire.Reply]:
    """Start a child and wait until it is ready; raises MachineError where that cannot be done."""
    try:
        async with asyncio.timeout(START_DEADLINE_S), _spawned(role, options) as child:
            reply = await child.reply()
            if isinstance(reply, wire.EngineReady | wire.RendererReady):
                return child, reply
            raise ChildError(f"it said {reply.kind} instead of being ready")  # noqa: TRY301
    except TimeoutError as error:
        raise MachineError(f"{role}: not ready in {START_DEADLINE_S:.0f} s") from error
    except (ChildError, OSError) as error:
        raise MachineError(f"{role}: cannot be started: {error}") from error


@asynccontextmanager
async def _spawned(role: str, options: wire.RenderOptions | wire.EngineOptions) -> AsyncIterator[_Child]:
    """Spawn a child process, which is killed if the context fails."""
    ours, theirs = socket.socketpair()
    with theirs:
        try:
            process = await asyncio.create_subprocess_exec(
                *(
                    sys.executable,
                    "-P",  # nothing is imported from the folder that we happen to be started in
                    "-m",
                    "consumer.child",
                    role,
                    str(theirs.fileno()),
                    options.model_dump_json(),
                ),
                stdin=asyncio.subprocess.DEVNULL,
                # Libraries print; our standard output is for log lines only.
                stdout=_STANDARD_ERROR,
                pass_fds=(theirs.fileno(),),
                env=_without_credentials(os.environ),
                start_new_session=True,
            )
        except BaseException:
            ours.close()
            raise
    try:
        child = _Child(process, *await asyncio.open_connection(sock=ours))
    except BaseException:
        ours.close()
        await _end(process)
        raise
    try:
        yield child
    except BaseException:
        await child.kill()
        raise


async def _end(process: Process) -> None:
    # Once it has been waited for, its number may be another's.
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    try:
        async with asyncio.timeout(_REAP_DEADLINE_S):
            await process.wait()
    except TimeoutError:
        log.warning("child.not_reaped", pid=process.pid)


def _without_credentials(environment: Mapping[str, str]) -> dict[str, str]:
    """A child parses hostile files: it gets nothing that opens the bucket."""
    return {name: value for name, value in environment.items() if not name.startswith("AWS_")}
