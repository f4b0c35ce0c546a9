"""Tables that cannot be read cost their page no more than its tables, and those that can are HTML.

PaddleX raises where a table has cells for one of its networks and none for another, and its pages are lost.
It puts texts into its HTML as they are.
"""

from collections.abc import Callable, Iterable
from html import escape
from typing import Any, Final

from consumer.child.device_errors import LOST_DEVICE, OUT_OF_MEMORY
from consumer.domain.errors import Code
from consumer.domain.result import Warning  # noqa: A004 - its name in the schema

_MOST_CHARACTERS: Final = 200

#: How PaddleX begins the text of a picture in a table, which is HTML.
_PICTURE: Final = '<div style="text-align: center;"><img '

_Recognize = Callable[..., Iterable[dict[str, Any]]]


class NoTables(list[Any]):
    """In the place of a page's tables, which could not be read; `reason`: why."""

    def __init__(self, reason: str) -> None:
        super().__init__()
        self.reason = reason

    def warning(self, page_number: int) -> Warning:
        """Return the warning of the page."""
        message = f"the tables of the page could not be read and were left out: {self.reason}"
        return Warning(code=Code.ENGINE_ERROR, message=message, page_number=page_number)


def or_no_tables(recognize: _Recognize) -> _Recognize:
    """Have PaddleX's pipeline for the tables of a page give `NoTables` where it raises.

    Errors after which the process is of no use are raised all the same. Texts become HTML; those that the
    pipeline is given are a copy.
    """

    def recognize_or_go_without(image: Any, **named: Any) -> list[dict[str, Any]]:
        texts = named["overall_ocr_res"]["rec_texts"]
        texts[:] = [text if text.startswith(_PICTURE) else escape(text, quote=False) for text in texts]
        try:
            return list(recognize(image, **named))
        except Exception as error:  # each library has its own
            reason = " ".join(f"{type(error).__name__}: {error}".split())
            if isinstance(error, MemoryError) or OUT_OF_MEMORY.search(reason) or LOST_DEVICE.search(reason):
                raise
            return [{"table_res_list": NoTables(reason[:_MOST_CHARACTERS])}]

    return recognize_or_go_without
