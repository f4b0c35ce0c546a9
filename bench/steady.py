"""A steady load while one request in twenty fails: that nothing is lost, and that nothing grows.

    make bench/steady

Two small documents a second for half an hour, an engine that reads nothing, and a proxy between the
consumer and LocalStack that spoils 5 % of all requests in every way it knows. It exits with 1 unless every
document has its one right result, no message is in the dead-letter queue, and the consumer's resident
memory and file descriptors are in the last third what they were in the first (of the time after a warm-up).
"""

import os
import statistics
import sys
import time
from collections import Counter
from dataclasses import dataclass

import psutil
import pymupdf

from bench.common import DEADLINE_S, asked_for, deployed, report
from tests.e2e.proxy import FaultProxy, answer, delay, lost_response, reset_before, reset_midway, truncated
from tests.e2e.stack import SCRIPTED, Consumer, Stack, null_engine, until

_SHARE = 0.05
_SEED = 7
_EVERY_S = 0.5
_SAMPLE_S = 30.0
_WARM_UP_S = 180.0
_PAGE_S = 0.05

#: Longer than the consumer waits for an answer: a call that has timed out is carried out all the same.
_ZOMBIE_S = 25.0

_FAULTS = (
    answer(503, "SlowDown"),
    answer(500, "InternalError"),
    answer(503, "Throttling"),
    answer(403, "RequestTimeTooSkewed"),
    answer(400, "ExpiredToken"),
    reset_before(),
    reset_midway(400),
    reset_midway(400, rst=True),
    truncated(400),
    lost_response(),
    lost_response(),
    delay(2.0),
    delay(_ZOMBIE_S),
)


@dataclass(frozen=True)
class _Sample:
    """The consumer's own process at one moment; `second` is counted from the start."""

    second: int
    rss_mb: float
    descriptors: int
    uploaded: int
    results: int


def main() -> int:
    """Measure once; returns the exit status."""
    minutes = asked_for(__doc__, "minutes", 30)
    with deployed() as (stack, folder), FaultProxy(stack.cloud.endpoint_url) as proxy:
        program = (*SCRIPTED, *null_engine(_PAGE_S, lines=5))
        with Consumer(stack.seen_at(proxy.url), folder, program, LEASE_S=20) as consumer:
            consumer.wait_ready()
            proxy.fail_randomly(_SHARE, _SEED, _FAULTS)
            samples = _load(stack, consumer, 60 * minutes)
            proxy.heal()
            documents = samples[-1].uploaded
            until(lambda: not stack.cloud.messages(stack.queue_url), DEADLINE_S, "an empty queue")
            wrong = sum(not _is_right(stack, number) for number in range(documents))
            dead, lines = len(stack.dead_letters()), consumer.lines
            status = consumer.stop()
    warm = [sample for sample in samples if sample.second >= _WARM_UP_S] or samples
    third = max(1, len(warm) // 3)
    rss_mb, descriptors = ([getattr(s, name) for s in warm] for name in ("rss_mb", "descriptors"))
    first_mb, last_mb = statistics.median(rss_mb[:third]), statistics.median(rss_mb[-third:])
    first_fds, last_fds = statistics.median(descriptors[:third]), statistics.median(descriptors[-third:])
    spoiled = Counter(call.fault for call in proxy.calls if call.fault)
    messages = [line for line in lines if line["event"] == "message"]
    figures = {
        "minutes": minutes,
        "documents": documents,
        "wrong_or_missing": wrong,
        "dead_letters": dead,
        "exit_status": status,
        "requests": len(proxy.calls),
        "spoiled": spoiled.total(),
        "spoiled_by": spoiled,
        "receive_counts": Counter(line["receive_count"] for line in messages if "key" in line),
        "outcomes": Counter(line["outcome"] for line in messages),
        "job_results": Counter(line["job_result"] for line in messages if "job_result" in line),
        "rss_mb": [first_mb, last_mb],
        "descriptors": [first_fds, last_fds],
        "curve": [(s.second, s.rss_mb, s.descriptors, s.uploaded, s.results) for s in samples[::2]],
    }
    flat = last_mb <= 1.05 * first_mb + 2 and last_fds <= first_fds + 5
    return report(figures, kept=flat and not wrong and not dead and status == 0)


def _load(stack: Stack, consumer: Consumer, seconds: float) -> list[_Sample]:
    """Upload for so long, and look at the consumer now and then."""
    process = psutil.Process(consumer.process.pid)
    padding = os.urandom(200_000)
    samples: list[_Sample] = []
    began = time.monotonic()
    uploaded = 0
    while (passed_s := time.monotonic() - began) < seconds:
        if passed_s >= _EVERY_S * uploaded:
            stack.put(_key(uploaded), _document(uploaded, padding))
            uploaded += 1
        if passed_s >= _SAMPLE_S * len(samples):
            rss_mb = round(process.memory_info().rss / 1e6, 1)
            keys = stack.keys()
            results = sum(key.endswith(".ocr.json") for key in keys)
            samples.append(_Sample(int(passed_s), rss_mb, process.num_fds(), uploaded, results))
        time.sleep(max(0.0, min(_EVERY_S * uploaded, _SAMPLE_S * len(samples)) - (time.monotonic() - began)))
    rss_mb = round(process.memory_info().rss / 1e6, 1)
    samples.append(_Sample(int(seconds), rss_mb, process.num_fds(), uploaded, 0))
    return samples


def _key(number: int) -> str:
    return f"steady/{number:05}.pdf"


def _width_pt(number: int) -> int:
    return 100 + number % 400


def _document(number: int, padding: bytes) -> bytes:
    """Make one of 1 to 3 pages and some 200 kB, told from most others by its width."""
    with pymupdf.open() as document:
        for _ in range(1 + number % 3):
            document.new_page(width=_width_pt(number), height=50)
        document.embfile_add("padding", padding)
        return bytes(document.tobytes())


def _is_right(stack: Stack, number: int) -> bool:
    try:
        result = stack.result(_key(number), deadline_s=1)
    except AssertionError:
        return False
    texts = [line["text"] for line in result["detections"]]
    size = f", {2 * _width_pt(number)} x 100,"
    return (
        result["status"] == "SUCCESS" and len(texts) == 5 * (1 + number % 3) and all(size in t for t in texts)
    )


if __name__ == "__main__":
    sys.exit(main())
