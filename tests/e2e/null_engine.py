"""An engine that reads nothing: entry `null_engine:build`; arguments `PAGE LEAK_BYTES LINES JOURNAL`.

Every page takes PAGE seconds, or until the file PAGE exists, costs next to no processor time, leaves
LEAK_BYTES of memory behind that is never given back, and has LINES lines of 60 characters, one below the
other, with the page's size. The file JOURNAL, unless it is empty, gets a line for each page whose reading
begins: the page's number, width and height.
"""

import json
import time
from collections.abc import Callable
from pathlib import Path

from consumer import protocol
from consumer.domain.geometry import Point
from consumer.domain.legibility import TextLine
from consumer.domain.page import PageImage
from consumer.domain.result import PageResult

_CHARACTERS = 60
_POLL_S = 0.02


class NullEngine:
    """The engine. `page`: seconds for a page, including the time to leak, or a file that pages wait for."""

    def __init__(self, page: float | Path, leak_bytes: int, lines: int, journal: str) -> None:
        self._page = page
        self._leak_bytes = leak_bytes
        self._lines = lines
        self._journal = journal
        self._leaked: list[bytearray] = []

    def ready(self) -> protocol.Reply:
        """Give it a name."""
        return protocol.EngineReady(name="null", version="1", models={}, device="cpu")

    def handle(self, request: protocol.Request, progress: Callable[[], None]) -> protocol.Reply:
        """Answer with made-up pages."""
        assert isinstance(request, protocol.ReadPages)
        return protocol.PagesRead(pages=tuple(self._read(image, progress) for image in request.images))

    def _read(self, image: PageImage, progress: Callable[[], None]) -> PageResult:
        started_s = time.monotonic()
        if self._journal:
            # Engines of several consumers share the file: one write appends a whole line.
            with Path(self._journal).open("ab", buffering=0) as journal:
                journal.write(f"{image.page_number} {image.width_px} {image.height_px}\n".encode())
        # Filled, since untouched memory costs nothing.
        self._leaked.append(bytearray(b"x") * self._leak_bytes)
        lines = [self._line(image, number) for number in range(self._lines)]
        page = image.result(lines, markdown="\n".join(line.text for line in lines))
        self._wait(started_s)
        progress()
        return page

    def _wait(self, started_s: float) -> None:
        if isinstance(self._page, float):
            time.sleep(max(0.0, started_s + self._page - time.monotonic()))
            return
        while not self._page.exists():
            time.sleep(_POLL_S)

    def _line(self, image: PageImage, number: int) -> TextLine:
        right = image.width_px
        top, bottom = (image.height_px * n // self._lines for n in (number, number + 1))
        box = (Point(0, top), Point(right, top), Point(right, bottom), Point(0, bottom))
        size = f"{image.width_px} x {image.height_px}"
        text = f"Page {image.page_number}, {size}, line {number}: not read ".ljust(_CHARACTERS, ".")
        return TextLine(box, text, 1.0)


def build(options_json: str) -> NullEngine:
    """Build the handler of an engine process."""
    page, leak_bytes, lines, journal = json.loads(options_json)["arguments"]
    wait = Path(page) if Path(page).is_absolute() else float(page)
    return NullEngine(wait, int(leak_bytes), int(lines), journal)
