"""How long one page takes: on a consumer that is idle, and on one that is busy; and how long one starts.

    make bench/latency

The real engine with all defaults, one-page letters. From the upload to the moment at which the result is
stored and the message deleted; median, lowest, highest, in seconds. The busy consumer reads two documents of
60 pages meanwhile. It exits with 1 if a letter on the idle one takes over 250 ms more than its engine.
"""

import random
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from bench.common import DEADLINE_S, LETTER, asked_for, deployed, letters, report, when
from tests.e2e.stack import Consumer, Document, Stack, until

_STARTS = 3
#: Fewer than the consumer has slots for messages: a letter that waits in the queue says nothing of us.
_BUSY_DOCUMENTS, _BUSY_PAGES = 2, 60
_MOST_BESIDES_S = 0.25


def main() -> int:
    """Measure once; returns the exit status."""
    count = asked_for(__doc__, "letters", 20)
    with deployed() as (stack, folder):
        starts = [_start_s(stack, folder / f"start-{number}") for number in range(_STARTS)]
        with Consumer(stack, folder / "consumer") as consumer:
            consumer.wait_ready()
            _read(stack, consumer, "first.pdf")
            idle = [_read(stack, consumer, f"idle/{number}.pdf") for number in range(count)]
            busy = _busy(stack, consumer, count // 4)
    besides_s = [letter["whole_s"] - letter["engine_s"] for letter in idle]
    figures = {
        "start_to_ready_s": [round(each, 1) for each in starts],
        "idle_s": _spread([letter["whole_s"] for letter in idle]),
        "idle_engine_s": _spread([letter["engine_s"] for letter in idle]),
        "idle_besides_engine_s": _spread(besides_s),
        "of_it_waited_s": _spread([letter["waited_s"] for letter in idle]),
        "of_it_render_s": _spread([letter["render_s"] for letter in idle]),
        "busy_s": _spread([letter["whole_s"] for letter in busy]),
        "busy_engine_s": _spread([letter["engine_s"] for letter in busy]),
    }
    return report(figures, kept=median(besides_s) <= _MOST_BESIDES_S)


def _start_s(stack: Stack, folder: Path) -> float:
    """Start a consumer; returns the seconds until it can take a message."""
    started_s = time.time()
    with Consumer(stack, folder) as consumer:
        ready = when(consumer.line(event="ready"))
        consumer.stop()
    return ready - started_s


def _read(stack: Stack, consumer: Consumer, key: str) -> Document:
    """Upload a letter to a consumer that has been idle for a while; returns its log line, with `whole_s`."""
    # Anywhere in a long poll.
    time.sleep(random.uniform(0.2, 2.0))
    started_s = time.time()
    stack.put(key, LETTER)
    line = consumer.line(DEADLINE_S, event="message", key=key)
    return line | {"whole_s": when(line) - started_s}


def _busy(stack: Stack, consumer: Consumer, count: int) -> list[Document]:
    """Read letters while documents are read that were there before."""
    source = letters(_BUSY_PAGES)
    for number in range(_BUSY_DOCUMENTS):
        stack.put(f"busy/{number}.pdf", source)
    until(lambda: list(consumer.work_dir.rglob("*.bgr")), DEADLINE_S, "pages in flight")
    read = [_read(stack, consumer, f"behind/{number}.pdf") for number in range(count)]
    assert stack.object(f"busy/{_BUSY_DOCUMENTS - 1}.pdf.ocr.json") is None, "it was not busy to the end"
    return read


def _spread(seconds: Sequence[float]) -> list[float]:
    """Give the median, the lowest and the highest."""
    return [round(each, 3) for each in (median(seconds), min(seconds), max(seconds))]


if __name__ == "__main__":
    sys.exit(main())
