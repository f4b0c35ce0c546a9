"""Documents of texts: a renderer, and a recognizer that takes the seconds that a page's text ends with."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from consumer.clock import Watchdog
from consumer.domain.errors import ChildError, Code, DocumentError, HostError, PageError
from consumer.domain.formats import Format
from consumer.domain.page import PageImage
from consumer.domain.result import Detection, Page, PageResult, Status, failed_page
from tests.fakes import page_image
from tests.fakes.cloud import BROKEN
from tests.fakes.network import Network


class FakeRenderer:
    """Documents are `%PDF-` and texts of pages, a form feed between; fulfils `consumer.ports.Renderer`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._pages = 0

    @asynccontextmanager
    async def open(self, path: Path, file_format: Format) -> AsyncIterator["FakeDocument"]:
        text = path.read_bytes().removeprefix(b"%PDF-")
        if text.startswith(BROKEN):
            raise DocumentError(Code.CORRUPT_DOCUMENT, "it is broken")
        yield FakeDocument(text.decode().split("\f"), self._next_path)

    def _next_path(self) -> Path:
        self._pages += 1
        return self._folder / f"{self._pages}.bgr"


class FakeDocument:
    """An opened document; fulfils `consumer.ports.RenderedDocument`.

    A page whose text begins with `torn` cannot be rendered, and one that begins with `stuck` not in time.
    `rendered`: numbers of the pages that were tried.
    """

    def __init__(self, texts: Sequence[str], next_path: Callable[[], Path], render_s: float = 0.0) -> None:
        self._texts = texts
        self._next_path = next_path
        self._render_s = render_s
        self.page_count = len(texts)
        self.rendered: list[int] = []

    async def render(self, page_number: int) -> PageImage:
        self.rendered.append(page_number)
        await asyncio.sleep(self._render_s)
        text = self._texts[page_number - 1]
        if text.startswith("torn"):
            raise PageError(Code.PAGE_UNREADABLE, "torn")
        if text.startswith("stuck"):
            raise PageError(Code.RENDER_TIMEOUT, "too slow")
        path = self._next_path()
        path.write_text(text)
        return page_image(page_number, path)


class FakeRecognizer:
    """Reads pages; fulfils `consumer.ports.Recognizer`.

    A page whose text begins with `hung` is not read in time, and one that begins with `bad` breaks its batch.
    All that it reads has this confidence. `batches`: texts of the pages of all batches that were begun.
    """

    def __init__(
        self, network: Network, watchdog: Watchdog, concurrency: int = 1, confidence: float = 0.9
    ) -> None:
        self._network = network
        self._watchdog = watchdog
        self.concurrency = concurrency
        self._confidence = confidence
        self.batches: list[list[str]] = []

    @property
    def pages_read(self) -> int:
        return sum(map(len, self.batches))

    async def read(self, images: Sequence[PageImage]) -> Sequence[PageResult]:
        texts = [Path(image.path).read_text() for image in images]
        self.batches.append(texts)
        results: list[PageResult] = []
        for image, text in zip(images, texts, strict=True):
            await self._network.process.sleep(_seconds(text))
            results.append(_page_result(image.page_number, text, self._confidence))
            self._watchdog.mark()
        refusal = HostError("the engine is broken")
        results = await self._network.call("read", "", lambda: results, refusal=refusal)
        if any(text.startswith("bad") for text in texts):
            raise ChildError("died")
        return results


def _seconds(text: str) -> float:
    try:
        return float(text.rsplit(maxsplit=1)[-1])
    except (IndexError, ValueError):
        return 0.0


def _page_result(number: int, text: str, confidence: float) -> PageResult:
    if text.startswith("hung"):
        return failed_page(number, Code.ENGINE_TIMEOUT, "too slow")
    page = Page(page_number=number, status=Status.SUCCESS, width_px=100, height_px=100, scale=2, dpi=144)
    box = ((0, 0), (9, 0), (9, 9), (0, 9))
    detection = Detection(text=text, box=box, confidence=confidence, page_number=number)
    return PageResult(page=page, detections=(detection,))
