"""Virtual time: one clock that nobody waits for, and the event loops and processes that live by it.

There are no threads and no sleeping; what happens depends on the seed alone.
"""

import asyncio
import math
import random
import selectors
from collections.abc import Callable, Coroutine, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

EPOCH: Final = datetime(2026, 1, 1, tzinfo=UTC)

#: Cancelling a task may start others that must be cancelled too.
_ROUNDS: Final = 20


class VirtualClock:
    """The time of all processes; fulfils `consumer.ports.Clock`."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def now(self) -> datetime:
        return EPOCH + timedelta(seconds=self.seconds)

    def monotonic(self) -> float:
        return self.seconds


class _Selector(selectors.SelectSelector):
    """Waits for nothing; tells `idle` for how long it would have waited."""

    def __init__(self, idle: Callable[[float], None]) -> None:
        super().__init__()
        self._idle = idle

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None or timeout > 0:
            self._idle(math.inf if timeout is None else timeout)
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """The loop of a test: instead of waiting it moves the clock."""

    def __init__(self, clock: VirtualClock | None = None) -> None:
        self.clock = clock or VirtualClock()
        super().__init__(_Selector(self._is_idle))

    def time(self) -> float:
        return self.clock.seconds

    def run_in_executor(
        self, executor: object, func: Callable[..., Any], *args: object
    ) -> asyncio.Future[Any]:
        """Do it now, in this thread."""
        done = self.create_future()
        try:
            done.set_result(func(*args))
        except Exception as error:  # noqa: BLE001 - it belongs to the caller
            done.set_exception(error)
        return done

    def _is_idle(self, seconds: float) -> None:
        if seconds == math.inf:
            raise AssertionError("everything waits, and nothing will happen any more")
        self.clock.seconds += seconds


def running_loop() -> VirtualLoop:
    """Return the loop of the test that asks."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop)
    return loop


class _ProcessLoop(VirtualLoop):
    """The loop of one of several processes: it stops instead of waiting; `wakes_at` says until when."""

    wakes_at = 0.0

    def _is_idle(self, seconds: float) -> None:
        self.wakes_at = self.clock.seconds + seconds
        self.stop()

    def poke(self) -> None:
        """Say that there is something to do now."""
        self.wakes_at = self.clock.seconds


class Process:
    """The test's own process, which nobody stops or kills."""

    name = "test"
    alive = True

    async def sleep(self, seconds: float) -> None:
        """Let time pass."""
        await asyncio.sleep(seconds)

    async def catch_up(self, until: float) -> None:
        """Wait a moment if it is later than was meant."""

    def pause(self) -> None:
        raise NotImplementedError

    def kill(self) -> None:
        raise NotImplementedError


class VirtualProcess(Process):
    """A process that runs `main` in a loop of its own; what it does takes no time but in `sleep`.

    It can be stopped (SIGSTOP) and killed (SIGKILL) at any moment, as a whole.
    """

    def __init__(self, name: str, clock: VirtualClock, rng: random.Random) -> None:
        self.name = name
        self.alive = True
        self.paused = False
        self._clock = clock
        self._rng = rng
        self._loop = _ProcessLoop(clock)
        self.main: asyncio.Task[None] | None = None

    @property
    def wakes_at(self) -> float:
        return math.inf if self.paused or not self.alive else self._loop.wakes_at

    def start(self, main: Coroutine[Any, Any, None]) -> None:
        self.main = self._loop.create_task(main, name=self.name)
        self._loop.poke()

    def call(self, function: Callable[[], None]) -> None:
        """Have something done in the process, as a signal does."""
        self._loop.call_soon(function)
        self._loop.poke()

    def run_due(self) -> None:
        self._loop.run_forever()

    async def sleep(self, seconds: float) -> None:
        """Let time pass. After a pause nobody knows who goes on first."""
        if not self.alive:
            raise asyncio.CancelledError
        until = self._clock.seconds + seconds
        await asyncio.sleep(seconds)
        await self.catch_up(until)

    async def catch_up(self, until: float) -> None:
        """Wait a moment if a pause has made it later than was meant."""
        if self._clock.seconds > until + 0.001:
            await asyncio.sleep(self._rng.uniform(0, 0.2))

    def pause(self) -> None:
        """SIGSTOP; may be called from within."""
        self.paused = True
        self._loop.poke()
        self._loop.stop()

    def resume(self) -> None:
        self.paused = False
        self._loop.poke()

    def kill(self) -> None:
        """SIGKILL; may be called from within. Nothing of it may have any effect from now on."""
        self.alive = False
        self._loop.stop()

    def reap(self) -> None:
        """Cancel the tasks of a process that is dead, or has ended, and close its loop."""
        self.alive = False
        self._loop.set_exception_handler(_ignore)
        for _ in range(_ROUNDS):
            if not (tasks := asyncio.all_tasks(self._loop)):
                break
            for task in tasks:
                task.cancel()
            self._loop.run_forever()
        self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        self._loop.close()


def _ignore(loop: asyncio.AbstractEventLoop, context: Mapping[str, Any]) -> None:
    """Nobody hears of the errors of a dead process."""


class VirtualTime:
    """Runs processes. `ended` is told of each that died or whose `main` has returned; it is reaped then."""

    def __init__(self, ended: Callable[[VirtualProcess], None]) -> None:
        self.clock = VirtualClock()
        self._ended = ended
        self._processes: list[VirtualProcess] = []

    def add(self, process: VirtualProcess) -> None:
        self._processes.append(process)

    def advance(self, seconds: float) -> None:
        """Let time pass, and all that is due in it happen."""
        end = self.clock.seconds + seconds
        self.reap()
        while self._processes:
            process = min(self._processes, key=lambda process: process.wakes_at)
            if process.wakes_at > end:
                break
            self.clock.seconds = max(self.clock.seconds, process.wakes_at)
            process.run_due()
            self.reap()
        self.clock.seconds = end

    def reap(self) -> None:
        """Reap the dead."""
        for process in [*self._processes]:
            if not process.alive or (process.main is not None and process.main.done()):
                self._processes.remove(process)
                process.reap()
                self._ended(process)
