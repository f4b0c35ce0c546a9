"""Reading pages in engine children."""

import asyncio
import time
from collections.abc import Sequence
from typing import Final

from consumer import wire
from consumer.adapters.children import START_DEADLINE_S, ChildTimeoutError, Seat
from consumer.domain import result
from consumer.domain.errors import ChildError, Code
from consumer.domain.page import PageImage
from consumer.domain.result import PageResult, Status, failed_page
from consumer.ports import Progress

#: Longest time to read one page, and how much longer a batch may take for each further one.
PAGE_DEADLINE_S: Final = 60.0
_FURTHER_PAGE_S: Final = 15.0


def longest_step_s(batch_pages: int) -> float:
    """Longest time without a sign of progress: a child is started, then it reads a full batch."""
    return START_DEADLINE_S + _deadline_s(batch_pages)


def _deadline_s(pages: int) -> float:
    return PAGE_DEADLINE_S + _FURTHER_PAGE_S * (pages - 1)


class EnginePool:
    """Engine children, each reading one batch at a time."""

    def __init__(self, seats: Sequence[Seat]) -> None:
        self._seats = seats
        self._free: asyncio.Queue[Seat] = asyncio.Queue()
        for seat in seats:
            self._free.put_nowait(seat)

    @property
    def concurrency(self) -> int:
        """How many batches are read at the same time."""
        return len(self._seats)

    @property
    def engine(self) -> wire.EngineReady:
        """What the children said of their engine when they got ready."""
        ready = self._seats[0].ready
        if not isinstance(ready, wire.EngineReady):
            raise ChildError("the engine is not ready")
        return ready

    async def read(self, images: Sequence[PageImage], progress: Progress) -> Sequence[PageResult]:
        """Read pages, in their order; a page that cannot be read comes back as a failed one.

        A batch that fails is read again page by page, each failure in a fresh child, so that a bad
        page takes down nothing but itself. `progress` is called before each step. Raises MachineError.
        """
        seat = await self._free.get()
        try:
            progress()
            try:
                return await _read(seat, images)
            except (ChildError, _EngineError):
                results = []
                for image in images:
                    progress()
                    results.append(await _read_alone(seat, image))
                return results
        finally:
            self._free.put_nowait(seat)


class _EngineError(Exception):
    """The engine raised; its child lives but is not to be trusted."""


async def _read_alone(seat: Seat, image: PageImage) -> PageResult:
    try:
        return (await _read(seat, [image]))[0]
    except ChildTimeoutError as error:
        code, message = Code.ENGINE_TIMEOUT, str(error)
    except ChildError as error:
        code, message = Code.ENGINE_CRASH, str(error)
    except _EngineError as error:
        code, message = Code.ENGINE_ERROR, str(error)
    return failed_page(image.page_number, code, message)


async def _read(seat: Seat, images: Sequence[PageImage]) -> Sequence[PageResult]:
    started = time.monotonic()
    reply = await seat.request(wire.ReadPages(images=tuple(images)), _deadline_s(len(images)))
    engine_s = (time.monotonic() - started) / len(images)
    match reply:
        case wire.PagesRead(pages=texts) if len(texts) == len(images):
            return [_page_result(image, text, engine_s) for image, text in zip(images, texts, strict=True)]
        case wire.Failed(message=message):
            await seat.vacate()
            raise _EngineError(message)
        case _:
            await seat.vacate()
            raise ChildError("the engine did not answer with the pages it was given")


def _page_result(image: PageImage, text: wire.PageText, engine_s: float) -> PageResult:
    warnings: tuple[result.Warning, ...] = ()
    if image.downscaled:
        message = (
            "the page is larger than BUCKET_OCR_MAX_PAGE_PIXELS allows; "
            f"it was read at scale {image.scale:.3g}"
        )
        warnings = (
            result.Warning(code=Code.PAGE_DOWNSCALED, message=message, page_number=image.page_number),
        )
    return PageResult(
        page=result.Page(
            page_number=image.page_number,
            status=Status.SUCCESS,
            width_px=image.width_px,
            height_px=image.height_px,
            scale=image.scale,
            dpi=image.dpi,
            angle=text.angle,
            blocks=text.blocks,
            tables=text.tables,
            formulas=text.formulas,
            markdown=text.markdown,
        ),
        detections=tuple(
            result.Detection(
                text=line.text, box=line.box, confidence=line.confidence, page_number=image.page_number
            )
            for line in text.lines
        ),
        warnings=warnings,
        render_s=image.render_s,
        engine_s=engine_s,
    )
