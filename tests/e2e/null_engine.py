"""An engine that reads nothing: `python null_engine.py PAGE LEAK_BYTES LINES FD OPTIONS`.

Every page takes PAGE seconds, or until the file PAGE exists, costs next to no processor time, leaves
LEAK_BYTES of memory behind that is never given back, and has LINES lines of 60 characters, one below the
other, which tell the page's size.
"""

import sys
import time
from pathlib import Path

from consumer import protocol
from consumer.child import serve
from consumer.domain.page import PageImage

_CHARACTERS = 60
_POLL_S = 0.02


class NullEngine:
    """The engine. `page`: seconds for a page, what it leaks included, or a file that pages wait for."""

    def __init__(self, page: float | Path, leak_bytes: int, lines: int) -> None:
        self._page = page
        self._leak_bytes = leak_bytes
        self._lines = lines
        self._leaked: list[bytearray] = []

    def ready(self) -> protocol.Reply:
        """Give it a name."""
        return protocol.EngineReady(name="null", version="1", models={}, device="cpu")

    def handle(self, request: protocol.Request) -> protocol.Reply:
        """Answer with made-up pages."""
        assert isinstance(request, protocol.ReadPages)
        return protocol.PagesRead(pages=tuple(map(self._read, request.images)))

    def _read(self, image: PageImage) -> protocol.PageContent:
        started_s = time.monotonic()
        # Filled, since untouched memory costs nothing.
        self._leaked.append(bytearray(b"x") * self._leak_bytes)
        lines = tuple(self._line(image, number) for number in range(self._lines))
        text = protocol.PageContent(lines=lines, markdown="\n".join(line.text for line in lines))
        self._wait(started_s)
        return text

    def _wait(self, started_s: float) -> None:
        if isinstance(self._page, float):
            time.sleep(max(0.0, started_s + self._page - time.monotonic()))
            return
        while not self._page.exists():
            time.sleep(_POLL_S)

    def _line(self, image: PageImage, number: int) -> protocol.TextLine:
        top, bottom = (image.height_px * n // self._lines for n in (number, number + 1))
        box = ((0, top), (image.width_px, top), (image.width_px, bottom), (0, bottom))
        size = f"{image.width_px} x {image.height_px}"
        text = f"Page {image.page_number}, {size}, line {number}: not read ".ljust(_CHARACTERS, ".")
        return protocol.TextLine(text=text, box=box, confidence=1.0)


def main() -> None:
    """Serve the consumer that started us."""
    serve.prepare_process()
    page, leak_bytes, lines, descriptor, _ = sys.argv[1:]
    wait = Path(page) if Path(page).is_absolute() else float(page)
    serve.serve(int(descriptor), lambda: NullEngine(wait, int(leak_bytes), int(lines)))


if __name__ == "__main__":
    main()
