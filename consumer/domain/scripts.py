"""Scripts in which text is written: which way it runs, and whether spaces divide its words."""

import re
import unicodedata
from typing import Final

#: Letters of Chinese and Japanese, which have no spaces between words; Korean has.
UNSPACED: Final = re.compile("[\u2e80-\u312f\u3190-\ua4cf\uf900-\ufaff\ufe30-\ufe4f\uff00-\uffef]")


def is_right_to_left(text: str) -> bool:
    """Whether a line runs to the left: its first letter tells (rule P2 of Unicode Standard Annex 9)."""
    directions = map(unicodedata.bidirectional, text)
    return next((each for each in directions if each in {"L", "R", "AL"}), "L") != "L"
