"""Whether this machine may take work: not while its disk is full, or storage is down, or no engine starts.

What is broken is looked for before a message is received, since every receipt counts: a queue gives a
message up after a few.
"""

from collections.abc import Awaitable, Callable, Sequence

import structlog

from consumer.domain.errors import HostError, ServiceError, TransientError, UnavailableError
from consumer.ports import Clock

#: Time between a failure of the machine and the next message; doubled while messages go on to fail though
#: nothing is found to be broken.
_PAUSE_S, _LONGEST_PAUSE_S = 5.0, 300.0

#: Storage that fails so many messages in a row may be down.
_FAILURES_IN_A_ROW = 4

log = structlog.get_logger(__name__)

_Check = Callable[[], Awaitable[None]]


class CircuitBreaker:
    """Open while the machine is well. `checks` raise MachineError while it is not.

    `on_trial`: it has failed and nothing has worked since, so messages are to be tried one at a time.
    """

    def __init__(self, checks: Sequence[_Check], clock: Clock) -> None:
        self._checks = checks
        self._clock = clock
        self._pause_s = _PAUSE_S
        self._closed_until_s = 0.0
        self._failures = 0
        #: Looks at the storage that failed.
        self._probe: _Check | None = None
        self.problem: str | None = None
        self.half_open = False

    async def allows_work(self) -> bool:
        """Look at the machine; what changes is logged."""
        if self._clock.monotonic() < self._closed_until_s:
            return False
        try:
            for check in self._checks:
                await check()
            await self._look_at_storage()
        except (HostError, UnavailableError) as error:
            self._say(str(error))
        else:
            self._say(None)
        return self.problem is None

    async def _look_at_storage(self) -> None:
        """Raise UnavailableError where storage has failed all messages of late, and is not back yet."""
        if self._probe is None:
            return
        try:
            await self._probe()
        except UnavailableError:
            raise
        except ServiceError:
            # It answers. That we may not use the bucket of some message is that message's affair.
            self.record_storage_success()

    def record_host_failure(self, error: HostError) -> None:
        """Close for a while: the work on a message failed for reasons of the machine."""
        self._close(error)

    def _close(self, error: TransientError) -> None:
        self.half_open = True
        now = self._clock.monotonic()
        # Messages in work at the same time fail for the same reason, and count once.
        if now >= self._closed_until_s:
            self._closed_until_s = now + self._pause_s
            self._pause_s = min(2 * self._pause_s, _LONGEST_PAUSE_S)
        self._say(str(error))

    def record_storage_failure(self, error: UnavailableError, probe: _Check) -> None:
        """Note that storage was unavailable to a message; if it was to several in a row, close for a while.

        `probe` is asked before the next message.
        """
        self._failures += 1
        if self._failures >= _FAILURES_IN_A_ROW:
            self._probe = probe
            self._close(error)

    def record_storage_success(self) -> None:
        """Forget earlier failures of storage: a message has been answered."""
        self._failures = 0
        if self._probe is not None:
            self._probe = None
            self.record_host_success()

    def record_host_success(self) -> None:
        """Forget earlier failures: a document has been read."""
        self._pause_s = _PAUSE_S
        self.half_open = False

    def _say(self, problem: str | None) -> None:
        if problem is not None and _kind(problem) != _kind(self.problem):
            log.warning("host.unhealthy", error=problem)
        elif problem is None and self.problem is not None:
            log.info("host.healthy")
        self.problem = problem


def _kind(problem: str | None) -> str:
    """A problem without its figures, which change all the time."""
    return "".join(letter for letter in problem or "" if not letter.isdigit())
