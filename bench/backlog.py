"""A backlog of one-page documents: how well the engines are used, and what the parent process holds.

    make bench/backlog

Uploads copies of a one-page letter, starts the consumer, waits for all results and prints one line of
JSON. It exits with 1 where a result is missing, a message or a file is left over, or the engines are busy
for less than 0.95 of the time while letters wait in the queue.

`busy` is what the consumer says of itself, minute by minute: the part of the time in which its engines
read, 1.0 would mean that none ever waited. `engine_cpu` is what the system says of the same time: seconds
of processor time per second and engine process. `whole_run` is engine seconds over wall seconds times engine
processes, from the first page to the last.
"""

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from statistics import mean

import psutil

from bench.common import DEADLINE_S, asked_for, deployed, put_letters, queued, report, stored
from tests.e2e.stack import Consumer, Document

_LOOK_S = 1.0
#: What a line on the engines covers.
_MINUTE = timedelta(minutes=1)


@dataclass(frozen=True)
class _Look:
    """What was seen at one time: `engine_s` is processor time of all engines so far, `waiting` messages."""

    at: datetime
    engine_s: float
    parent_bytes: int
    waiting: int


def main() -> int:
    """Measure once; returns the exit status."""
    documents = asked_for(__doc__, "documents", 300)
    with deployed() as (stack, folder):
        put_letters(stack, documents)
        began = datetime.now().astimezone()
        with Consumer(stack, folder) as consumer:
            workers = consumer.wait_ready().line(event="ready")["engine_workers"]
            started = time.monotonic()
            looks = _watch(consumer, lambda: queued(stack), started + DEADLINE_S)
            wall_s = time.monotonic() - started
            files_left = [path.name for path in _files(consumer.work_dir)]
            done = [line for line in stored(consumer) if line["status"] == "SUCCESS"]
            ended = max((look.at for look in looks if look.waiting), default=began)
            minutes = [line for line in consumer.lines if line["event"] == "engines"]
            minutes = [line for line in minutes if _ends(line) <= ended and _ends(line) - _MINUTE >= began]
        left = sum(queued(stack)), len(stack.dead_letters())
        keys = stack.keys()
        results = sum(key.endswith(".ocr.json") for key in keys)
    busy = [line["busy"] for line in minutes]
    figures = {
        "documents": documents,
        "results": results,
        "messages_left": left[0],
        "dead_letters": left[1],
        "files_left": files_left,
        "wall_s": round(wall_s, 1),
        "pages_per_s": round(len(done) / wall_s, 2),
        "busy": round(mean(busy), 3) if busy else None,
        "busy_by_minute": busy,
        "engine_cpu": _engine_cpu(looks, minutes, workers),
        "whole_run": round(sum(line["engine_s"] for line in done) / wall_s / workers, 3),
        "parent_rss_mib": {
            "at_start": looks[0].parent_bytes >> 20,
            "highest": max(look.parent_bytes for look in looks) >> 20,
            "at_end": looks[-1].parent_bytes >> 20,
        },
    }
    whole = results == len(done) == documents and not any(left) and not files_left
    return report(figures, kept=whole and bool(busy) and mean(busy) >= 0.95)


def _watch(consumer: Consumer, queue: Callable[[], tuple[int, int]], end_s: float) -> list[_Look]:
    """Look at the consumer until the queue is empty, leased messages included."""
    parent = psutil.Process(consumer.process.pid)
    looks: list[_Look] = []
    used_s: dict[int, float] = {}
    while True:
        for child in consumer.children():
            try:
                if "rapidocr" in child.cmdline():
                    used_s[child.pid] = child.cpu_times().user + child.cpu_times().system
            except psutil.NoSuchProcess:
                continue
        waiting, in_work = queue()
        now = datetime.now().astimezone()
        looks.append(_Look(now, sum(used_s.values()), parent.memory_info().rss, waiting))
        if not (waiting or in_work) or time.monotonic() > end_s:
            return looks
        time.sleep(_LOOK_S)


def _engine_cpu(looks: list[_Look], minutes: list[Document], workers: int) -> float | None:
    """Processor time per second and engine, over the time that the lines on the engines cover."""
    if not minutes:
        return None
    covered = [look for look in looks if _ends(minutes[0]) - _MINUTE <= look.at <= _ends(minutes[-1])]
    first, last = covered[0], covered[-1]
    seconds = (last.at - first.at).total_seconds()
    return round((last.engine_s - first.engine_s) / seconds / workers, 3)


def _ends(line: Document) -> datetime:
    return datetime.fromisoformat(line["timestamp"])


def _files(work_dir: Path) -> list[Path]:
    return [path for path in work_dir.rglob("*") if path.is_file() and path.name != "lock"]


if __name__ == "__main__":
    sys.exit(main())
