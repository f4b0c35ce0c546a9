"""How much of a text was read: words, whatever their order."""

import re
from collections import Counter
from collections.abc import Iterable

_WORD = re.compile(r"[^\W_]+")


def word_f1(pairs: Iterable[tuple[str, str]]) -> float:
    """Score what was read, 0 to 1, over all documents together.

    `pairs`: what stands there, and what was read. Words are runs of letters and digits, without regard to
    case. One that stands there twice must be read twice, and what was read without standing there counts
    against the reader.
    """
    common = total = 0
    for truth, read in pairs:
        meant, said = _words(truth), _words(read)
        common += (meant & said).total()
        total += meant.total() + said.total()
    return 2 * common / total if total else 1.0


def _words(text: str) -> Counter[str]:
    # A word that is divided at the end of a line is one word.
    return Counter(_WORD.findall(text.lower().replace("-\n", "")))
