"""The tables and the plot of what was measured."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median

from bench.peers.contenders import OURS
from bench.peers.measured import Measured, Run

_BEGIN, _END = "<!-- peers: begin -->", "<!-- peers: end -->"

#: The instance of AWS that is most like the machine of the published run: two cores of AMD EPYC, no threads.
INSTANCE = "c7a.large, on demand, Linux, us-east-1"
USD_PER_HOUR = 0.1026

_HEAD = (
    "|  | pages a minute | bucket-ocr is faster by | processor s a page | peak MiB | word F1 | start s"
    " | USD per 1,000 pages |\n|---|---:|---:|---:|---:|---:|---:|---:|"
)


def usd_per_1000_pages(pages_per_minute: float, usd_per_hour: float) -> float:
    """What a thousand pages cost on a machine that is never idle."""
    return 1000 * usd_per_hour / (60 * pages_per_minute)


def table(run: Run, usd_per_hour: float = USD_PER_HOUR) -> str:
    """Write a run in Markdown: what was run, a row for each contender, and those that were not run."""
    ran = [each for each in run.contenders if each.not_run is None]
    ours = next((each for each in ran if each.name == OURS), None)
    lines = [f"### {run.name}", "", run.about, "", _HEAD]
    lines += [_row(each, ours, usd_per_hour) for each in ran]
    lines += [
        f"| {each.name} | not run: {each.not_run} |" + " |" * 6 for each in run.contenders if each.not_run
    ]
    return "\n".join(lines)


def _row(each: Measured, ours: Measured | None, usd_per_hour: float) -> str:
    rate = each.pages_per_minute
    cells = [
        each.name,
        spread([one.pages_per_minute for one in each.rounds], 1),
        "" if ours is None or each is ours else spread(each.ratios(ours), 2),
        f"{each.processor_s_per_page:.2f}",
        f"{each.peak_bytes / 2**20:,.0f}",
        f"{each.word_f1:.4f}",
        f"{each.start_s:.1f}",
        f"{usd_per_1000_pages(rate, usd_per_hour):.3f}",
    ]
    return f"| {' | '.join(cells)} |"


def spread(values: Sequence[float], digits: int) -> str:
    """Write the middle, with the lowest and the highest."""
    middle, lowest, highest = (f"{value:.{digits}f}" for value in (median(values), min(values), max(values)))
    return f"{middle} ({lowest} to {highest})"


def legend(run: Run) -> str:
    """Write what each contender is, and its versions."""
    return "\n".join(f"* **{each.name}**: {each.is_what}{_versions(each)}." for each in run.contenders)


def _versions(each: Measured) -> str:
    named = ", ".join(f"{name} {version}" for name, version in each.versions.items())
    return f" ({named})" if named else ""


def rewrite(results: Path, runs: Sequence[Run], usd_per_hour: float = USD_PER_HOUR) -> None:
    """Put the tables of all runs in the place of those between the marks in a page."""
    before, _, rest = results.read_text(encoding="utf-8").partition(_BEGIN)
    _, _, after = rest.partition(_END)
    tables = "\n\n".join(table(run, usd_per_hour) for run in runs)
    text = f"{before}{_BEGIN}\n{legend(runs[0])}\n\n{tables}\n{_END}{after}"
    results.write_text(text, encoding="utf-8")


_ROW_PX, _LEFT_PX, _WIDTH_PX, _RIGHT_PX = 30, 130, 420, 90


def plot(run: Run) -> str:
    """Draw pages a minute of every contender that ran, as SVG: bars, and lines from lowest to highest."""
    ran = [each for each in run.contenders if each.not_run is None]
    most = max(one.pages_per_minute for each in ran for one in each.rounds)
    width, height = _LEFT_PX + _WIDTH_PX + _RIGHT_PX, _ROW_PX * (len(ran) + 1) + 10
    shapes = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}">',
        '<g font-family="sans-serif" font-size="13">',
        f'<rect width="{width}" height="{height}" fill="#fff"/>',
        f'<text x="{_LEFT_PX}" y="20" font-weight="bold">Pages a minute</text>',
    ]
    for number, each in enumerate(ran, 1):
        shapes += _bar(each, number * _ROW_PX, _WIDTH_PX / most)
    return "\n".join([*shapes, "</g>", "</svg>", ""])


def _bar(each: Measured, top_px: int, scale: float) -> Iterator[str]:
    rates = [one.pages_per_minute for one in each.rounds]
    lowest, middle, highest = (scale * rate for rate in (min(rates), median(rates), max(rates)))
    colour = "#2a7" if each.name == OURS else "#89a"
    text_px, line_px = top_px + 16, top_px + 11
    yield f'<text x="{_LEFT_PX - 8}" y="{text_px}" text-anchor="end">{each.name}</text>'
    yield f'<rect x="{_LEFT_PX}" y="{top_px}" width="{middle:.1f}" height="22" fill="{colour}"/>'
    line = f"M{_LEFT_PX + lowest:.1f} {line_px}H{_LEFT_PX + highest:.1f}"
    yield f'<path d="{line}" stroke="#222" stroke-width="2"/>'
    yield f'<text x="{_LEFT_PX + highest + 8:.1f}" y="{text_px}">{median(rates):.1f}</text>'
