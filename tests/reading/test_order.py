"""The engine's lines come in the order in which a person reads the page.

Pages of two to five columns with what stands beside, above and between them; small blocks, tables and forms.
"""

import os
from collections.abc import Callable
from typing import Final

import pytest

from consumer import protocol
from consumer.child.rapidocr.engine import build
from tests.page_images import bgr, stored
from tests.reading.order import asian, beside, blocks, columns
from tests.reading.order.detector import kept_order_of_texts
from tests.reading.order.pages import page
from tests.reading.order.sheet import Sheet
from tests.sampling import every

KINDS: Final = [*columns.KINDS, *beside.KINDS, *asian.KINDS, *blocks.KINDS]
DPI: Final = 144

Read = Callable[[Sheet], list[str]]


@pytest.fixture(scope="module")
def read(tmp_path_factory: pytest.TempPathFactory) -> Read:
    """The engine: reads the texts of a page's lines, in order."""
    engine = build(protocol.RapidOcrOptions(threads=os.cpu_count() or 1).model_dump_json())
    path = tmp_path_factory.mktemp("pages") / "page"

    def read(sheet: Sheet) -> list[str]:
        image = stored(bgr(sheet.image(DPI)), path, scale=DPI / 72, dpi=DPI)
        reply = engine.handle(protocol.ReadPages(images=(image,)), lambda: None)
        assert isinstance(reply, protocol.PagesRead)
        return [detection.text for detection in reply.pages[0].detections]

    return read


@pytest.mark.corpus
@pytest.mark.parametrize("kind", every(3, KINDS))
def test_a_page_is_read_in_order(kind: str, read: Read) -> None:
    sheet = page(kind, 0)
    assert kept_order_of_texts(sheet.lines, read(sheet)) >= 0.95
