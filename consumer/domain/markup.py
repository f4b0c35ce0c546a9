"""Text that was read, in markdown and HTML: none of it is markup."""

import re
from html import escape
from typing import Final

#: What begins a tag, and what begins the name of a character.
_SPECIAL: Final = re.compile(r"<(?=[A-Za-z/!?])|&(?=#?\w+;)")


def as_text(text: str) -> str:
    """Return text with the names of its characters that would begin a tag, or another one's name."""
    return _SPECIAL.sub(lambda special: escape(special[0]), text)
