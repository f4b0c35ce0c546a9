"""The consumer with another engine: `python scripted.py [--quick] ENGINE.py [ARGUMENT ...]`.

The engine is a program that is started as children are, with `FD OPTIONS` behind its own arguments.
`--quick`: polls and pauses are short, and the lease may be shorter than the shortest that is allowed.
"""

import asyncio
import os
import sys

from consumer import app, logs, settings
from consumer.aws import sqs
from consumer.domain import settle
from consumer.processes import layout
from consumer.service import circuit_breaker, worker

#: Of `--quick`, in seconds. A poll must be shorter than a lease, which begins when the poll does.
_WAITS = (
    (sqs, "WAIT_S", 1),
    (worker, "_RECEIVE_PAUSE_S", 0.5),
    (circuit_breaker, "_PAUSE_S", 1.0),
    (settle, "BACKOFF_BASE_S", 1.0),
    (settle, "HOST_FAILURE_DELAY_S", 2),
)


def _quick_options() -> settings.Settings:
    for module, name, seconds in _WAITS:
        assert hasattr(module, name)
        setattr(module, name, seconds)
    lease_s = os.environ.pop(f"{settings.PREFIX}LEASE_S", "60")
    return settings.load().model_copy(update={"lease_s": int(lease_s)})


def main() -> None:
    engine = tuple(sys.argv[1:])
    if engine[0] == "--quick":
        options, engine = _quick_options(), engine[1:]
    else:
        options = settings.load()
    logs.configure(options.log_format, options.log_level)
    asyncio.run(app.consume(options, {**layout.PROGRAMS, "rapidocr": engine}))


if __name__ == "__main__":
    main()
