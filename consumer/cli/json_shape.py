"""Guards a parser of JSON, whose memory grows with the square of the depth of what it is given."""

import re
from collections.abc import AsyncIterator
from typing import Final

#: Arrays and objects within one another, at the end of a window; a result of ours has seven.
_MOST_LEVELS: Final = 128

#: Brackets that are counted at once: so many more levels may be open in between.
_WINDOW: Final = 64

_STRING: Final = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)
_NO_BRACKETS: Final = bytes(set(range(256)) - set(b"[]{}"))


class ShapeError(Exception):
    """It is no JSON document, not all of one, or a deeper one than any result."""


async def whole_and_shallow(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Pass on the chunks of a JSON document; raises ShapeError, for an end in its middle after the last."""
    levels, rest = 0, b""
    async for chunk in chunks:
        brackets, rest = _brackets(rest + chunk)
        for start in range(0, len(brackets), _WINDOW):
            window = brackets[start : start + _WINDOW]
            levels += window.count(b"[") + window.count(b"{") - window.count(b"]") - window.count(b"}")
            if not 0 <= levels <= _MOST_LEVELS:
                raise ShapeError
        yield chunk
    if levels or rest:
        raise ShapeError


def _brackets(text: bytes) -> tuple[bytes, bytes]:
    """Return the brackets outside of strings, and what stands for a string that goes on: its first quote."""
    outside, quote, inside = _STRING.sub(b"", text).partition(b'"')
    backslashes = len(inside) - len(inside.rstrip(b"\\"))
    return outside.translate(None, _NO_BRACKETS), quote + b"\\" * (backslashes % 2)
