"""How large a page is rendered."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

POINTS_PER_INCH: Final = 72.0

#: Far above any page (PDF ends at 14,400 points without user units), far below where floats overflow.
_MAX_SIDE: Final = 1e9


@dataclass(frozen=True, slots=True)
class PagePlan:
    """How a page becomes an image: `scale` in pixels per point (of an image: per own pixel)."""

    width_px: int
    height_px: int
    scale: float
    downscaled: bool


def plan_page(width: float, height: float, scale: float, max_pixels: int) -> PagePlan:
    """Size of the image of a page of `width` x `height` points (or own pixels, for an image).

    The wanted `scale` is lowered as far as needed to keep the image within `max_pixels`; no side
    becomes less than one pixel. Raises ValueError where a side is not a positive number, or absurd.
    """
    if not (0 < width <= _MAX_SIDE and 0 < height <= _MAX_SIDE and scale > 0 and max_pixels > 0):
        raise ValueError(f"a page of {width} x {height} cannot be rendered")
    downscaled = _pixels(width, height, scale) > max_pixels
    if downscaled:
        # Two steps: a side that would be under one pixel stays one, so the other must give way more.
        scale = min(math.sqrt(max_pixels / width / height), max_pixels / max(width, height))
        while _pixels(width, height, scale) > max_pixels:
            scale *= 0.999
    width_px, height_px = _side(width * scale), _side(height * scale)
    return PagePlan(width_px, height_px, scale, downscaled)


def _side(length: float) -> int:
    return max(1, round(length))


def _pixels(width: float, height: float, scale: float) -> int:
    return _side(width * scale) * _side(height * scale)


@dataclass(frozen=True, slots=True)
class EngineShare:
    """The part of a machine that one engine process gets. No `cpus`: it may run anywhere."""

    threads: int
    cpus: tuple[int, ...]


def share_processors(cpus: Sequence[int], quota: int | None, workers: int) -> list[EngineShare]:
    """Divide the processors among `workers` engine processes.

    Each gets processors of its own, unless a quota of CPU time below their number is set: then other
    containers run on the same processors, and being tied to a busy one would be worse than none.
    """
    usable = min(len(cpus), quota or len(cpus))
    threads = max(1, usable // workers)
    if usable < len(cpus) or workers > len(cpus):
        return [EngineShare(threads, ())] * workers
    return [EngineShare(threads, tuple(cpus[n * threads : (n + 1) * threads])) for n in range(workers)]
