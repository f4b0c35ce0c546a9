"""`bucket-ocr run`: the consumer."""

import asyncio
import signal
import sys
from types import FrameType
from typing import NoReturn

from consumer import logs, settings


def run() -> None:
    """Read the documents that the queue names, until stopped.

    Each source gets a result document beside it.

    Settings come from BUCKET_OCR_* variables or a .env file (see .env.example); credentials, region and
    endpoint from the standard AWS variables. On SIGTERM or Ctrl-C documents in flight are finished, or
    released to the queue; then the exit status is 0.
    """
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _exit)
    options = settings.load(settings.Settings)
    logs.configure(options.log_format, options.log_level)
    # A slow import, during which a signal may come.
    from consumer import app

    asyncio.run(app.consume(options))


def _exit(number: int, _frame: FrameType | None) -> NoReturn:
    signal.signal(number, signal.SIG_IGN)
    sys.exit()
