"""Shares of the host, unless the settings fix them.

Half of the memory is for engines; the other half is for an engine that is being replaced, for renderers,
for page images in a work folder that may be in memory, and for this process. One share of each GPU's memory
is kept free for replacement.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Self

from consumer.engines import EngineSpec
from consumer.processes import host
from consumer.processes.gpus import Gpu
from consumer.protocol import EngineOptions
from consumer.settings import PageSettings, Settings

#: An engine's GPU memory that it does not count itself: the CUDA context, handles of libraries.
_UNCOUNTED_PART: Final = 0.1

#: Address space of a renderer without any page: interpreter, libraries, caches.
_RENDERER_BYTES: Final = 1024**3

#: The largest image that is decoded has eight times the pixels of a page (see `child.rendering.image`), and
#: takes ten bytes for each (measured: 17,000 x 17,000 RGBA took 2.9 GB).
_RENDERER_BYTES_PER_PAGE_PIXEL: Final = 80


@dataclass(frozen=True, slots=True)
class Capacity:
    """`engines` has the share of each engine process; `slots` is the most messages in flight.

    `engine_bytes` and `renderer_bytes` are memory of each process. `has_spare`: the successor of an engine
    fits beside it.
    """

    engines: tuple[EngineOptions, ...]
    engine_bytes: int
    has_spare: bool
    batch_pages: int
    renderers: int
    renderer_bytes: int
    max_in_flight: int
    window_pages: int

    @classmethod
    def of(cls, options: Settings, engine: EngineSpec, gpus: Sequence[Gpu] = ()) -> Self:
        """Divide the host that we run on; without `gpus`, engines run on its processors."""
        cpus, quota = host.processors(), host.cpu_quota()
        usable = min(len(cpus), quota or len(cpus))
        half_bytes = host.memory_bytes() // 2
        # One engine process per processor, as far as memory allows: one of several threads reads slower.
        resident_bytes = (engine.gpu_resident_bytes if gpus else None) or engine.resident_bytes
        fitting = max(1, min(usable, half_bytes // resident_bytes))
        batch_pages = options.batch_pages or (engine.gpu_batch_pages if gpus else 1)
        devices: list[dict[str, object]] = [{}] * (options.engine_workers or fitting)
        has_spare = True
        if gpus:
            devices, has_spare = _share_gpus(gpus, engine, options.engine_workers, fitting)
        engines = len(devices)
        # At least two, so that one hanging renderer does not stop all documents.
        renderers = options.render_workers or max(2, usable // 4)
        return cls(
            engines=tuple(
                share.model_copy(update=device | {"batch_pages": batch_pages})
                for share, device in zip(share_processors(cpus, quota, engines), devices, strict=True)
            ),
            engine_bytes=options.recycle_rss_bytes or max(resident_bytes, half_bytes // engines),
            has_spare=has_spare,
            batch_pages=batch_pages,
            renderers=renderers,
            renderer_bytes=renderer_bytes(options, renderers),
            max_in_flight=options.max_in_flight or max(4, 2 * engines * batch_pages),
            window_pages=2 * engines * batch_pages + 2,
        )

    @property
    def devices(self) -> list[str]:
        """The devices that engines run on, each once."""
        return sorted({engine.device for engine in self.engines})


def renderer_bytes(options: PageSettings, renderers: int) -> int:
    """Memory of each of so many renderers: all that a page may need, as far as there is."""
    wanted_bytes = _RENDERER_BYTES + _RENDERER_BYTES_PER_PAGE_PIXEL * options.max_page_pixels
    return max(_RENDERER_BYTES, min(wanted_bytes, host.memory_bytes() // 2 // renderers))


def _share_gpus(
    gpus: Sequence[Gpu], engine: EngineSpec, workers: int | None, fitting: int
) -> tuple[list[dict[str, object]], bool]:
    """Fields of `EngineOptions` that say the device of each engine; whether there is a spare share."""
    share_bytes = engine.gpu_bytes or 1
    # As many to each GPU, so that none is the slow one.
    free_bytes = min(gpu.free_bytes for gpu in gpus)
    each = workers or max(1, min(fitting // len(gpus), free_bytes // share_bytes - 1))
    has_spare = free_bytes // (each + 1) >= share_bytes or each > 1
    device_bytes = int((1 - _UNCOUNTED_PART) * free_bytes) // (each + has_spare)
    devices: list[dict[str, object]] = [
        {"device": gpu.device, "cuda_name": gpu.cuda_name, "device_bytes": device_bytes}
        for gpu in gpus
        for _ in range(each)
    ]
    return devices, has_spare


def share_processors(cpus: Sequence[int], quota: int | None, workers: int) -> list[EngineOptions]:
    """Divide the processors among `workers` engine processes.

    Each gets processors of its own, unless a quota of CPU time below their number is set: then other
    containers run on the same processors, and being tied to a busy one would be worse than none.
    """
    usable = min(len(cpus), quota or len(cpus))
    threads = max(1, usable // workers)
    if usable < len(cpus) or workers > len(cpus):
        return [EngineOptions(threads=threads)] * workers
    return [
        EngineOptions(threads=threads, cpus=tuple(cpus[n * threads : (n + 1) * threads]))
        for n in range(workers)
    ]
