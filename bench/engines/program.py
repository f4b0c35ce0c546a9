"""Reads pages with the engine for processors of the `consumer` that is on the path, of any checkout.

    PYTHONPATH=CHECKOUT python program.py OPTIONS

Takes a `PageImage` as JSON on each line of standard input. For each it prints a line of JSON: processor
seconds, resident and highest resident bytes of the process, and the lines that were read. The first line
comes when the engine is ready.
"""

import json
import resource
import sys
import time
from pathlib import Path
from typing import Any

from consumer import protocol
from consumer.child.rapidocr.engine import RapidOcrEngine
from consumer.domain.page import PageImage


def main() -> None:
    """Read pages until standard input ends."""
    engine = RapidOcrEngine(protocol.RapidOcrOptions.model_validate_json(sys.argv[1]))
    engine.ready()
    _say([], 0.0)
    for line in sys.stdin:
        image = PageImage.model_validate_json(line)
        begun_s = time.process_time()
        reply = engine.handle(protocol.ReadPages(images=(image,)), lambda: None)
        used_s = time.process_time() - begun_s
        assert isinstance(reply, protocol.PagesRead)
        _say([detection.text for detection in reply.pages[0].detections], used_s)


def _say(texts: list[str], used_s: float) -> None:
    resident_pages = int(Path("/proc/self/statm").read_text().split()[1])
    said: dict[str, Any] = {
        "processor_s": used_s,
        "resident_bytes": resident_pages * resource.getpagesize(),
        "peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        "texts": texts,
    }
    print(json.dumps(said), flush=True)


if __name__ == "__main__":
    main()
