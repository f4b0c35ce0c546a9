"""The circuit breaker: no message is received while this host, or the storage, is broken.

Health checks run before each receive, because every receive counts towards maxReceiveCount.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

import structlog

from consumer.clock import Clock
from consumer.domain.errors import HostError, ServiceError, UnavailableError
from consumer.domain.pauses import DEFAULT_PAUSES

LONGEST_PAUSE_S = 300.0

#: Storage that fails so many messages in a row may be down. So it is if it refuses so many documents.
_FAILURES_IN_A_ROW = 4

log = structlog.get_logger(__name__)

_Check = Callable[[], Awaitable[None]]


@dataclass(eq=False)
class CircuitBreaker:
    """Closed while the host is well. `checks` raise HostError while it is not.

    Open (`is_open`): no message is received. Half-open (`half_open`): something failed and nothing has worked
    since, so messages are tried one at a time. `problem`: what is wrong, None if nothing is known to be.
    `stored`: how many documents were stored.
    """

    checks: Sequence[_Check]
    clock: Clock
    first_pause_s: float = DEFAULT_PAUSES.breaker_s
    problem: str | None = field(default=None, init=False)
    is_open: bool = field(default=False, init=False)
    half_open: bool = field(default=False, init=False)
    stored: int = field(default=0, init=False)
    _open_until_s: float = field(default=0.0, init=False)
    _storage_failures: int = field(default=0, init=False)
    #: Looks at the storage that failed.
    _probe: _Check | None = field(default=None, init=False)
    #: Documents that storage refused since it has taken one.
    _refused: set[str] = field(default_factory=set, init=False)
    #: The first words for it: later ones differ by keys and ids only.
    _refusal: str = field(default="", init=False)

    def __post_init__(self) -> None:
        self._pause_s = self.first_pause_s

    async def allows_work(self) -> bool:
        """Run the checks; changes are logged."""
        if self.clock.monotonic() < self._open_until_s:
            return False
        try:
            for check in self.checks:
                await check()
            await self._probe_storage()
        except (HostError, UnavailableError) as error:
            self.is_open = True
            self._report(str(error))
        else:
            self.is_open = False
            if not self._refuses:
                self._report(None)
        return not self.is_open

    @property
    def _refuses(self) -> bool:
        """Whether storage refuses more than single documents."""
        return len(self._refused) >= _FAILURES_IN_A_ROW

    async def _probe_storage(self) -> None:
        """Raise UnavailableError if the storage that failed is not back yet."""
        if self._probe is None:
            return
        try:
            await self._probe()
        except UnavailableError:
            raise
        except ServiceError:
            # It answers. That the bucket of one message may not be used is a matter of that message.
            self.record_storage_success()

    def record_host_failure(self, error: HostError) -> None:
        """Open for a while: work on a message failed for reasons of the host."""
        self._open(str(error))

    def record_storage_failure(self, error: UnavailableError, probe: _Check) -> None:
        """Note that storage was unavailable to a message; if it was to several in a row, open for a while.

        `probe` is asked before the next message.
        """
        self._storage_failures += 1
        if self._storage_failures >= _FAILURES_IN_A_ROW:
            self._probe = probe
            self._open(str(error))

    def record_refusal(self, document: str, error: str) -> None:
        """Note that storage refused a document; if it has refused several, open for a while.

        One that is tried again tells nothing new.
        """
        is_new = document not in self._refused
        self._refused.add(document)
        if is_new and self._refuses:
            advice = "`bucket-ocr doctor --write` says which right or key is missing"
            self._refusal = self._refusal or f"one document after another is refused: {error}: {advice}"
            self._open(self._refusal)

    def record_stored(self) -> None:
        """Forget earlier refusals: storage has taken what was made of a document."""
        self.stored += 1
        if self._refuses:
            self.record_host_success()
            self._open_until_s, self._refusal = 0.0, ""
            self._report(None)
        self._refused.clear()

    def record_storage_success(self) -> None:
        """Forget earlier failures of storage."""
        self._storage_failures = 0
        if self._probe is not None:
            self._probe = None
            self.record_host_success()

    def record_host_success(self) -> None:
        """Forget earlier failures: a document has been read."""
        self._pause_s = self.first_pause_s
        self.half_open = False

    def _open(self, problem: str) -> None:
        self.is_open = self.half_open = True
        now = self.clock.monotonic()
        # Messages in flight at the same time fail for the same reason, and count once.
        if now >= self._open_until_s:
            self._open_until_s = now + self._pause_s
            self._pause_s = min(2 * self._pause_s, LONGEST_PAUSE_S)
        self._report(problem)

    def _report(self, problem: str | None) -> None:
        if problem is not None and _without_figures(problem) != _without_figures(self.problem):
            log.warning("host.unhealthy", error=problem)
        elif problem is None and self.problem is not None:
            log.info("host.healthy")
        self.problem = problem


def _without_figures(problem: str | None) -> str:
    """A problem without its figures, which change all the time."""
    return "".join(letter for letter in problem or "" if not letter.isdigit())
