"""The real service as processes over the fakes."""

import asyncio
import random
from collections.abc import Collection
from pathlib import Path
from typing import Final

from consumer.domain.result import Engine
from consumer.metrics import Metrics
from tests.fakes.cloud import Cloud
from tests.fakes.network import Faults, Network
from tests.fakes.outputs import PAGES, TEXTS
from tests.fakes.service import Service
from tests.fakes.virtual_time import VirtualProcess

#: One for all: nobody looks at it, and consumers come and go by the thousand.
METRICS: Final = Metrics()

#: So few that short documents are long.
PART_PAGES: Final = 2


class Consumer:
    """A consumer process, from its start to its end; `outputs`: those that it writes."""

    def __init__(
        self,
        cloud: Cloud,
        faults: Faults,
        folder: Path,
        name: str,
        seed: int,
        engine: Engine,
        outputs: Collection[str],
    ) -> None:
        self.process = VirtualProcess(name, cloud.clock, random.Random(f"{seed} {name}"))
        self._network = Network(cloud, faults, self.process, seed)
        self.engine = engine
        self._outputs = outputs
        self._folder = folder / name
        self._folder.mkdir()
        self._stop = asyncio.Event()
        self.process.start(self._run())

    def terminate(self) -> None:
        """SIGTERM."""
        self.process.call(self._stop.set)

    async def _run(self) -> None:
        service = Service(
            self._network,
            self._folder,
            METRICS,
            formats=[TEXTS, PAGES],
            wanted=self._outputs,
            engine=self.engine,
            part_pages=PART_PAGES,
        )
        async with service.scheduler.running():
            await service.worker().run(self._stop)
