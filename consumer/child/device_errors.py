"""Errors of a GPU without memory, and of a lost GPU context: nothing will work in this process any more."""

import re
from typing import Final

OUT_OF_MEMORY: Final = re.compile(
    # The last one is of ONNX Runtime, at the limit that it was given.
    r"out of memory|failed to allocate memory|ResourceExhausted|smaller than requested bytes",
    re.IGNORECASE,
)
LOST_DEVICE: Final = re.compile(r"\bcuda|\bcudnn|\bcublas", re.IGNORECASE)


def end_if_poisoned(error: Exception) -> None:
    """End the process if the GPU is unusable for the next page."""
    text = f"{type(error).__name__}: {error}"
    if OUT_OF_MEMORY.search(text):
        raise MemoryError(text) from error
    if LOST_DEVICE.search(text):
        # Not an Exception: it ends the process and prints the reason.
        raise SystemExit(text) from error
