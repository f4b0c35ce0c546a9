"""Whether a device reads what a processor reads: the text of the lines, and their boxes."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from bench.gpu.engines import Measured
from consumer.clock import SystemClock, Watchdog
from consumer.domain.page import PageImage
from consumer.domain.result import Detection, PageResult
from consumer.processes.pool import RecyclePolicy
from consumer.processes.process import ProcessSpec
from consumer.processes.recognizer import PageRecognizer
from consumer.processes.slot import Slot
from consumer.protocol import EngineOptions

#: So much of the lines has the same text, in boxes that are no more than this apart.
LEAST_SHARE: Final = 0.99
MOST_PX: Final = 2.0


@dataclass(frozen=True, slots=True)
class Agreement:
    """`lines`: that the processor read.

    `same`: that the device read alike; `most_px`: between their corners.
    """

    lines: int
    same: int
    most_px: float

    @property
    def is_good(self) -> bool:
        """Whether the device may be used."""
        return self.lines > 0 and self.same >= LEAST_SHARE * self.lines and self.most_px <= MOST_PX

    def __str__(self) -> str:
        return f"{self.same} of {self.lines} lines alike, boxes at most {self.most_px:.2f} px apart"


async def compared(engine: Measured, reference: EngineOptions, images: Sequence[PageImage]) -> Agreement:
    """Read pages at once on the device, and one by one with other options of the same engine."""
    expected = await _read(engine, reference, images)
    found = await _read(engine, engine.options(len(images)), images)
    alike = [pair for both in zip(expected, found, strict=True) for pair in pairs(*both)]
    lines = sum(len(page.detections) for page in expected)
    return Agreement(lines, len(alike), max((apart_px(*pair) for pair in alike), default=0.0))


async def _read(
    engine: Measured, options: EngineOptions, images: Sequence[PageImage]
) -> Sequence[PageResult]:
    slot = Slot(
        ProcessSpec(engine.name, engine.spec.entry, options, retired_bytes=10**12, killed_bytes=10**12)
    )
    policy = RecyclePolicy(pages=10**9, resident_bytes=10**12)
    recognizer = PageRecognizer([slot], policy, engine.spec.progress_deadline_s, Watchdog(SystemClock()))
    async with recognizer.running():
        if options.batch_pages >= len(images):
            return await recognizer.read(images)
        return [page for image in images for page in await recognizer.read([image])]


def pairs(expected: PageResult, found: PageResult) -> list[tuple[Detection, Detection]]:
    """Return the lines of the same text, each with the nearest one that is left."""
    left = list(found.detections)
    taken = []
    for line in expected.detections:
        alike = [each for each in left if each.text == line.text]
        if alike:
            nearest = min(alike, key=lambda each: apart_px(line, each))
            left.remove(nearest)
            taken.append((line, nearest))
    return taken


def apart_px(one: Detection, other: Detection) -> float:
    """Return the greatest distance of a corner from that of the other, along an axis."""
    corners = zip(one.box, other.box, strict=True)
    return float(max(max(abs(a[0] - b[0]), abs(a[1] - b[1])) for a, b in corners))
