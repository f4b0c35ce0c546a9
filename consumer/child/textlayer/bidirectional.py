"""Letters of a line, in the order in which they are seen."""

import unicodedata
from collections.abc import Iterator
from itertools import groupby
from typing import Any, Final, NamedTuple

from bidi import algorithm

#: Classes of characters that make a line run to the left, or a part of it.
_LEFTWARD: Final = frozenset({"R", "AL", "RLE", "RLO", "RLI"})


#: Isolates, which python-bidi does not know. Readers see none of the characters that only give directions.
_ISOLATES: Final = str.maketrans(dict.fromkeys("\u2066\u2067\u2068\u2069"))


class Run(NamedTuple):
    """A part of a text in one direction: the index at which it begins, and its letters from left to right."""

    first: int
    letters: list[str]


def runs(text: str) -> list[Run]:
    """Divide a line into runs, as they are seen from left to right (Unicode Standard Annex 9)."""
    if not any(unicodedata.bidirectional(character) in _LEFTWARD for character in text):
        return [Run(0, _letters(text))]
    text = text.translate(_ISOLATES)
    storage = algorithm.get_empty_storage()
    storage["base_level"] = algorithm.get_base_level(text)
    storage["base_dir"] = "LR"[storage["base_level"]]
    algorithm.get_embedding_levels(text, storage)
    for index, character in enumerate(storage["chars"]):
        character["index"] = index
        # One that Unicode has given a meaning since has no class yet.
        character["type"] = character["type"] or "ON"
    algorithm.explicit_embed_and_overrides(storage)
    algorithm.resolve_weak_types(storage, debug=False)
    algorithm.resolve_neutral_types(storage, debug=False)
    algorithm.resolve_implicit_levels(storage, debug=False)
    algorithm.reorder_resolved_levels(storage, debug=False)
    return list(_grouped(storage["chars"]))


def _grouped(seen: list[dict[str, Any]]) -> Iterator[Run]:
    for level, group in groupby(seen, lambda character: character["level"]):
        run = list(group)
        text = "".join(character["ch"] for character in run)
        # Readers turn each character of a letter: its marks come before it.
        letters = list(text) if level % 2 else _letters(text)
        yield Run(min(character["index"] for character in run), letters)


def _letters(text: str) -> list[str]:
    """Divide text into letters, each with its marks, which readers lose or displace if they have no width."""
    letters: list[str] = []
    for character in text:
        if letters and unicodedata.category(character)[0] == "M":
            letters[-1] += character
        else:
            letters.append(character)
    return letters
