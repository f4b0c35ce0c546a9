"""How much of the machine each part of the consumer gets, where the settings leave it to us.

Half of the memory is for engines; the other half is for one that is being replaced, for renderers, for
page images in a work folder that may be in memory, and for this process.
"""

from dataclasses import dataclass
from typing import Final, Self

from consumer.adapters import machine
from consumer.domain.plan import EngineShare, share_processors
from consumer.settings import Settings

_GIB: Final = 1024**3

#: An engine process of few threads holds up to this: models, a page, and what is compiled for each size of
#: page (measured: 1.75 GiB after a corpus of mixed sizes, 1.91 at most). With much less it would be replaced
#: all the time.
_ENGINE_BYTES: Final = 2 * _GIB

#: Address space of a renderer without any page: interpreter, libraries, caches.
_RENDERER_BYTES: Final = _GIB

#: The largest image that is decoded has eight times the pixels of a page (see `child.picture`), and takes
#: ten bytes for each (measured: 17,000 x 17,000 RGBA took 2.9 GB).
_RENDERER_BYTES_PER_PAGE_PIXEL: Final = 80


@dataclass(frozen=True, slots=True)
class Sizing:
    """`engine_bytes` and `renderer_bytes` are for each process; `slots` are messages in work at once."""

    engines: list[EngineShare]
    engine_bytes: int
    batch_pages: int
    renderers: int
    renderer_bytes: int
    slots: int
    window_pages: int

    @classmethod
    def of(cls, options: Settings) -> Self:
        """Divide the machine that we run on."""
        cpus, quota = machine.processors(), machine.cpu_quota()
        usable = min(len(cpus), quota or len(cpus))
        half_bytes = machine.memory_bytes() // 2
        # One engine process per processor, as far as memory allows: one of several threads reads slower.
        engines = options.engine_workers or max(1, min(usable, half_bytes // _ENGINE_BYTES))
        batch_pages = options.batch_pages or 1
        # One that hangs, for as long as it may, shall not be all there is.
        renderers = options.render_workers or max(2, usable // 4)
        wanted_bytes = _RENDERER_BYTES + _RENDERER_BYTES_PER_PAGE_PIXEL * options.max_page_pixels
        return cls(
            engines=share_processors(cpus, quota, engines),
            engine_bytes=options.recycle_rss_bytes or max(_ENGINE_BYTES, half_bytes // engines),
            batch_pages=batch_pages,
            renderers=renderers,
            renderer_bytes=max(_RENDERER_BYTES, min(wanted_bytes, half_bytes // renderers)),
            slots=options.max_in_flight or max(4, 2 * engines * batch_pages),
            window_pages=2 * engines * batch_pages + 2,
        )
