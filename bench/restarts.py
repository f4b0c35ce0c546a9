"""Letters while the consumer itself is killed again and again: that each is read, and hardly twice.

    make bench/restarts

The real engine. The consumer is killed (SIGKILL) at a random moment after it has become ready, with its
children, and started anew, 20 times. It exits with 1 unless every letter has the text that one has which
nobody disturbed, no message is in the dead-letter queue, and no source was fetched more than once and once
for every kill that its message was in flight at.
"""

import random
import sys
import time
from collections import Counter
from pathlib import Path

from bench.common import DEADLINE_S, LETTER, asked_for, deployed, put_letters, report
from tests.e2e.proxy import FaultProxy
from tests.e2e.stack import Consumer, Document, Stack, until

_KILLS = 20
_LEASE_S = 10
_LONGEST_S = 8.0
_UNDISTURBED = "undisturbed.pdf"


def main() -> int:
    """Measure once; returns the exit status."""
    documents = asked_for(__doc__, "documents", 100)
    with deployed() as (stack, folder), FaultProxy(stack.cloud.endpoint_url) as proxy:
        seen = stack.seen_at(proxy.url)
        with _consumer(seen, folder / "first") as consumer:
            stack.put(_UNDISTURBED, LETTER)
            expected = _texts(stack.result(_UNDISTURBED))
            stack.wait_until_settled()
            assert consumer.stop() == 0
        keys = put_letters(stack, documents)
        began = time.monotonic()
        hits = _kill(seen, folder)
        with _consumer(seen, folder / "last") as consumer:
            until(lambda: not stack.cloud.messages(stack.queue_url), DEADLINE_S, "an empty queue")
            assert consumer.stop() == 0
        seconds = time.monotonic() - began
        results = [stack.result(key, deadline_s=1) for key in keys]
        fetched = Counter(call.key for call in proxy.calls if call.operation == "GetObject")
        dead = len(stack.dead_letters())
    wrong = sum(_texts(result) != expected for result in results)
    beyond = [key for key in keys if fetched[key] > 1 + hits[key]]
    figures = {
        "documents": documents,
        "results": len(results),
        "wrong_texts": wrong,
        "dead_letters": dead,
        "kills": _KILLS,
        "fetched": Counter(fetched[key] for key in keys),
        "hit": Counter(hits[key] for key in keys),
        "hits": hits.total(),
        "fetched_too_often": beyond,
        "seconds": round(seconds, 1),
    }
    return report(figures, kept=bool(hits) and not wrong and not dead and not beyond)


def _consumer(stack: Stack, folder: Path) -> Consumer:
    return Consumer(stack, folder, LEASE_S=_LEASE_S).wait_ready()


def _kill(stack: Stack, folder: Path) -> Counter[str]:
    """Start and kill consumers; returns how many kills each source's message was in flight at."""
    chance = random.Random(0)
    hits: Counter[str] = Counter()
    counted: dict[str, int] = {}
    for number in range(_KILLS):
        with _consumer(stack, folder / str(number)) as consumer:
            time.sleep(chance.uniform(0.5, _LONGEST_S))
            consumer.process.kill()
            consumer.process.wait()
        left = stack.cloud.messages(stack.queue_url)
        assert left, "all was done before the last kill: ask for more documents"
        for message in left:
            # One that was hit before and has not been received since is hidden as well.
            if not message.visible and message.receive_count > counted.get(message.message_id, 0):
                hits.update(_letters(message.body))
            counted[message.message_id] = message.receive_count
    return hits


def _letters(body: str) -> list[str]:
    """Find the keys of letters that a message names."""
    return [part.partition('"')[0] for part in body.split('"key": "')[1:]]


def _texts(result: Document) -> list[str]:
    return [line["text"] for line in result["detections"]]


if __name__ == "__main__":
    sys.exit(main())
