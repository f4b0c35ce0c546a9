"""Errors of a GPU without memory, and of a lost GPU context: nothing will work in this process any more."""

import re
from typing import Final

OUT_OF_MEMORY: Final = re.compile(r"out of memory|failed to allocate memory|ResourceExhausted", re.IGNORECASE)
LOST_DEVICE: Final = re.compile(r"\bcuda|\bcudnn|\bcublas", re.IGNORECASE)
