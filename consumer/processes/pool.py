"""The pool of engine processes: acquired by one batch at a time, and replaced when they are due or dead."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

import structlog

from consumer.domain.errors import HostError, SettingsError
from consumer.processes.process import WorkerProcess
from consumer.processes.slot import Slot, running_slots

#: Pause after a start that failed, doubled with every further one.
_PAUSE_S, _LONGEST_PAUSE_S = 1.0, 60.0

#: An engine may hold this much for a moment (measured: 2 GiB after a corpus of mixed sizes).
_LEAST_KILLED_BYTES: Final = 4 * 1024**3

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class RecyclePolicy:
    """An engine is replaced after it has read `pages` pages, or before it holds `resident_bytes`."""

    pages: int
    resident_bytes: int

    @property
    def recycle_bytes(self) -> int:
        """An engine that holds more gets a successor, and works on, growing, while that warms up."""
        return int(0.75 * self.resident_bytes)

    @property
    def retired_bytes(self) -> int:
        """An engine that holds more gets no other batch, because that batch might exceed the limit."""
        return int(0.9 * self.resident_bytes)

    @property
    def killed_bytes(self) -> int:
        """An engine that holds more during a batch is killed: that batch, and no leak, is the cause.

        Never below the memory that any page may take: otherwise a limit that is merely low fails good pages.
        """
        return max(int(1.5 * self.resident_bytes), _LEAST_KILLED_BYTES)

    def is_due(self, process: WorkerProcess | None) -> bool:
        """Whether this process should be replaced; always, if it has ended."""
        return (
            process is None
            or not process.is_alive
            or process.is_recycle_due
            or process.pages_read >= self.pages
            or process.resident_bytes > self.recycle_bytes
        )


class EnginePool:
    """Slots with running engines.

    One replacement is started at a time: all engines grow at the same pace, and twice as many might not fit.
    """

    def __init__(self, slots: Sequence[Slot], policy: RecyclePolicy) -> None:
        self._slots = slots
        self._policy = policy
        self._free = list(slots)
        self._acquired: set[Slot] = set()
        self._changed = asyncio.Event()
        self._replacing: dict[Slot, asyncio.Task[None]] = {}
        self._one_at_a_time = asyncio.Lock()
        #: Why the last start of an engine failed; None if it did not.
        self._start_error: HostError | None = None
        self._group = asyncio.TaskGroup()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Start all engines, and replace them until the context ends; raises HostError."""
        async with running_slots(self._slots):
            self._check_limit()
            async with self._group:
                yield
                for task in self._replacing.values():
                    task.cancel()

    @asynccontextmanager
    async def acquire(self) -> AsyncIterator[Slot]:
        """Wait for a slot and have it alone; raises HostError if no engine can be started."""
        while not self._free:
            if self._start_error is not None and not self._any_running:
                raise self._start_error
            self._changed.clear()
            await self._changed.wait()
        slot = self._free.pop(0)
        self._acquired.add(slot)
        try:
            yield slot
        except HostError as error:
            if not slot.is_running:
                self._start_error = error
            raise
        finally:
            self._acquired.discard(slot)
            self._release(slot)
            self._changed.set()

    def check(self) -> None:
        """Replace engines that have died in the meantime; raise HostError if none is running."""
        for slot in [slot for slot in self._free if not slot.is_running]:
            self._free.remove(slot)
            self._release(slot)
        if not self._any_running:
            raise self._start_error or HostError("no engine is running: one is being started")

    @property
    def _any_running(self) -> bool:
        # An acquired engine may be starting; the request that acquired it gets the error if it fails.
        return bool(self._acquired) or any(slot.is_running for slot in self._slots)

    def _check_limit(self) -> None:
        """Raise SettingsError if engines are due for replacement as soon as they are ready."""
        resident_bytes = max(slot.process.resident_bytes for slot in self._slots if slot.process)
        if resident_bytes > self._policy.recycle_bytes:
            raise SettingsError(
                f"BUCKET_OCR_RECYCLE_RSS_BYTES ({self._policy.resident_bytes}) is too low: an engine that "
                f"has read nothing yet holds {resident_bytes} bytes"
            )

    def _release(self, slot: Slot) -> None:
        if self._policy.is_due(slot.process) and slot not in self._replacing:
            self._replacing[slot] = self._group.create_task(self._replace(slot), name="replace an engine")
        # A dead engine cannot be acquired; one that is only due works until its successor is ready.
        if slot.is_running:
            self._make_available(slot)

    def _make_available(self, slot: Slot) -> None:
        if slot not in self._acquired and slot not in self._free:
            self._free.append(slot)
            self._changed.set()

    async def _replace(self, slot: Slot) -> None:
        """Give the slot a new process, however long that takes."""
        pause_s = _PAUSE_S
        while self._policy.is_due(slot.process):
            try:
                async with self._one_at_a_time:
                    await slot.replace()
            except HostError as error:
                log.warning("engine.not_started", error=str(error), next_try_s=pause_s)
                self._start_error = error
                self._changed.set()
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
        del self._replacing[slot]
        self._start_error = None
        self._make_available(slot)
