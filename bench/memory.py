"""A short and a long document: what the parent process and the work folder hold at most.

    make bench/memory

A PDF of 10 pages, and one of a thousand with a fresh consumer. The engine reads nothing, in a time that
lets rendered pages wait for it, and answers 50 lines a page. `work_dir_mib` counts the downloaded source,
`without_source` does not. It exits with 1 if the long one takes over 50 MB more of either.
"""

import sys
import time
from pathlib import Path

from bench.common import DEADLINE_S, asked_for, deployed, letters, report, stored
from tests.e2e.stack import SCRIPTED, Consumer, Document, Stack, null_engine

_SHORT = 10
_LINES = 50
#: Longer than it takes to render a page, times the engines of a small machine.
_PAGE_S = 0.2
_LOOK_S = 0.05
_ALLOWED_BYTES = 50_000_000


def main() -> int:
    """Measure once; returns the exit status."""
    pages = asked_for(__doc__, "pages", 1000)
    with deployed() as (stack, folder):
        short, long = (_read(stack, folder / str(count), count) for count in (_SHORT, pages))
    more = {name: long[name] - short[name] for name in ("parent_bytes", "work_dir_bytes")}
    figures = {"more_bytes": more, "short": short, "long": long}
    whole = all(document["status"] == "SUCCESS" for document in (short, long))
    return report(figures, kept=whole and max(more.values()) <= _ALLOWED_BYTES)


def _read(stack: Stack, folder: Path, pages: int) -> Document:
    """Have a document of so many pages read by a fresh consumer."""
    source = letters(pages)
    with Consumer(stack, folder, (*SCRIPTED, *null_engine(_PAGE_S, lines=_LINES))) as consumer:
        consumer.wait_ready()
        at_start = _highest_resident_bytes(consumer)
        started = time.monotonic()
        stack.put(f"{pages}.pdf", source)
        work_dir = 0
        while not (done := stored(consumer)) and time.monotonic() < started + DEADLINE_S:
            time.sleep(_LOOK_S)
            work_dir = max(work_dir, _size_bytes(consumer.work_dir))
        seconds = time.monotonic() - started
        parent = _highest_resident_bytes(consumer)
        # In order, since the last poll of a killed one may take the next one's message along.
        consumer.stop()
    return {
        "pages": pages,
        "lines": done[0]["lines"],
        "status": done[0]["status"],
        "seconds": round(seconds, 1),
        "source_bytes": len(source),
        "parent_at_start_bytes": at_start,
        "parent_bytes": parent,
        "work_dir_bytes": work_dir,
        "work_dir_without_source_bytes": work_dir - len(source),
    }


def _highest_resident_bytes(consumer: Consumer) -> int:
    """The most memory that the process has held so far."""
    status = Path(f"/proc/{consumer.process.pid}/status").read_text()
    (kib,) = (line.split()[1] for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(kib) * 1024


def _size_bytes(folder: Path) -> int:
    total = 0
    for path in folder.rglob("*"):
        try:
            total += path.stat().st_size if path.is_file() else 0
        except FileNotFoundError:  # deleted since it was listed
            continue
    return total


if __name__ == "__main__":
    sys.exit(main())
