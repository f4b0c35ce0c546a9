"""Letters behind a report: how long a one-page letter takes alone, and while a long PDF is read.

    make bench/fairness

The real engine with all defaults. From the upload to the result, in seconds. It exits with 1 if a
letter behind the report takes longer than three times what it takes alone and the time of one batch,
which is a page on a CPU, or if the report was over before the letters.
"""

import sys
import time
from statistics import median

from bench.common import LETTER, asked_for, deployed, letters, report
from tests.e2e.stack import Consumer, Stack, until

_LETTERS = 5
_REPORT = "report.pdf"


def main() -> int:
    """Measure once; returns the exit status."""
    pages = asked_for(__doc__, "pages", 5000)
    with deployed() as (stack, folder), Consumer(stack, folder) as consumer:
        consumer.wait_ready()
        workers = consumer.line(event="ready")["engine_workers"]
        alone = [_read(stack, f"alone/{number}.pdf") for number in range(_LETTERS)]
        stack.put(_REPORT, letters(pages))
        until(
            lambda: len(list(consumer.work_dir.rglob("*.bgr"))) > workers, 60, "pages that wait for engines"
        )
        behind = [_read(stack, f"behind/{number}.pdf") for number in range(_LETTERS)]
        in_flight = stack.object(f"{_REPORT}.ocr.json") is None
    alone_s = median(seconds for seconds, _ in alone)
    page_s = median(engine_s for _, engine_s in alone)
    longest_s = max(seconds for seconds, _ in behind)
    figures = {
        "pages": pages,
        "report_still_in_flight": in_flight,
        "alone_s": [round(seconds, 2) for seconds, _ in alone],
        "behind_s": [round(seconds, 2) for seconds, _ in behind],
        "page_s": {"alone": page_s, "behind": median(engine_s for _, engine_s in behind)},
        "longest_to_alone": round(longest_s / alone_s, 2),
        "allowed_to_alone": round(3 + page_s / alone_s, 2),
    }
    return report(figures, kept=in_flight and longest_s <= 3 * alone_s + page_s)


def _read(stack: Stack, key: str) -> tuple[float, float]:
    """Upload a letter and wait for its result; returns the seconds that took, and those in the engine."""
    started = time.monotonic()
    stack.put(key, LETTER)
    timing = stack.result(key)["timing"]
    return time.monotonic() - started, timing["engine_s"]


if __name__ == "__main__":
    sys.exit(main())
