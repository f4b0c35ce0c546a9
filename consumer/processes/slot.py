"""Slots for child processes: each starts a new process whenever the last one has died or was killed."""

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

import structlog
from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_attempt, stop_after_delay

from consumer import protocol
from consumer.domain.errors import ChildError, DiskFullError, HostError, SettingsError, StartupError
from consumer.processes.deadline import longest_request_s
from consumer.processes.process import ChildKilledError, ChildTimeoutError, ProcessSpec, WorkerProcess

#: Tries of a request whose process is killed from outside.
_KILLED_TRIES: Final = 6

#: Reason of a planned replacement; and of others, by the error of a request.
RECYCLED: Final = "recycled"
_REASONS: Final[Mapping[type[BaseException], str]] = {
    ChildTimeoutError: "timeout",
    ChildKilledError: "killed",
    ChildError: "crash",
}

log = structlog.get_logger(__name__)


@dataclass
class BusyTimer:
    """Adds up the time in which work is done, one piece at a time."""

    _counted_s: float = 0.0
    _since_s: float | None = None

    @property
    def total_s(self) -> float:
        """Seconds so far, including work in progress."""
        return self._counted_s + (time.monotonic() - self._since_s if self._since_s is not None else 0.0)

    @contextlib.contextmanager
    def counted(self) -> Iterator[None]:
        """Count the time until the context ends."""
        self._since_s = time.monotonic()
        try:
            yield
        finally:
            self._counted_s, self._since_s = self.total_s, None


@dataclass(eq=False)
class Slot:
    """A place for one process, which takes one request at a time, first come first served.

    `load`: requests that wait or are in progress. `busy`: time that processes spent on requests.
    `replacements`: number of processes replaced, by reason. `running_slots` starts and closes it.
    """

    spec: ProcessSpec
    new_process: Callable[[ProcessSpec], Awaitable[WorkerProcess]] = WorkerProcess.started
    process: WorkerProcess | None = field(default=None, init=False)
    load: int = field(default=0, init=False)
    busy: BusyTimer = field(default_factory=BusyTimer, init=False)
    replacements: Counter[str] = field(default_factory=Counter, init=False)
    #: Number of the process that was stopped and not replaced yet, and the reason.
    _stopped: tuple[int, str] | None = field(default=None, init=False)
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock, init=False)

    @property
    def is_running(self) -> bool:
        """Whether a process is running."""
        return self.process is not None and self.process.is_alive

    async def start(self) -> None:
        """Start a process now, if there is none, rather than at the first request; raises HostError."""
        async with self._turn:
            await self._running()

    async def request(
        self, message: protocol.Request, deadline_s: float, on_progress: Callable[[], None] | None = None
    ) -> protocol.Reply:
        """Send a request to the process and wait for its reply, as `WorkerProcess.request` does.

        Raises ChildError if the process dies or sends nonsense, ChildTimeoutError if its time is over,
        HostError if none can be started or the process reports a failure of the host. A process whose
        request failed or was cancelled is killed.
        """
        self.load += 1
        try:
            async with self._turn:
                # Again if the process is killed from outside, for as long as one request may take.
                again = _retry_if_killed(longest_request_s(deadline_s, in_steps=on_progress is not None))
                reply: protocol.Reply = await again(self._request_once, message, deadline_s, on_progress)
        finally:
            self.load -= 1
        if isinstance(reply, protocol.HostFailure):
            if reply.needed_bytes is not None:
                raise DiskFullError(f"{self.spec.name}: {reply.message}", reply.needed_bytes)
            raise HostError(f"{self.spec.name}: {reply.message}")
        return reply

    async def replace(self) -> None:
        """Replace the process by a new one, and let it work until that is ready.

        If both do not fit, the old one goes first. Raises HostError if none can be started; then an old
        one that could stay stays.
        """
        if not self.spec.has_spare:
            async with self._turn:
                await self.stop(RECYCLED)
                await self._running()
            return
        surplus: WorkerProcess | None = await self._started()
        try:
            async with self._turn:
                old, self.process = self.process, surplus
                surplus = old
                if old is not None:
                    self._note_stop(old, RECYCLED)
                self._count_replacement()
        finally:
            # Not within the turn: a large process takes a while to end.
            if surplus is not None:
                await surplus.kill()

    async def stop(self, reason: str) -> None:
        """Kill the process, if there is one; the next request gets a new one, a replacement for `reason`."""
        process, self.process = self.process, None
        if process is not None:
            self._note_stop(process, reason)
            await process.kill()

    def _note_stop(self, process: WorkerProcess, reason: str) -> None:
        self._stopped = (process.pid, reason if process.is_alive or reason != RECYCLED else "killed")

    def _count_replacement(self) -> None:
        """Count the process that was stopped: it has a successor now, as it has not at a shutdown."""
        if self._stopped is not None:
            (pid, reason), self._stopped = self._stopped, None
            self.replacements[reason] += 1
            log.info("child.replaced", kind=self.spec.name, pid=pid, reason=reason)

    async def _request_once(
        self, message: protocol.Request, deadline_s: float, on_progress: Callable[[], None] | None
    ) -> protocol.Reply:
        process = await self._running()
        try:
            with self.busy.counted():
                reply = await process.request(message, deadline_s, on_progress)
        except HostError:
            # A file cannot be opened: the process knows nothing of the request.
            raise
        except BaseException as error:
            await self.stop(_REASONS.get(type(error), "cancelled"))
            raise
        if process.resident_bytes > self.spec.retired_bytes:
            await self.stop(RECYCLED)
        return reply

    async def _running(self) -> WorkerProcess:
        if self.process is not None and not self.process.is_alive:
            await self.stop("killed")
        if self.process is None:
            self.process = await self._started()
            self._count_replacement()
        return self.process

    async def _started(self) -> WorkerProcess:
        """Start a process; raises HostError."""
        try:
            return await _retry_if_killed(self.spec.start_deadline_s)(self.new_process, self.spec)
        except ChildKilledError as error:
            raise HostError(
                f"{self.spec.name}: was killed by SIGKILL while it started, again and again"
            ) from error


def _retry_if_killed(deadline_s: float) -> AsyncRetrying:
    """Try again if a process is killed from outside (by an operator, or the kernel out of memory).

    The request may or may not be the cause.
    """
    return AsyncRetrying(
        retry=retry_if_exception_type(ChildKilledError),
        stop=stop_after_attempt(_KILLED_TRIES) | stop_after_delay(deadline_s),
        reraise=True,
    )


@asynccontextmanager
async def running_slots(slots: Sequence[Slot]) -> AsyncIterator[None]:
    """Start the processes of all slots at the same time, wait until they are ready, and stop them at the end.

    Raises HostError if one does not get ready, SettingsError if that is because of settings.
    """
    async with AsyncExitStack() as stack:
        for slot in slots:
            stack.push_async_callback(slot.stop, "stopped")
        try:
            async with asyncio.TaskGroup() as group:
                for slot in slots:
                    group.create_task(slot.start(), name="start a process")
        except ExceptionGroup as errors:
            first = errors.exceptions[0]
            if isinstance(first, StartupError):
                raise SettingsError(str(first)) from errors
            raise first from errors
        yield
