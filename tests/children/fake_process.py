"""Slots whose processes follow a script instead of running: for the decisions round them."""

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path

from consumer import protocol
from consumer.domain.errors import HostError
from consumer.processes.process import ProcessSpec, WorkerProcess
from consumer.processes.slot import Slot
from tests.fakes import page_image

SPEC = ProcessSpec(
    "fake", "nowhere:build", protocol.EngineOptions(threads=1), retired_bytes=10**9, killed_bytes=10**9
)

#: Of each page, the next outcomes: an error to raise or a reply; 0 is the opening of a document.
Script = Mapping[int, list[Exception | protocol.Reply]]


class FakeProcess(WorkerProcess):
    """Answers as the script of its slot says."""

    def __init__(self, slot: "FakeSlot") -> None:
        self.ready = protocol.EngineReady(name="fake", version="1", models={}, device="cpu")
        self.held_bytes = 100
        self.has_ended = False
        self._slot = slot

    @property
    def pid(self) -> int:
        return 0

    @property
    def is_alive(self) -> bool:
        return not self.has_ended

    @property
    def resident_bytes(self) -> int:
        return self.held_bytes

    async def request(
        self, message: protocol.Request, deadline_s: float, on_progress: Callable[[], None] | None = None
    ) -> protocol.Reply:
        return self._slot.answer(message)

    async def kill(self) -> None:
        self.has_ended = True


class FakeSlot(Slot):
    """A slot that starts fake processes while `may_start` is set, or fails to with `failure`."""

    def __init__(self, script: Script | None = None, page_count: int = 3) -> None:
        super().__init__(SPEC, self._start_fake)
        self.script = script or {}
        self.page_count = page_count
        self.requests: list[list[int]] = []
        self.started: list[FakeProcess] = []
        self.starting = asyncio.Event()
        self.may_start = asyncio.Event()
        self.may_start.set()
        self.failure: HostError | None = None

    @property
    def running(self) -> FakeProcess:
        """The process that runs now."""
        assert isinstance(self.process, FakeProcess)
        return self.process

    async def _start_fake(self, _: ProcessSpec) -> WorkerProcess:
        self.starting.set()
        if self.failure is not None:
            raise self.failure
        await self.may_start.wait()
        self.started.append(FakeProcess(self))
        return self.started[-1]

    def answer(self, message: protocol.Request) -> protocol.Reply:
        """Answer the next step of the script for the first page that has one, or as a good process does."""
        reply: protocol.Reply
        match message:
            case protocol.ReadPages(images=images):
                numbers = [image.page_number for image in images]
                reply = protocol.PagesRead(pages=tuple(image.result([]) for image in images))
            case protocol.RenderPage(page_number=number, image_path=image_path):
                Path(image_path).write_bytes(b"pixels")
                numbers, reply = [number], page_image(number, Path(image_path))
            case protocol.OpenDocument():
                numbers, reply = [0], protocol.DocumentOpened(page_count=self.page_count)
        self.requests.append(numbers)
        step = next((steps.pop(0) for number in numbers if (steps := self.script.get(number))), reply)
        if isinstance(step, Exception):
            raise step
        return step
