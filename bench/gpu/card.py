"""What a GPU says of itself while it works; nothing, if the device is a processor."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib import import_module
from typing import Any, Final

from consumer.processes import gpus

_EVERY_S: Final = 0.2


class Card:
    """A device: `cpu`, or `gpu:0` and the like.

    `busy`: share of the time in which something ran, 0 to 1; `least_free_bytes`: of its memory. Both are of
    the last `watched`.
    """

    def __init__(self, device: str) -> None:
        self.device = device
        self.gpu = next(iter(gpus.chosen(device)), None)
        self._nvml: Any = import_module("pynvml") if self.gpu else None
        self._busy: list[float] = []
        self.least_free_bytes = 0

    @property
    def name(self) -> str:
        """Name of the card and version of its driver."""
        if self.gpu is None:
            return "processor"
        with self._handle() as handle:
            name, driver = self._nvml.nvmlDeviceGetName(handle), self._nvml.nvmlSystemGetDriverVersion()
        return f"{name}, driver {driver}"

    @property
    def busy(self) -> float | None:
        """Mean of all looks."""
        return sum(self._busy) / len(self._busy) if self._busy else None

    @property
    def free_bytes(self) -> int:
        """Free memory now; 0 of a processor."""
        return sum(gpu.free_bytes for gpu in gpus.chosen(self.device))

    @asynccontextmanager
    async def watched(self) -> AsyncIterator[None]:
        """Look at the card until the context ends."""
        self._busy, self.least_free_bytes = [], self.free_bytes
        looks = asyncio.create_task(self._look(), name="look at the card")
        try:
            yield
        finally:
            looks.cancel()
            await asyncio.gather(looks, return_exceptions=True)

    async def _look(self) -> None:
        while self.gpu:
            with self._handle() as handle:
                self._busy.append(self._nvml.nvmlDeviceGetUtilizationRates(handle).gpu / 100)
            self.least_free_bytes = min(self.least_free_bytes, self.free_bytes)
            await asyncio.sleep(_EVERY_S)

    @contextlib.contextmanager
    def _handle(self) -> Any:
        self._nvml.nvmlInit()
        try:
            yield self._nvml.nvmlDeviceGetHandleByIndex(self.gpu.number if self.gpu else 0)
        finally:
            self._nvml.nvmlShutdown()
