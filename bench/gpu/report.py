"""The table of what was measured, in Markdown."""

from collections.abc import Iterable, Sequence
from typing import Final

from bench.gpu.side_by_side import Figures
from bench.gpu.through import Road

_NONE: Final = "–"  # noqa: RUF001 - a dash in a table

_HEAD: Final = (
    *("what", "processes", "pages a request", "pages", "pages/s", "times one", "GPU busy", "GPU memory each"),
    *("memory each", "start"),
)


def row(what: str, figures: Figures, one: Figures) -> list[str]:
    """Return the cells of a measurement; `one`: that of one process."""
    busy = _NONE if figures.busy is None else f"{figures.busy:.0%}"
    device = _NONE if not figures.device_bytes_each else f"{figures.device_bytes_each / 1e9:.2f} GB"
    return [
        what,
        str(figures.processes),
        str(figures.batch_pages),
        f"{figures.pages}" + (f", {figures.failed} failed" if figures.failed else ""),
        f"{figures.pages_per_s:.2f}",
        f"{figures.pages_per_s / one.pages_per_s:.2f}",
        busy,
        device,
        f"{figures.resident_bytes_each / 1e9:.2f} GB",
        f"{figures.start_s:.0f} s",
    ]


def row_of_road(road: Road) -> list[str]:
    """Return the cells of the whole consumer."""
    what = f"whole consumer, text only, {road.device}"
    return [what, str(road.processes), _NONE, str(road.pages), f"{road.pages_per_s:.2f}", *[_NONE] * 5]


def not_measured(what: str, why: str) -> list[str]:
    """Return the cells of what was left out."""
    return [f"{what}: not measured, {why}", *[_NONE] * (len(_HEAD) - 1)]


def table(rows: Iterable[Sequence[str]]) -> str:
    """Return the table."""
    lines = [_HEAD, ["---", *["---:"] * (len(_HEAD) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
