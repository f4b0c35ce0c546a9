"""Reading pages in engine processes."""

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

from consumer import protocol
from consumer.clock import Watchdog
from consumer.domain.errors import ChildError, Code
from consumer.domain.page import PageImage
from consumer.domain.result import PageResult, failed_page
from consumer.processes.pool import EnginePool, RecyclePolicy
from consumer.processes.process import START_DEADLINE_S, ChildTimeoutError
from consumer.processes.slot import Slot


def longest_step_s(progress_deadline_s: float) -> float:
    """Longest time without progress: a process is started, then it does its first step.

    Processes killed from outside add to it.
    """
    return START_DEADLINE_S + progress_deadline_s


@dataclass(eq=False)
class PageRecognizer:
    """Engine processes, each reading one batch at a time; `watchdog` is marked at each step of each of them.

    `progress_deadline_s`: longest time between two steps, however many pages the batch has.
    """

    slots: Sequence[Slot]
    policy: RecyclePolicy
    progress_deadline_s: float
    watchdog: Watchdog

    def __post_init__(self) -> None:
        self._pool = EnginePool(self.slots, self.policy)

    def running(self) -> AbstractAsyncContextManager[None]:
        """Keep the engines running until the context ends; raises HostError."""
        return self._pool.running()

    @property
    def concurrency(self) -> int:
        """Number of batches that are read at the same time."""
        return len(self.slots)

    @property
    def engine(self) -> protocol.EngineReady:
        """Name, version and models of the engine, as its first process sent them."""
        process = self.slots[0].process
        if process is None or not isinstance(process.ready, protocol.EngineReady):
            raise ChildError("the engine is not ready")
        return process.ready

    async def check(self) -> None:
        """Raise HostError if no engine works and none can be started."""
        self._pool.check()

    async def read(self, images: Sequence[PageImage]) -> Sequence[PageResult]:
        """Read pages, in their order; a page that cannot be read comes back as a failed one.

        A batch that fails is read again page by page in a new process, so that a bad page fails alone. Blocks
        and tables at which the process ends again, or hangs, cost a page no lines. Raises HostError.
        """
        async with self._pool.acquire() as slot:
            self.watchdog.mark()
            can_read_lines_only = _can_read_lines_only(slot)
            try:
                return await self._read(slot, images)
            except (ChildError, _EngineError):
                # The process raised, and is not to be trusted, or is gone already.
                await slot.stop("error")
                results = []
                for image in images:
                    self.watchdog.mark()
                    result = await self._read_alone(slot, image)
                    if result.failure is not None and can_read_lines_only:
                        self.watchdog.mark()
                        lines = await self._read_alone(slot, image, lines_only=True)
                        result = lines if lines.failure is None else result
                    results.append(result)
                return results

    async def _read_alone(self, slot: Slot, image: PageImage, *, lines_only: bool = False) -> PageResult:
        try:
            return (await self._read(slot, [image], lines_only=lines_only))[0]
        except ChildTimeoutError as error:
            code, message = Code.ENGINE_TIMEOUT, str(error)
        except ChildError as error:
            code, message = Code.ENGINE_CRASH, str(error)
        except _EngineError as error:
            # Twice, in two processes: the page is the cause, and this process is as good as another.
            code, message = Code.ENGINE_ERROR, str(error)
        return failed_page(image.page_number, code, message)

    async def _read(
        self, slot: Slot, images: Sequence[PageImage], *, lines_only: bool = False
    ) -> Sequence[PageResult]:
        before_s = slot.busy.total_s
        request = protocol.ReadPages(images=tuple(images), lines_only=lines_only)
        reply = await slot.request(request, self.progress_deadline_s, self.watchdog.mark)
        match reply:
            case protocol.PagesRead(pages=pages, recycle_due=recycle_due):
                if slot.process is not None:
                    slot.process.pages_read += len(images)
                    slot.process.is_recycle_due = recycle_due
                each_s = (slot.busy.total_s - before_s) / len(images)
                return [page.model_copy(update={"engine_s": each_s}) for page in pages]
            case protocol.RequestFailed(message=message):
                raise _EngineError(message)
            case _:
                raise ChildError(f"an engine sent {reply.kind}")


def _can_read_lines_only(slot: Slot) -> bool:
    ready = slot.process.ready if slot.process is not None else None
    return isinstance(ready, protocol.EngineReady) and ready.can_read_lines_only


class _EngineError(Exception):
    """The engine raised; its process lives."""
