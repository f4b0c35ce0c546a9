"""XML as text: names and texts as attributes and content, without characters that XML has not."""

import re
from collections.abc import Sequence
from typing import Final
from xml.sax.saxutils import escape, quoteattr

#: Characters that XML 1.0 does not allow, not even escaped.
_NOT_XML: Final = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")

DECLARATION: Final = '<?xml version="1.0" encoding="UTF-8"?>\n'


def text(value: str) -> str:
    """Write text as content of an element, in which readers would take a carriage return for a line feed."""
    return escape(_xml(value), {"\r": "&#13;"})


def _xml(value: str) -> str:
    return _NOT_XML.sub("\ufffd", value)


def attributes(**values: object) -> str:
    """Write attributes, a space before each; those that are None are left out."""
    return "".join(
        f' {name}="{value}"' if isinstance(value, int) else f" {name}={quoteattr(_xml(str(value)))}"
        for name, value in values.items()
        if value is not None
    )


def points(corners: Sequence[tuple[int, int]]) -> str:
    """Write points as ALTO and PAGE have them: `x,y x,y …`."""
    return " ".join(f"{x},{y}" for x, y in corners)
