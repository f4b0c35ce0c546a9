"""The consumer with another engine: `python scripted.py ENGINE.py [ARGUMENT ...]`, for `bucket-ocr run`.

The engine is a program that is started as children are, with `FD OPTIONS` behind its own arguments.
"""

import asyncio
import sys

from consumer import app, logs, settings
from consumer.processes import layout


def main() -> None:
    options = settings.load()
    logs.configure(options.log_format, options.log_level)
    asyncio.run(app.consume(options, {**layout.PROGRAMS, "rapidocr": tuple(sys.argv[1:])}))


if __name__ == "__main__":
    main()
