"""`bucket-ocr run`: the consumer."""

import asyncio

from consumer import app, logs, settings


def run() -> None:
    """Read the documents that the queue names, until stopped.

    Each source gets a result document next to it.

    Settings come from BUCKET_OCR_* variables or a .env file (see .env.example); credentials, region and
    endpoint from the AWS standard ones. SIGTERM or Ctrl-C: documents in work are finished or handed back,
    then the exit status is 0.
    """
    options = settings.load()
    logs.configure(options.log_format, options.log_level)
    asyncio.run(app.consume(options))
