"""Text that was read, in markdown and HTML: none of it is markup."""

import re
from html import escape
from typing import Final

#: `<` if it begins a tag, and `&` if it begins a character reference (HTML, 13.2.5).
_SPECIAL: Final = re.compile(r"<(?=[A-Za-z/!?])|&(?=#?\w+;)")


def as_text(text: str) -> str:
    """Return text in which every `<` and `&` that HTML would take for markup is written as a reference."""
    return _SPECIAL.sub(lambda special: escape(special[0]), text)
