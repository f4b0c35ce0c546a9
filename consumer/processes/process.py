"""A child process: started, sent requests over a socket, and killed with all that it started.

It is a fresh interpreter (never a fork), leader of its own process group, with few of the parent's
variables (`spawn`). Its failures are a ChildError. That it cannot be started is the host's fault and no
document's: a HostError.
"""

import asyncio
import contextlib
import signal
from asyncio.subprocess import Process
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Self

import structlog

from consumer import framing, protocol
from consumer.domain.errors import ChildError, HostError, StartupError
from consumer.processes import host
from consumer.processes.channel import Channel, HungUpError, opened
from consumer.processes.deadline import Deadline
from consumer.processes.spawn import kill_group, spawn

#: Importing an engine and loading its models, on a busy host.
START_DEADLINE_S: Final = 120.0

#: A killed process is reaped at once; if not, the kernel is at fault and waiting longer would not help.
_REAP_DEADLINE_S: Final = 10.0

#: Interval of the checks of a busy process's memory: it can fill some hundred megabytes meanwhile.
_CHECK_S: Final = 0.25

#: Most messages of one reply; all but 250 of them have thousands of lines.
_MOST_PARTS: Final = 1000

NO_SANDBOX: Final = protocol.Sandbox(mode="off")

log = structlog.get_logger(__name__)


class ChildTimeoutError(ChildError):
    """The process made no progress or did not reply in time."""


class ChildKilledError(ChildError):
    """The process was killed from outside, which says nothing about its request."""


@dataclass(frozen=True, slots=True)
class ProcessSpec:
    """A kind of child process; `entry` is the `module:function` that builds its `RequestHandler`.

    `name`: the kind, in logs and metrics. `retired_bytes`: a process that holds more memory than this after
    a request gets no other one. `killed_bytes`: one that holds more than this is killed, even during a
    request. `has_spare`: a second one fits beside it. `sandbox`: the walls round it.
    """

    name: str
    entry: str
    options: protocol.ProcessOptions
    retired_bytes: int
    killed_bytes: int
    start_deadline_s: float = START_DEADLINE_S
    has_spare: bool = True
    sandbox: protocol.Sandbox = NO_SANDBOX


@dataclass(eq=False)
class WorkerProcess:
    """A running child process.

    `ready`: its first message; `pages_read`: the number since then; `is_recycle_due`: it has asked to be
    replaced.
    """

    spec: ProcessSpec
    process: Process
    channel: Channel
    ready: protocol.Reply = field(init=False)
    pages_read: int = field(default=0, init=False)
    is_recycle_due: bool = field(default=False, init=False)

    def __post_init__(self) -> None:
        self._end = asyncio.create_task(self._reap(), name=f"end of {self.spec.name}")

    @classmethod
    async def started(cls, spec: ProcessSpec) -> Self:
        """Start a process and wait until it is ready.

        Raises HostError if that fails (StartupError: by its own account), ChildKilledError if it is killed
        from outside meanwhile.
        """
        try:
            async with asyncio.timeout(spec.start_deadline_s), contextlib.AsyncExitStack() as undo:
                options, sandbox = spec.options.model_dump_json(), spec.sandbox.model_dump_json()
                process = cls(spec, *await spawn(spec.entry, options, sandbox))
                undo.push_async_callback(process.kill)
                ready = await process.reply()
                if isinstance(ready, protocol.HostFailure):
                    # No other start will end better.
                    raise StartupError(f"{spec.name}: {ready.message}")  # noqa: TRY301
                if not isinstance(ready, protocol.EngineReady | protocol.RendererReady):
                    raise ChildError(f"it sent {ready.kind} instead of being ready")  # noqa: TRY301
                process.ready = ready
                if isinstance(ready, protocol.EngineReady) and ready.flattens_pages:
                    # It has read nothing foreign yet, so it can be believed.
                    process.channel.limit_bytes = protocol.MAX_FLATTENED_BYTES
                undo.pop_all()
                return process
        except TimeoutError as error:
            raise HostError(f"{spec.name}: not ready in {spec.start_deadline_s:g} s") from error
        except (ChildKilledError, StartupError):
            raise
        # asyncio raises RuntimeError if no thread can be started to wait for the process.
        except (ChildError, OSError, RuntimeError) as error:
            raise HostError(f"{spec.name}: cannot be started: {error}") from error

    @property
    def walls(self) -> Mapping[str, str]:
        """Of each wall round it, why it does not stand; empty if it does."""
        return (
            self.ready.walls if isinstance(self.ready, protocol.EngineReady | protocol.RendererReady) else {}
        )

    @property
    def pid(self) -> int:
        """Number of the process and of its group."""
        return self.process.pid

    @property
    def is_alive(self) -> bool:
        """Whether the process has not ended, as far as is known."""
        return not self._end.done()

    @property
    def resident_bytes(self) -> int:
        """Memory that the process holds; 0 once it has ended."""
        return host.resident_bytes(self.pid) if self.is_alive else 0

    async def request(
        self, message: protocol.Request, deadline_s: float, on_progress: Callable[[], None] | None = None
    ) -> protocol.Reply:
        """Send a request and wait for the reply, until `deadline_s` is over.

        With `on_progress`, every step that the process tells of restarts that and calls `on_progress`; see
        `deadline` for its end. Raises HostError if a file of the request cannot be opened, ChildError if the
        process dies, takes too much memory or sends nonsense; ChildTimeoutError if its time is over,
        ChildKilledError if it is killed from outside. After a ChildError or a cancellation it must be killed:
        a late reply would be taken for the next one.
        """
        deadline = Deadline(deadline_s, on_progress)
        with opened(protocol.files(message)) as descriptors:
            exchange = asyncio.create_task(
                self._exchange(message, descriptors, deadline), name=f"request to {self.spec.name}"
            )
            try:
                while not (await asyncio.wait([exchange], timeout=min(_CHECK_S, deadline.left_s)))[0]:
                    await self._check(deadline)
                if protocol.is_reply_to(message, reply := exchange.result()):
                    return reply
                raise ChildError(f"the child process replied to {message.kind} with something else")
            finally:
                exchange.cancel()
                await asyncio.gather(exchange, return_exceptions=True)

    async def kill(self) -> None:
        """End the process and everything it started, and wait until it is gone."""
        self.channel.close()
        if self.is_alive:
            kill_group(self.pid)
        try:
            async with asyncio.timeout(_REAP_DEADLINE_S):
                await asyncio.shield(self._end)
        except TimeoutError:
            log.warning("child.not_reaped", pid=self.pid)

    async def _reap(self) -> int:
        """Wait for the end of the process, and end the processes that it leaves behind."""
        status = await self.process.wait()
        # At once: later, another process may have the number.
        kill_group(self.pid)
        return status

    async def _check(self, deadline: Deadline) -> None:
        """Raise ChildError if the request in progress has to end."""
        if not self.is_alive:
            # A process that it started holds its end of the socket.
            raise await self._death()
        if (resident := self.resident_bytes) > self.spec.killed_bytes:
            limit_mib = self.spec.killed_bytes >> 20
            raise ChildError(
                f"the child process took {resident >> 20} MiB of memory; {limit_mib} are allowed"
            )
        if not deadline.left_s:
            raise ChildTimeoutError(f"{self.spec.name}: {deadline.problem}")

    async def _exchange(
        self, message: protocol.Request, descriptors: Sequence[int], deadline: Deadline
    ) -> protocol.Reply:
        # Each page may have as many lines as fit a message of their own.
        most_bytes = self.channel.received_bytes + 2 * len(descriptors) * self.channel.limit_bytes
        try:
            await self.channel.send(protocol.encode(message), descriptors)
        except OSError as error:
            raise await self._death() from error
        parts: list[protocol.Reply | protocol.PageLines] = []
        while True:
            part = await self.reply()
            if isinstance(part, protocol.Progress):
                deadline.note_progress()
            elif framing.is_part(part) and isinstance(message, protocol.ReadPages):
                parts.append(part)
            elif isinstance(part, protocol.PageLines):
                raise ChildError(f"the child process replied to {message.kind} with {part.kind}")
            else:
                return framing.joined(parts, part)
            if self.channel.received_bytes > most_bytes or len(parts) > _MOST_PARTS:
                raise ChildError("the child process sent a reply without end")
            # Messages may come faster than they are taken; everything else gets its turn between them.
            await asyncio.sleep(0)

    async def reply(self) -> protocol.Reply | protocol.PageLines | protocol.Progress:
        """Wait for the next message of the process; raises ChildError."""
        try:
            return protocol.parse_reply(await self.channel.receive())
        except (HungUpError, OSError) as error:
            raise await self._death() from error

    async def _death(self) -> ChildError:
        try:
            async with asyncio.timeout(_REAP_DEADLINE_S):
                status = await asyncio.shield(self._end)
        except TimeoutError:
            return ChildError("the child process hung up but lives on")
        match -status:
            case signal.SIGKILL:
                return ChildKilledError("the child process was killed by SIGKILL")
            case signal.SIGXCPU:
                return ChildTimeoutError(f"{self.spec.name}: used up its processor time")
            case number if number > 0:
                return ChildError(f"the child process was killed by {_signal_name(number)}")
        reason = ": out of memory" if status == protocol.OUT_OF_MEMORY else ""
        return ChildError(f"the child process exited with {status}{reason}")


def _signal_name(number: int) -> str:
    # Real-time signals have no names, but kill like any other.
    return signal.Signals(number).name if number in set(signal.Signals) else f"signal {number}"
