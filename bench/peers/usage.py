"""Processor time and memory of processes with all their descendants."""

import contextlib
import threading
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Self

import psutil

_LOOK_S = 0.5


def processor_s(pids: Sequence[int]) -> float:
    """Seconds that the trees under these processes have used, with those of children that have ended."""
    total = 0.0
    for process in _trees(pids):
        with contextlib.suppress(psutil.NoSuchProcess):
            total += sum(process.cpu_times()[:4])
    return total


def resident_bytes(pids: Sequence[int]) -> int:
    """Memory that the trees hold; what several processes share counts once."""
    total = 0
    for process in _trees(pids):
        with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            total += process.memory_full_info().pss
    return total


def _trees(pids: Sequence[int]) -> Iterator[psutil.Process]:
    for pid in pids:
        with contextlib.suppress(psutil.NoSuchProcess):
            root = psutil.Process(pid)
            yield root
            yield from root.children(recursive=True)


class MemoryWatch:
    """Looks at the memory of trees until it is left. `peak_bytes`: the most so far."""

    def __init__(self, pids: Sequence[int]) -> None:
        self.peak_bytes = 0
        self._pids = pids
        self._left = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._left.set()
        self._thread.join()

    def _watch(self) -> None:
        while True:
            self.peak_bytes = max(self.peak_bytes, resident_bytes(self._pids))
            if self._left.wait(_LOOK_S):
                return
