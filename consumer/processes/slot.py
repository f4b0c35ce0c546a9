"""Places for child processes, filled anew whenever a child has died or was killed."""

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final

import structlog

from consumer import protocol
from consumer.domain.errors import ChildError, DiskFullError, HostError, SettingsError, StartupError
from consumer.processes.process import ChildKilledError, ChildTimeoutError, ProcessSpec, WorkerProcess

#: How often in a row a request whose child is killed from outside (an operator, the kernel out of memory)
#: is made again: nobody knows that it was to blame, but it may have been.
_KILLED_TRIES: Final = 6

#: Why a child is given up that has done nothing wrong.
RECYCLED: Final = "recycled"

log = structlog.get_logger(__name__)


class Slot:
    """A place for one child, which takes one request at a time, first come first served.

    `load`: requests that wait or are answered now. `busy`: how long children have worked on requests.
    `lost`: how many children were given up, by why.
    `seated` starts and ends it.
    """

    def __init__(self, spec: ProcessSpec) -> None:
        self.spec = spec
        self.child: WorkerProcess | None = None
        self.load = 0
        self.busy = BusyTimer()
        self.replacements: Counter[str] = Counter()
        self._turn = asyncio.Lock()

    @property
    def is_running(self) -> bool:
        """Whether a child is running."""
        return self.child is not None and self.child.is_alive

    async def start(self) -> None:
        """Start a child now, if there is none, rather than at the first request; raises MachineError."""
        async with self._turn:
            await self._running()

    async def request(self, message: protocol.Request, deadline_s: float) -> protocol.Reply:
        """Hand a request to the child and wait for its reply.

        Raises ChildError where the child dies or talks nonsense, ChildTimeoutError where it does not
        answer within `deadline_s`, MachineError where no child can be started or the child finds the
        machine broken. A child whose request failed or was cancelled is killed.
        """
        self.load += 1
        try:
            async with self._turn:
                reply = await self._request_with_retries(message, deadline_s)
        finally:
            self.load -= 1
        if isinstance(reply, protocol.HostFailure):
            if reply.needed_bytes is not None:
                raise DiskFullError(f"{self.spec.name}: {reply.message}", reply.needed_bytes)
            raise HostError(f"{self.spec.name}: {reply.message}")
        return reply

    async def replace(self) -> None:
        """Put a fresh child in the place of the present one, which serves until the other is ready.

        Where there is no room for both, it has to go first. Raises MachineError where none can be started;
        then an old one that could stay stays.
        """
        if not self.spec.has_spare:
            async with self._turn:
                await self.stop(RECYCLED)
                await self._running()
            return
        other: WorkerProcess | None = await _started(self.spec)
        try:
            async with self._turn:
                other, self.child = self.child, other
                if other is not None:
                    self._count_replacement(other, RECYCLED)
        finally:
            # Not within the turn: a large process takes a while to end.
            if other is not None:
                await other.kill()

    async def stop(self, reason: str) -> None:
        """Kill the child, if there is one; the next request gets a fresh one."""
        child, self.child = self.child, None
        if child is not None:
            self._count_replacement(child, reason)
            await child.kill()

    def _count_replacement(self, child: WorkerProcess, reason: str) -> None:
        if not child.is_alive and reason == RECYCLED:
            reason = "killed"
        self.replacements[reason] += 1
        log.info("child.replaced", kind=self.spec.name, pid=child.pid, reason=reason)

    async def _request_with_retries(self, message: protocol.Request, deadline_s: float) -> protocol.Reply:
        """Ask, again where the child is killed from outside, for as long as one request may take."""
        began = time.monotonic()
        for _ in range(_KILLED_TRIES - 1):
            try:
                return await self._request_once(message, deadline_s)
            except ChildKilledError:
                if time.monotonic() - began > deadline_s:
                    raise
        return await self._request_once(message, deadline_s)

    async def _request_once(self, message: protocol.Request, deadline_s: float) -> protocol.Reply:
        child = await self._running()
        try:
            with self.busy.counted():
                reply = await child.request(message, deadline_s)
        except BaseException as error:
            await self.stop(_reason(error))
            raise
        if child.resident_bytes > self.spec.retired_bytes:
            await self.stop(RECYCLED)
        return reply

    async def _running(self) -> WorkerProcess:
        if self.child is not None and not self.child.is_alive:
            await self.stop("killed")
        if self.child is None:
            self.child = await _started(self.spec)
        return self.child


async def _started(spec: ProcessSpec) -> WorkerProcess:
    """Start a child; raises MachineError where that cannot be done."""
    began = time.monotonic()
    for _ in range(_KILLED_TRIES):
        with contextlib.suppress(ChildKilledError):
            return await WorkerProcess.started(spec)
        if time.monotonic() - began > spec.start_deadline_s:
            break
    raise HostError(f"{spec.name}: was killed by SIGKILL while it started, again and again")


class BusyTimer:
    """Adds up the time in which something is done."""

    def __init__(self) -> None:
        self._active = 0
        self._counted_s = 0.0
        self._since_s = 0.0

    @property
    def total_s(self) -> float:
        """Seconds so far, what is under way included; of several at the same time, the sum."""
        return self._counted_s + self._active * (time.monotonic() - self._since_s)

    @contextlib.contextmanager
    def counted(self) -> Iterator[None]:
        """Count the time until the context ends."""
        self._change(+1)
        try:
            yield
        finally:
            self._change(-1)

    def _change(self, by: int) -> None:
        self._counted_s, self._since_s = self.total_s, time.monotonic()
        self._active += by


def _reason(error: BaseException) -> str:
    """Why a child is given up, in one word of few, for the log and for counting."""
    match error:
        case ChildTimeoutError():
            return "timeout"
        case ChildKilledError():
            return "killed"
        case ChildError():
            return "crash"
        case _:
            return "cancelled"


@asynccontextmanager
async def running_slots(slots: Sequence[Slot]) -> AsyncIterator[None]:
    """Fill all seats at the same time and wait until every child is ready; kill them all at the end.

    Raises MachineError where one does not get ready, SettingsError where settings keep it from that.
    """
    async with AsyncExitStack() as stack:
        for slot in slots:
            stack.push_async_callback(slot.stop, "stopped")
        try:
            async with asyncio.TaskGroup() as group:
                for slot in slots:
                    group.create_task(slot.start(), name="start a child")
        except ExceptionGroup as errors:
            first = errors.exceptions[0]
            if isinstance(first, StartupError):
                raise SettingsError(str(first)) from errors
            raise first from errors
        yield
