"""Reads pages of the sweep in engine processes, as the consumer does, and counts the words that were read."""

import asyncio
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

import cv2
import numpy as np

from consumer.clock import SystemClock, Watchdog
from consumer.domain.errors import Code
from consumer.domain.page import POINTS_PER_INCH, PageImage
from consumer.domain.result import PageResult
from consumer.processes.layout import ProcessLayout
from consumer.processes.recognizer import PageRecognizer
from consumer.settings import Settings
from tests.page_images import stored
from tests.reading.sheets import RENDERED_DPI, Sheet, Typeset, draw, typeset

#: A page with a lower share of its words is below what was promised.
LEAST_RECALL: Final = 0.97
#: A page with a lower share must have a warning.
LEAST_SILENT_RECALL: Final = 0.9


@dataclass(frozen=True, slots=True)
class Score:
    """How well a page was read.

    `recall`: the share of its words that were read exactly, or that of its stamp's, if lower; a word that
    stands there twice must be read twice. `lost`: the others. `seconds`: of the engine.
    """

    sheet: Sheet
    recall: float
    lost: tuple[str, ...]
    warnings: tuple[Code, ...]
    seconds: float

    @classmethod
    def of(cls, sheet: Sheet, text: Typeset, result: PageResult) -> Self:
        """Compare what was read with what stands on the page."""
        found = _words(line.text for line in result.detections)
        page, stamp = _words(text.lines), _words(text.stamp)
        lost, lost_of_stamp = page + stamp - found, stamp - (found - page)
        recall = min(_share(lost, page + stamp), _share(lost_of_stamp, stamp))
        warnings = tuple(warning.code for warning in result.warnings)
        return cls(sheet, recall, tuple(lost.elements()), warnings, result.engine_s)

    @property
    def is_below(self) -> bool:
        """Whether more of the page is lost than was promised."""
        return self.recall < LEAST_RECALL

    @property
    def is_silent_loss(self) -> bool:
        """Whether much of the page is lost, and no warning says so."""
        return self.recall < LEAST_SILENT_RECALL and not self.warnings

    def __str__(self) -> str:
        said = ", ".join(self.warnings) or "no warning"
        return f"{self.recall:.3f} {self.sheet.name} ({said}): {' '.join(self.lost[:12])}"


def _words(lines: Iterable[str]) -> Counter[str]:
    return Counter(" ".join(lines).split())


def _share(lost: Counter[str], words: Counter[str]) -> float:
    return 1 - lost.total() / max(1, words.total())


async def read_all(sheets: Iterable[Sheet], folder: Path) -> list[Score]:
    """Read pages in as many engine processes as the consumer would start; `folder` is for their images."""
    layout = ProcessLayout.of(Settings(queue_url="none", engine="rapidocr"), folder)
    recognizer = PageRecognizer(
        layout.engines, layout.recycle_policy, layout.engine.progress_deadline_s, Watchdog(SystemClock())
    )
    # A page is drawn while others are read, but no more than that: all of them take gigabytes.
    places = asyncio.Semaphore(2 * recognizer.concurrency)

    async def read(number: int, sheet: Sheet) -> Score:
        async with places:
            text = typeset(sheet)
            image = _stored(text, sheet, number, folder)
            try:
                (result,) = await recognizer.read([image])
            finally:
                Path(image.path).unlink()
            return Score.of(sheet, text, result)

    async with recognizer.running():
        return list(await asyncio.gather(*(read(n, sheet) for n, sheet in enumerate(sheets, 1))))


def _stored(text: Typeset, sheet: Sheet, number: int, folder: Path) -> PageImage:
    """Store a page for an engine: one of 144 dpi as a page of a PDF, others as scans."""
    pixels = np.asarray(cv2.cvtColor(draw(text.document[0], sheet), cv2.COLOR_GRAY2BGR), np.uint8)
    path = folder / f"{number}.bgr"
    if sheet.dpi != RENDERED_DPI:
        return stored(pixels, path, number)
    return stored(pixels, path, number, scale=sheet.dpi / POINTS_PER_INCH, dpi=sheet.dpi)


def table(scores: Sequence[Score]) -> str:
    """Recall and time by kind of page, as a table in Markdown, and all of them in its last row."""
    kinds: dict[str, list[Score]] = {}
    for score in scores:
        kinds.setdefault(score.sheet.kind, []).append(score)
    head = f"| pages | number | least recall | mean | below {LEAST_RECALL} | silent loss | seconds a page |"
    rows = [_row(kind, of_kind) for kind, of_kind in [*kinds.items(), ("all", scores)]]
    return "\n".join([head, "|---|" + "---:|" * 6, *rows])


def _row(kind: str, scores: Sequence[Score]) -> str:
    number = len(scores)
    recalls = [score.recall for score in scores]
    below, silent = sum(score.is_below for score in scores), sum(score.is_silent_loss for score in scores)
    figures = f"{min(recalls):.3f} | {sum(recalls) / number:.4f} | {below} | {silent}"
    return f"| {kind} | {number} | {figures} | {sum(score.seconds for score in scores) / number:.2f} |"
