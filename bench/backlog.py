"""A backlog of one-page documents: the use of the engines, and the memory of the parent process.

    make bench/backlog

Uploads copies of a one-page letter, starts the consumer, waits for all results and prints one line of
JSON. It exits with 1 if a result is missing, a message or a file is left over, or the engines are busy
for less than 0.97 of the time while letters wait in the queue.

`busy` is from the consumer's metric of busy engines: the part of that time in which its engines read, 1.0
would mean that none ever waited. `engine_cpu` is from the system, of the same time: seconds of processor time
per second and engine process. `whole_run` is engine seconds over wall seconds times engine processes, from
the first page to the last.
"""

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psutil

from bench.common import DEADLINE_S, asked_for, deployed, put_letters, queued, report, stored
from tests.e2e.stack import Consumer, free_port

_LOOK_S = 1.0
_ENGINE_ENTRY = "consumer.child.rapidocr.engine:build"


@dataclass(frozen=True)
class _Look:
    """The state at one time, on the monotonic clock; `busy_s` and `processor_s` are of all engines so far."""

    at_s: float
    busy_s: float
    processor_s: float
    parent_bytes: int
    waiting: int


def main() -> int:
    """Measure once; returns the exit status."""
    documents = asked_for(__doc__, "documents", 300)
    with deployed() as (stack, folder):
        put_letters(stack, documents)
        with Consumer(stack, folder, HEALTH_PORT=free_port()) as consumer:
            workers = consumer.wait_ready().line(event="ready")["engine_workers"]
            started = time.monotonic()
            looks = _watch(consumer, lambda: queued(stack), started + DEADLINE_S)
            wall_s = time.monotonic() - started
            files_left = [path.name for path in _files(consumer.work_dir)]
            done = [line for line in stored(consumer) if line["status"] == "SUCCESS"]
        left = sum(queued(stack)), len(stack.dead_letters())
        keys = stack.keys()
        results = sum(key.endswith(".ocr.json") for key in keys)
    # The first letters find idle engines, the last ones leave them idle.
    backlog = [look for look in looks[1:] if look.waiting]
    first, last = (backlog[0], backlog[-1]) if len(backlog) > 1 else (looks[0], looks[-1])
    engines_s = (last.at_s - first.at_s) * workers
    busy = (last.busy_s - first.busy_s) / engines_s if engines_s else 0.0
    figures = {
        "documents": documents,
        "results": results,
        "messages_left": left[0],
        "dead_letters": left[1],
        "files_left": files_left,
        "wall_s": round(wall_s, 1),
        "pages_per_s": round(len(done) / wall_s, 2),
        "busy": round(busy, 3),
        "engine_cpu": round((last.processor_s - first.processor_s) / engines_s, 3) if engines_s else None,
        "whole_run": round(sum(line["engine_s"] for line in done) / wall_s / workers, 3),
        "parent_rss_mib": {
            "at_start": looks[0].parent_bytes >> 20,
            "highest": max(look.parent_bytes for look in looks) >> 20,
            "at_end": looks[-1].parent_bytes >> 20,
        },
    }
    whole = results == len(done) == documents and not any(left) and not files_left
    return report(figures, kept=whole and busy >= 0.97)


def _watch(consumer: Consumer, queue: Callable[[], tuple[int, int]], end_s: float) -> list[_Look]:
    """Look at the consumer until the queue is empty, leased messages included."""
    parent = psutil.Process(consumer.process.pid)
    looks: list[_Look] = []
    used_s: dict[int, float] = {}
    while True:
        for child in consumer.children():
            try:
                if _ENGINE_ENTRY in child.cmdline():
                    used_s[child.pid] = child.cpu_times().user + child.cpu_times().system
            except psutil.NoSuchProcess:
                continue
        waiting, in_flight = queue()
        busy_s = consumer.metrics()["bucket_ocr_engine_busy_seconds_total"]
        looks.append(_Look(time.monotonic(), busy_s, sum(used_s.values()), parent.memory_info().rss, waiting))
        if not (waiting or in_flight) or time.monotonic() > end_s:
            return looks
        time.sleep(_LOOK_S)


def _files(work_dir: Path) -> list[Path]:
    return [path for path in work_dir.rglob("*") if path.is_file() and path.name != "lock"]


if __name__ == "__main__":
    sys.exit(main())
