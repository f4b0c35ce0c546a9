"""Reading pages in engine children."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Final

import structlog

from consumer import protocol
from consumer.domain import result
from consumer.domain.errors import ChildError, Code
from consumer.domain.page import PageImage
from consumer.domain.result import PageResult, Status, failed_page
from consumer.processes.pool import EnginePool, RecyclePolicy
from consumer.processes.process import START_DEADLINE_S, ChildTimeoutError
from consumer.processes.slot import Slot

#: So many pages, of which not all are the worst there are, may take as long as one that is. Where they do
#: take longer, each is read alone, and has the time for itself.
_PAGES_LIKE_ONE: Final = 8

#: How often it is logged how busy the engines are.
_REPORT_S: Final = 60.0

log = structlog.get_logger(__name__)


def longest_step_s(page_deadline_s: float, batch_pages: int) -> float:
    """Longest time without a sign of progress: a child is started, then it reads a full batch.

    Unless somebody kills it amid that, and the next one too.
    """
    return START_DEADLINE_S + _deadline_s(page_deadline_s, batch_pages)


def _deadline_s(page_deadline_s: float, pages: int) -> float:
    return page_deadline_s * max(1.0, pages / _PAGES_LIKE_ONE)


class PageRecognizer:
    """Engine children, each reading one batch at a time; `page_deadline_s`: longest time for one page."""

    def __init__(self, slots: Sequence[Slot], recycling: RecyclePolicy, page_deadline_s: float) -> None:
        self._slots = slots
        self._engines = EnginePool(slots, recycling)
        self._page_deadline_s = page_deadline_s
        self._pages = 0

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Keep the engines running as long as the context lasts; raises MachineError."""
        async with self._engines.running(), asyncio.TaskGroup() as group:
            report = group.create_task(self._report(), name="report on engines")
            yield
            report.cancel()

    @property
    def concurrency(self) -> int:
        """How many batches are read at the same time."""
        return len(self._slots)

    @property
    def engine(self) -> protocol.EngineReady:
        """What the first child said of its engine when it got ready."""
        child = self._slots[0].child
        if child is None or not isinstance(child.ready, protocol.EngineReady):
            raise ChildError("the engine is not ready")
        return child.ready

    async def check(self) -> None:
        """Raise MachineError where no engine works and none can be started."""
        self._engines.check()

    async def read(self, images: Sequence[PageImage]) -> Sequence[PageResult]:
        """Read pages, in their order; a page that cannot be read comes back as a failed one.

        A batch that fails is read again page by page in a fresh child, so that a bad page takes down
        nothing but itself. `progress` is called before each step. Raises MachineError.
        """
        async with self._engines.acquire() as slot:
            try:
                return await self._read(slot, images)
            except (ChildError, _EngineError):
                # It raised, and is not to be trusted, or is gone already.
                await slot.stop("error")
                results = []
                for image in images:
                    results.append(await self._read_alone(slot, image))
                return results

    async def _read_alone(self, slot: Slot, image: PageImage) -> PageResult:
        try:
            return (await self._read(slot, [image]))[0]
        except ChildTimeoutError as error:
            code, message = Code.ENGINE_TIMEOUT, str(error)
        except ChildError as error:
            code, message = Code.ENGINE_CRASH, str(error)
        except _EngineError as error:
            # Twice, in two processes: it is the page, and this process is as good as another.
            code, message = Code.ENGINE_ERROR, str(error)
        return failed_page(image.page_number, code, message)

    async def _read(self, slot: Slot, images: Sequence[PageImage]) -> Sequence[PageResult]:
        deadline_s = _deadline_s(self._page_deadline_s, len(images))
        before_s = slot.busy.total_s
        reply = await slot.request(protocol.ReadPages(images=tuple(images)), deadline_s)
        engine_s = slot.busy.total_s - before_s
        match reply:
            case protocol.PagesRead(pages=texts, recycle_due=recycle_due):
                if slot.child is not None:
                    slot.child.pages_read += len(images)
                    slot.child.is_recycle_due = recycle_due
                self._pages += len(images)
                each_s = engine_s / len(images)
                return [_page_result(image, text, each_s) for image, text in zip(images, texts, strict=True)]
            case protocol.RequestFailed(message=message):
                raise _EngineError(message)
            case _:
                raise ChildError(f"an engine answered with {reply.kind}")

    async def _report(self) -> None:
        """Log, from time to time, how busy the engines were since the last time, if they were at all."""
        while True:
            busy_s, pages, replacements = self._busy_s(), self._pages, self._lost()
            started = time.monotonic()
            await asyncio.sleep(_REPORT_S)
            if (read := self._pages - pages) or self._lost() != replacements:
                whole_s = self.concurrency * (time.monotonic() - started)
                log.info(
                    "engines",
                    pages=read,
                    busy=round((self._busy_s() - busy_s) / whole_s, 3),
                    resident_bytes=[slot.child.resident_bytes if slot.child else 0 for slot in self._slots],
                    replaced=dict(self._lost() - replacements),
                )

    def _busy_s(self) -> float:
        return sum(slot.busy.total_s for slot in self._slots)

    def _lost(self) -> Counter[str]:
        return sum((slot.replacements for slot in self._slots), Counter())


class _EngineError(Exception):
    """The engine raised; its child lives."""


def _page_result(image: PageImage, text: protocol.PageContent, engine_s: float) -> PageResult:
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
            width_px=text.dewarped.width_px if text.dewarped else image.width_px,
            height_px=text.dewarped.height_px if text.dewarped else image.height_px,
            scale=image.scale,
            dpi=image.dpi,
            angle=text.angle,
            blocks=text.blocks,
            tables=text.tables,
            formulas=text.formulas,
            markdown=text.markdown,
            flattened_image=text.dewarped.image if text.dewarped else None,
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
