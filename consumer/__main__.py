"""`python -m consumer` and the command `bucket-ocr`."""

import os
import signal
from typing import Final

_INTERRUPTED: Final = 130


def main() -> None:
    """Run a command; Ctrl-C is quiet also while its modules are imported, which takes a second or two."""
    interrupt = signal.getsignal(signal.SIGINT)
    if interrupt is signal.default_int_handler:
        signal.signal(signal.SIGINT, lambda *_: os._exit(_INTERRUPTED))
    from consumer.cli import main as command  # noqa: PLC0415 - as said above

    signal.signal(signal.SIGINT, interrupt)
    try:
        command()
    finally:
        # It is done, and its exit status is known.
        signal.signal(signal.SIGINT, signal.SIG_IGN)


if __name__ == "__main__":
    main()
