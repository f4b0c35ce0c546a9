"""Letters while somebody kills a child process every two seconds: that nothing is lost, and nothing is wrong.

    make bench/kills

The real engine; any of its processes or the renderer's may be hit, at work, idle or while it starts. It
exits with 1 unless every letter has a result with the text that one has which nobody disturbed, no message
is in the dead-letter queue, and the consumer is still the process that was started.
"""

import contextlib
import random
import sys
import time
from collections import Counter

import psutil

from bench.common import DEADLINE_S, LETTER, asked_for, deployed, put_letters, report
from tests.e2e.stack import Consumer, Document, Stack

_EVERY_S = 2.0
_UNDISTURBED = "undisturbed.pdf"


def main() -> int:
    """Measure once; returns the exit status."""
    documents = asked_for(__doc__, "documents", 200)
    with deployed() as (stack, folder), Consumer(stack, folder) as consumer:
        consumer.wait_ready()
        stack.put(_UNDISTURBED, LETTER)
        expected = _texts(stack.result(_UNDISTURBED))
        keys = put_letters(stack, documents)
        started = time.monotonic()
        killed = _kill_until_there(consumer, stack, {f"{key}.ocr.json" for key in keys})
        seconds = time.monotonic() - started
        missing = {f"{key}.ocr.json" for key in keys} - stack.keys()
        results = [stack.result(key) for key in keys if f"{key}.ocr.json" not in missing]
        statuses = Counter(result["status"] for result in results)
        wrong = sum(_texts(result) != expected for result in results)
        dead = len(stack.dead_letters())
        lives = consumer.process.poll() is None
        messages = [line for line in consumer.lines if line["event"] == "message"]
        replaced = Counter(
            f"{line['kind']} {line['reason']}" for line in consumer.lines if line["event"] == "child.replaced"
        )
    figures = {
        "documents": documents,
        "results": len(results),
        "statuses": statuses,
        "wrong_texts": wrong,
        "dead_letters": dead,
        "consumer_lives": lives,
        "kills": killed.total(),
        "killed": killed,
        "replaced": replaced,
        "seconds": round(seconds, 1),
        "receive_counts_above_1": Counter(
            line["receive_count"] for line in messages if line["receive_count"] > 1
        ),
        "outcomes": Counter(line["outcome"] for line in messages),
    }
    return report(figures, kept=statuses["SUCCESS"] == documents and not wrong and not dead and lives)


def _kill_until_there(consumer: Consumer, stack: Stack, outputs: set[str]) -> Counter[str]:
    """Kill a child now and then until all of the objects are there; returns how many of which kind."""
    chance = random.Random(0)
    killed: Counter[str] = Counter()
    end_s = time.monotonic() + DEADLINE_S
    while not outputs <= stack.keys() and time.monotonic() < end_s and consumer.process.poll() is None:
        time.sleep(_EVERY_S)
        # Gone meanwhile, or none of them is there.
        with contextlib.suppress(psutil.NoSuchProcess, IndexError):
            child = chance.choice(consumer.children())
            kind = "engine" if "consumer.child.rapidocr.engine:build" in child.cmdline() else "render"
            child.kill()
            killed[kind] += 1
    return killed


def _texts(result: Document) -> list[str]:
    return [line["text"] for line in result["detections"]]


if __name__ == "__main__":
    sys.exit(main())
