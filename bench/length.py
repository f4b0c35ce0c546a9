"""Documents of 10 to 10,000 pages: the time a page takes, two consumers on one document, the cost of a part.

    make bench/length

The engine reads nothing, in a time a page that is a wait, so that it takes no processor. Seconds are those
from the upload to the end of the document's last message. It prints a table, and exits with 1 if a long
document takes over a tenth more time a page than one of 100 pages, or two consumers more than 0.6 of the time
of one.
"""

import contextlib
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import psutil

from bench.common import DEADLINE_S, asked_for, deployed, processor_s, report, small_pdf, when
from consumer.domain.events import PartRange, part_request
from tests.e2e.proxy import FaultProxy
from tests.e2e.stack import SCRIPTED, Consumer, Document, Stack, null_engine, until

_SHORT, _USUAL, _MIDDLE = 10, 100, 1000
_REPEATS = 3

#: An engine that is faster than any real one, so that our own work shows; and an ordinary one, of which two
#: consumers need less processor time than there is.
_FAST_PAGE_S, _ORDINARY_PAGE_S = 0.02, 0.05

_LINES = 20
_PAGE_BYTES = 10_000
#: Most time a page, to that of the usual document; most time of two consumers, to that of one.
_MOST_PER_PAGE, _MOST_OF_TWO = 1.1, 0.6

#: Pages of its own that a part has of which the cost is measured.
_PROBES = 5


@dataclass(frozen=True)
class _Reading:
    """One document that was read. `processor_s` and `peak_bytes` are of the parents."""

    pages: int
    seconds: float
    processor_s: float
    peak_bytes: int

    @property
    def page_s(self) -> float:
        return self.seconds / self.pages


def main() -> int:
    """Measure once; returns the exit status."""
    longest = asked_for(__doc__, "pages", 10_000)
    with deployed() as (stack, folder):
        lengths = _lengths(stack, folder, longest)
        one, two = _consumers(stack, folder)
        requests = _requests(stack, folder)
        parts = _parts(stack, folder, longest)
    usual = median(reading.page_s for reading in lengths[_USUAL])
    ratios = {pages: median(each.page_s for each in readings) / usual for pages, readings in lengths.items()}
    of_two = median(two) / median(one)
    _print_table(lengths, usual, (one, two), requests, parts)
    figures = {
        "ratios_to_100_pages": {pages: round(ratio, 2) for pages, ratio in ratios.items()},
        "two_to_one": round(of_two, 2),
    }
    flat = all(ratio <= _MOST_PER_PAGE for pages, ratio in ratios.items() if pages > _USUAL)
    return report(figures, kept=flat and of_two <= _MOST_OF_TWO)


def _lengths(stack: Stack, folder: Path, longest: int) -> dict[int, list[_Reading]]:
    """Read documents of all lengths by one consumer, the short ones before and after the longest."""
    lengths = (_SHORT, _USUAL, _MIDDLE)
    readings: dict[int, list[_Reading]] = {}
    with _consumer(stack, folder / "lengths", _FAST_PAGE_S) as consumer:
        _read(stack, "first.pdf", _USUAL, consumer)
        for pages in (*lengths * _REPEATS, longest, *lengths * _REPEATS):
            key = f"{pages}/{len(readings.get(pages, ()))}.pdf"
            readings.setdefault(pages, []).append(_read(stack, key, pages, consumer))
        consumer.stop()
    return readings


def _consumers(stack: Stack, folder: Path) -> tuple[list[float], list[float]]:
    """Read a document of a thousand pages by one and by two consumers, in turn; returns their seconds."""
    one: list[float] = []
    two: list[float] = []
    with _consumer(stack, folder / "one", _ORDINARY_PAGE_S) as first:
        for number in range(_REPEATS):
            one.append(_read(stack, f"one/{number}.pdf", _MIDDLE, first).seconds)
            with _consumer(stack, folder / f"two-{number}", _ORDINARY_PAGE_S) as second:
                two.append(_read(stack, f"two/{number}.pdf", _MIDDLE, first, second).seconds)
                second.stop()
        first.stop()
    return one, two


def _requests(stack: Stack, folder: Path) -> dict[str, float]:
    """Count the requests for a document of a thousand pages; returns how many there are a part."""
    with (
        FaultProxy(stack.cloud.endpoint_url) as proxy,
        _consumer(stack.seen_at(proxy.url), folder / "requests", _ORDINARY_PAGE_S) as consumer,
    ):
        before = len(proxy.calls)
        _read(stack, "requests.pdf", _MIDDLE, consumer)
        counted = Counter(call.operation for call in proxy.calls[before:])
        parts = consumer.line(event="document.handed_out")["parts"]
        consumer.stop()
    return {name: count / parts for name, count in sorted(counted.items())}


def _parts(stack: Stack, folder: Path, pages: int) -> dict[str, list[float]]:
    """Have parts of one page read, two of each document; returns their seconds but for the page's."""
    source = small_pdf(pages, _PAGE_BYTES)
    seconds: dict[str, list[float]] = {"first": [], "next": [], "download": []}
    with _consumer(stack, folder / "parts", _FAST_PAGE_S) as consumer:
        for number in range(_PROBES):
            key = f"parts/{number}.pdf"
            etag = stack.put(key, source, silent=True)
            for name, page in (("first", 1), ("next", 2)):
                part = PartRange(page, page, pages, etag, None)
                message_id = stack.send(part_request(stack.silent_bucket, key, part))
                line = consumer.line(event="message", message_id=message_id)
                seconds[name].append(line["seconds"] - _FAST_PAGE_S)
                if "download_s" in line:
                    seconds["download"].append(line["download_s"])
        consumer.stop()
    return seconds


@contextlib.contextmanager
def _consumer(stack: Stack, folder: Path, page_s: float) -> Iterator[Consumer]:
    program = (*SCRIPTED, *null_engine(page_s, lines=_LINES))
    with Consumer(stack, folder, program, ENGINE_WORKERS=2) as consumer:
        yield consumer.wait_ready()


def _read(stack: Stack, key: str, pages: int, *consumers: Consumer) -> _Reading:
    """Upload a document, and wait until one of the consumers has stored its result."""
    source = small_pdf(pages, _PAGE_BYTES)
    parents = [psutil.Process(consumer.process.pid) for consumer in consumers]
    for parent in parents:
        # Forgets the highest memory so far (proc(5)).
        Path(f"/proc/{parent.pid}/clear_refs").write_text("5")
    before_s = sum(processor_s(parent.pid) for parent in parents)
    started = time.time()
    stack.put(key, source)
    line = until(_result_of(key, consumers), DEADLINE_S, f"the result of {key}", every_s=1.0)
    assert line is not None
    assert line["status"] == "SUCCESS"
    return _Reading(
        pages,
        when(line) - started,
        sum(processor_s(parent.pid) for parent in parents) - before_s,
        max(map(_peak_bytes, parents)),
    )


def _result_of(key: str, consumers: tuple[Consumer, ...]) -> Callable[[], Document | None]:
    def look() -> Document | None:
        lines = (line for consumer in consumers for line in consumer.lines)
        return next((line for line in lines if line.get("key") == key and "status" in line), None)

    return look


def _peak_bytes(process: psutil.Process) -> int:
    status = Path(f"/proc/{process.pid}/status").read_text()
    (kib,) = (line.split()[1] for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(kib) * 1024


def _print_table(
    lengths: dict[int, list[_Reading]],
    usual: float,
    consumers: tuple[list[float], list[float]],
    requests: dict[str, float],
    parts: dict[str, list[float]],
) -> None:
    rows = [("pages", "runs", "ms a page", "to 100 pages", "parent: CPU ms a page", "parent: peak MiB")]
    for pages, readings in lengths.items():
        page_s = [reading.page_s for reading in readings]
        rows.append(
            (
                f"{pages:,}",
                str(len(readings)),
                _spread([1000 * seconds for seconds in page_s]),
                _spread([seconds / usual for seconds in page_s]),
                _spread([1000 * reading.processor_s / pages for reading in readings]),
                str(max(reading.peak_bytes for reading in readings) >> 20),
            )
        )
    for number, row in enumerate(rows):
        print(f"| {' | '.join(row)} |")
        if not number:
            print("|---" * len(row) + "|")
    one, two = consumers
    print(f"\n{_MIDDLE:,} pages, {1000 * _ORDINARY_PAGE_S:g} ms each:")
    print(f"one consumer {_spread(one)} s, two {_spread(two)} s, ratio {median(two) / median(one):.2f}")
    print(f"\nA part: {', '.join(f'{name} {count:.1f}' for name, count in requests.items())}")
    print("; ".join(f"{name} {_spread(seconds)} s" for name, seconds in parts.items()))


def _spread(values: list[float]) -> str:
    """Write the median, with the lowest and the highest."""
    return f"{median(values):.2f} ({min(values):.2f} to {max(values):.2f})"


if __name__ == "__main__":
    sys.exit(main())
