"""One attempt at a job: its watchdog, its times, how long its stages took, and the files that it needs."""

from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from consumer.clock import Clock, Watchdog
from consumer.domain.parts import Identity
from consumer.domain.result import Timing
from consumer.metrics import Metrics
from consumer.service.pieces import PieceBuffer
from consumer.service.spool import FileSpool


@dataclass(eq=False, slots=True)
class Attempt:
    """`queued_at`: when the message was sent, None if that is unknown; `stage_seconds` by stage.

    `replaces`: ETag of the result that is to be replaced although it is current; None if there is no such
    result. `files` closes what the result is put from; the maker of the attempt ends it. `unstored`: pages of
    a part that were read and could not be stored; the next attempt at the job has them. `is_read`: whether
    the result is made of what the source holds.
    """

    queued_at: datetime | None
    watchdog: Watchdog
    clock: Clock
    metrics: Metrics
    replaces: str | None = None
    is_read: bool = True
    stage_seconds: dict[str, float] = field(default_factory=dict, init=False)
    files: ExitStack = field(default_factory=ExitStack, init=False)
    unstored: list[tuple[Identity, PieceBuffer]] = field(default_factory=list, init=False)
    started_at: datetime = field(init=False)

    def __post_init__(self) -> None:
        self.started_at = self.clock.now()

    def timing(self) -> Timing:
        """Return the times of an attempt that ends now."""
        return Timing(queued_at=self.queued_at, started_at=self.started_at, finished_at=self.clock.now())

    def spool(self, folder: Path) -> FileSpool:
        """Make a spool that lasts as long as the attempt."""
        return self.files.enter_context(closing(FileSpool(folder)))

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time a stage; one that fails is not counted."""
        started_at = self.clock.monotonic()
        yield
        self.stage_seconds[name] = self.clock.monotonic() - started_at
        self.metrics.observe_stage(name, self.stage_seconds[name])
