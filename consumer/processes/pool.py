"""The seats of engines: which is free, which gets a fresh child, and whether there is any that works."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

import structlog

from consumer.domain.errors import HostError, SettingsError
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
        """One that holds more gets no other batch, since that may be what is too much."""
        return int(0.9 * self.resident_bytes)

    @property
    def killed_bytes(self) -> int:
        """One that holds more amid a batch is killed: it does not grow by wear.

        Never below what any page may take, lest a limit that is merely low fails good pages.
        """
        return max(int(1.5 * self.resident_bytes), _LEAST_KILLED_BYTES)


class EnginePool:
    """Lends seats with running engines, and replaces those that are worn or dead behind everybody's back.

    One replacement is started at a time: all engines wear at the same pace, and twice as many might not fit.
    """

    def __init__(self, slots: Sequence[Slot], recycling: RecyclePolicy) -> None:
        self._slots = slots
        self._recycling = recycling
        self._free = list(slots)
        self._acquired: set[Slot] = set()
        self._more = asyncio.Event()
        #: Seats that get another child, and the tasks that see to it.
        self._replacements: dict[Slot, asyncio.Task[None]] = {}
        self._one_at_a_time = asyncio.Lock()
        #: Why an engine could not be started the last time.
        self._start_error: HostError | None = None
        self._group = asyncio.TaskGroup()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Start all engines, and replace them as long as the context lasts; raises MachineError."""
        async with running_slots(self._slots):
            self._check_limit()
            async with self._group:
                yield
                for renewal in self._replacements.values():
                    renewal.cancel()

    @asynccontextmanager
    async def acquire(self) -> AsyncIterator[Slot]:
        """Wait for a seat and have it alone; raises MachineError where no engine can be started."""
        while not self._free:
            if self._start_error is not None and not self._any_works:
                raise self._start_error
            self._more.clear()
            await self._more.wait()
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
            self._more.set()

    def check(self) -> None:
        """Have engines replaced that have died meanwhile; raise MachineError where none is running."""
        for slot in [slot for slot in self._free if not slot.is_running]:
            self._free.remove(slot)
            self._release(slot)
        if not self._any_works:
            raise self._start_error or HostError("no engine is running: one is being started")

    @property
    def _any_works(self) -> bool:
        # One that is lent may be starting; whoever has it will say if it does not.
        return bool(self._acquired) or any(slot.is_running for slot in self._slots)

    def _check_limit(self) -> None:
        """Raise SettingsError where engines are worn as soon as they are ready."""
        holds = max(slot.child.resident_bytes for slot in self._slots if slot.child)
        if holds > self._recycling.recycle_bytes:
            raise SettingsError(
                f"BUCKET_OCR_RECYCLE_RSS_BYTES ({self._recycling.resident_bytes}) is too low: an engine that "
                f"has read nothing yet holds {holds} bytes"
            )

    def _release(self, slot: Slot) -> None:
        if self._is_recycle_due(slot) and slot not in self._replacements:
            self._replacements[slot] = self._group.create_task(self._replace(slot), name="replace an engine")
        # An engine that is gone is missed; one that is only worn works until the other is ready.
        if slot.is_running:
            self._make_available(slot)

    def _make_available(self, slot: Slot) -> None:
        if slot not in self._acquired and slot not in self._free:
            self._free.append(slot)
            self._more.set()

    def _is_recycle_due(self, slot: Slot) -> bool:
        child, limits = slot.child, self._recycling
        if child is None or not child.is_alive:
            return True
        return (
            child.is_recycle_due
            or child.pages_read >= limits.pages
            or child.resident_bytes > limits.recycle_bytes
        )

    async def _replace(self, slot: Slot) -> None:
        """Give the seat a fresh child, however long that takes."""
        pause_s = _PAUSE_S
        while self._is_recycle_due(slot):
            try:
                async with self._one_at_a_time:
                    await slot.replace()
            except HostError as error:
                log.warning("engine.not_started", error=str(error), next_try_s=pause_s)
                self._start_error = error
                self._more.set()
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
        del self._replacements[slot]
        self._start_error = None
        self._make_available(slot)
