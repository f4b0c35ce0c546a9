"""The consumer's own process: the processor time that a message costs, and that a page costs.

    make bench/parent

The engine reads nothing: two processes that wait 20 ms a page, 50 lines a page. A backlog of documents of one
page, and one of documents of fifty, which are read whole; each twice, in turn. From the two follow the time
of a page and that of a message besides its pages. Children are not counted: they render and read. It exits
with 1 if a message costs more than 15 ms besides its pages, or a page more than 5 ms.
"""

import sys
from pathlib import Path
from statistics import median

from bench.common import DEADLINE_S, asked_for, deployed, processor_s, report, small_pdf, stored
from tests.e2e.stack import SCRIPTED, Consumer, Stack, null_engine, until

_PAGE_S, _LINES = 0.02, 50
_LONG_PAGES = 50
_TURNS = 2
_MOST_MESSAGE_MS, _MOST_PAGE_MS = 15.0, 5.0


def main() -> int:
    """Measure once; returns the exit status."""
    count = asked_for(__doc__, "documents", 300)
    short_ms: list[float] = []
    long_ms: list[float] = []
    with deployed() as (stack, folder):
        for turn in range(_TURNS):
            short_ms.append(_per_message_ms(stack, folder / f"short-{turn}", 1, count))
            long_ms.append(_per_message_ms(stack, folder / f"long-{turn}", _LONG_PAGES, count // 10))
    one, many = median(short_ms), median(long_ms)
    page_ms = (many - one) / (_LONG_PAGES - 1)
    figures = {
        "message_of_one_page_ms": round(one, 2),
        "message_of_one_page_ms_by_turn": [round(each, 2) for each in short_ms],
        "message_of_50_pages_ms_by_turn": [round(each, 2) for each in long_ms],
        "page_ms": round(page_ms, 2),
        "message_without_pages_ms": round(one - page_ms, 2),
    }
    return report(figures, kept=one - page_ms <= _MOST_MESSAGE_MS and page_ms <= _MOST_PAGE_MS)


def _per_message_ms(stack: Stack, folder: Path, pages: int, count: int) -> float:
    """Read a backlog of so many documents of so many pages; returns the parent's time for each."""
    source = small_pdf(pages)
    for number in range(count):
        stack.put(f"{folder.name}/{number}.pdf", source)
    program = (*SCRIPTED, *null_engine(_PAGE_S, lines=_LINES))
    with Consumer(stack, folder, program, ENGINE_WORKERS=2) as consumer:
        consumer.wait_ready()
        before_s = processor_s(consumer.process.pid)
        until(lambda: len(stored(consumer)) >= count, DEADLINE_S, "all results", every_s=1.0)
        used_s = processor_s(consumer.process.pid) - before_s
        assert {line["status"] for line in stored(consumer)} == {"SUCCESS"}
        consumer.stop()
    return 1000 * used_s / count


if __name__ == "__main__":
    sys.exit(main())
