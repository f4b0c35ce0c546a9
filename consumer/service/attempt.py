"""One attempt at a job: its watchdog, its times and how long its stages took."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

from consumer.clock import Clock, Watchdog
from consumer.domain.result import Timing
from consumer.metrics import Metrics


class Attempt:
    """`queued_at`: when the message was sent, None if that is unknown; `stage_seconds` by stage."""

    def __init__(
        self, queued_at: datetime | None, watchdog: Watchdog, clock: Clock, metrics: Metrics
    ) -> None:
        self.watchdog = watchdog
        self.stage_seconds: dict[str, float] = {}
        self._queued_at = queued_at
        self._started_at = clock.now()
        self._clock = clock
        self._metrics = metrics

    def timing(self) -> Timing:
        """Return the times of an attempt that ends now."""
        return Timing(queued_at=self._queued_at, started_at=self._started_at, finished_at=self._clock.now())

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time a stage; one that fails is not counted."""
        started_at = self._clock.monotonic()
        yield
        self.stage_seconds[name] = self._clock.monotonic() - started_at
        self._metrics.observe_stage(name, self.stage_seconds[name])
