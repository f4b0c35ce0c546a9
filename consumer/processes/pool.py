"""The seats of engines: which is free, which gets a fresh child, and whether there is any that works."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

import structlog

from consumer.domain.errors import MachineError, SettingsError
from consumer.processes.slot import Seat, seated

#: Pause after a start that failed, doubled with every further one.
_PAUSE_S, _LONGEST_PAUSE_S = 1.0, 60.0

#: An engine may hold this much for a moment (measured: 2 GiB after a corpus of mixed sizes).
_LEAST_KILLED_BYTES: Final = 4 * 1024**3

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Recycling:
    """An engine is replaced after it has read `pages` pages, or before it holds `resident_bytes`."""

    pages: int
    resident_bytes: int

    @property
    def worn_bytes(self) -> int:
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


class EngineSeats:
    """Lends seats with running engines, and replaces those that are worn or dead behind everybody's back.

    One replacement is started at a time: all engines wear at the same pace, and twice as many might not fit.
    """

    def __init__(self, seats: Sequence[Seat], recycling: Recycling) -> None:
        self._seats = seats
        self._recycling = recycling
        self._free = list(seats)
        self._lent: set[Seat] = set()
        self._more = asyncio.Event()
        #: Seats that get another child, and the tasks that see to it.
        self._renewals: dict[Seat, asyncio.Task[None]] = {}
        self._one_at_a_time = asyncio.Lock()
        #: Why an engine could not be started the last time.
        self._broken: MachineError | None = None
        self._group = asyncio.TaskGroup()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Start all engines, and replace them as long as the context lasts; raises MachineError."""
        async with seated(self._seats):
            self._check_limit()
            async with self._group:
                yield
                for renewal in self._renewals.values():
                    renewal.cancel()

    @asynccontextmanager
    async def lent(self) -> AsyncIterator[Seat]:
        """Wait for a seat and have it alone; raises MachineError where no engine can be started."""
        while not self._free:
            if self._broken is not None and not self._any_works:
                raise self._broken
            self._more.clear()
            await self._more.wait()
        seat = self._free.pop(0)
        self._lent.add(seat)
        try:
            yield seat
        except MachineError as error:
            if not seat.is_filled:
                self._broken = error
            raise
        finally:
            self._lent.discard(seat)
            self._take_back(seat)
            self._more.set()

    def check(self) -> None:
        """Have engines replaced that have died meanwhile; raise MachineError where none is running."""
        for seat in [seat for seat in self._free if not seat.is_filled]:
            self._free.remove(seat)
            self._take_back(seat)
        if not self._any_works:
            raise self._broken or MachineError("no engine is running: one is being started")

    @property
    def _any_works(self) -> bool:
        # One that is lent may be starting; whoever has it will say if it does not.
        return bool(self._lent) or any(seat.is_filled for seat in self._seats)

    def _check_limit(self) -> None:
        """Raise SettingsError where engines are worn as soon as they are ready."""
        holds = max(seat.child.resident_bytes for seat in self._seats if seat.child)
        if holds > self._recycling.worn_bytes:
            raise SettingsError(
                f"BUCKET_OCR_RECYCLE_RSS_BYTES ({self._recycling.resident_bytes}) is too low: an engine that "
                f"has read nothing yet holds {holds} bytes"
            )

    def _take_back(self, seat: Seat) -> None:
        if self._is_worn(seat) and seat not in self._renewals:
            self._renewals[seat] = self._group.create_task(self._renew(seat), name="replace an engine")
        # An engine that is gone is missed; one that is only worn works until the other is ready.
        if seat.is_filled:
            self._offer(seat)

    def _offer(self, seat: Seat) -> None:
        if seat not in self._lent and seat not in self._free:
            self._free.append(seat)
            self._more.set()

    def _is_worn(self, seat: Seat) -> bool:
        child, limits = seat.child, self._recycling
        if child is None or not child.is_alive:
            return True
        return child.is_worn or child.pages_read >= limits.pages or child.resident_bytes > limits.worn_bytes

    async def _renew(self, seat: Seat) -> None:
        """Give the seat a fresh child, however long that takes."""
        pause_s = _PAUSE_S
        while self._is_worn(seat):
            try:
                async with self._one_at_a_time:
                    await seat.renew()
            except MachineError as error:
                log.warning("engine.not_started", error=str(error), next_try_s=pause_s)
                self._broken = error
                self._more.set()
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
        del self._renewals[seat]
        self._broken = None
        self._offer(seat)
