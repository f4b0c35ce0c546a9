"""How much of the machine each part of the consumer gets, where the settings leave it to us.

Half of the memory is for engines; the other half is for one that is being replaced, for renderers, for
page images in a work folder that may be in memory, and for this process. Of each GPU's memory one share is
for an engine that is being replaced.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Self

from consumer.domain.plan import EngineShare, share_processors
from consumer.processes import host
from consumer.processes.gpus import Gpu
from consumer.settings import Settings

_GIB: Final = 1024**3

#: An engine process of few threads holds up to this: models, a page, and what is compiled for each size of
#: page (RapidOCR, measured: 1.75 GiB after a corpus of mixed sizes, 1.91 at most. PP-StructureV3, estimated:
#: its weights are 1 GB). With much less it would be replaced all the time.
_ENGINE_BYTES: Final = {"rapidocr": 2 * _GIB, "pp-structurev3": 6 * _GIB}

#: Memory of a GPU for one engine process of PP-StructureV3 (published: up to 22 GB with the large text
#: models; four processes on an A100 of 80 GB read 2.4 times as much as one).
_GPU_BYTES: Final = 20 * 10**9

#: Pages in one go, on a GPU: fewer leave it idle. On a CPU a batch gains nothing.
_GPU_BATCH_PAGES: Final = 8

#: What an engine holds of it beside what it counts itself: the CUDA context, handles of libraries.
_UNCOUNTED_PART: Final = 0.1

#: Longest time to read a page. A dense one took PP-StructureV3 more than a minute on a busy processor, and
#: thirty formulas may take as long on a GPU (published: 1.7 s each for the large model, on a T4).
_PAGE_DEADLINE_S: Final = {"rapidocr": 60.0, "pp-structurev3": 180.0}

#: Address space of a renderer without any page: interpreter, libraries, caches.
_RENDERER_BYTES: Final = _GIB

#: The largest image that is decoded has eight times the pixels of a page (see `child.picture`), and takes
#: ten bytes for each (measured: 17,000 x 17,000 RGBA took 2.9 GB).
_RENDERER_BYTES_PER_PAGE_PIXEL: Final = 80


@dataclass(frozen=True, slots=True)
class Capacity:
    """`engine_bytes` and `renderer_bytes` are for each process; `slots` are messages in work at once.

    `engines`: the part of the machine that each gets; `devices`: where it runs, and `cuda_names`, how CUDA
    knows that. `device_bytes`: memory of its GPU, None on a CPU. `has_spare`: there is room for the
    successor of an engine beside it.
    """

    engines: list[EngineShare]
    devices: list[str]
    cuda_names: list[str | None]
    engine_bytes: int
    device_bytes: int | None
    has_spare: bool
    batch_pages: int
    page_deadline_s: float
    renderers: int
    renderer_bytes: int
    slots: int
    window_pages: int

    @classmethod
    def of(cls, options: Settings, engine: str, gpus: Sequence[Gpu] = ()) -> Self:
        """Divide the machine that we run on; without `gpus`, its processors read."""
        cpus, quota = host.processors(), host.cpu_quota()
        usable = min(len(cpus), quota or len(cpus))
        half_bytes = host.memory_bytes() // 2
        needed_bytes = _ENGINE_BYTES[engine]
        # One engine process per processor, as far as memory allows: one of several threads reads slower.
        fitting = max(1, min(usable, half_bytes // needed_bytes))
        workers = options.engine_workers
        devices = ["cpu"] * (workers or fitting)
        cuda_names: list[str | None] = [None] * len(devices)
        batch_pages, device_bytes, has_spare = options.batch_pages or 1, None, True
        if gpus:
            # As many to each GPU, so that none is the slow one.
            free_bytes = min(gpu.free_bytes for gpu in gpus)
            each = workers or max(1, min(fitting // len(gpus), free_bytes // _GPU_BYTES - 1))
            has_spare = free_bytes // (each + 1) >= _GPU_BYTES or each > 1
            devices = [gpu.device for gpu in gpus for _ in range(each)]
            cuda_names = [gpu.cuda_name for gpu in gpus for _ in range(each)]
            device_bytes = int((1 - _UNCOUNTED_PART) * free_bytes) // (each + has_spare)
            batch_pages = options.batch_pages or _GPU_BATCH_PAGES
        engines = len(devices)
        # One that hangs, for as long as it may, shall not be all there is.
        renderers = options.render_workers or max(2, usable // 4)
        wanted_bytes = _RENDERER_BYTES + _RENDERER_BYTES_PER_PAGE_PIXEL * options.max_page_pixels
        return cls(
            engines=share_processors(cpus, quota, engines),
            devices=devices,
            cuda_names=cuda_names,
            engine_bytes=options.recycle_rss_bytes or max(needed_bytes, half_bytes // engines),
            device_bytes=device_bytes,
            has_spare=has_spare,
            batch_pages=batch_pages,
            page_deadline_s=_PAGE_DEADLINE_S[engine],
            renderers=renderers,
            renderer_bytes=max(_RENDERER_BYTES, min(wanted_bytes, half_bytes // renderers)),
            slots=options.max_in_flight or max(4, 2 * engines * batch_pages),
            window_pages=2 * engines * batch_pages + 2,
        )
