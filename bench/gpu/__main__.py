"""Check and measure reading on one GPU, in less than eight minutes; prints one table in Markdown.

    make bench/gpu                                      # in the environment of tests/structure
    make bench/gpu ENGINE_PYTHON=/opt/venv/bin/python   # in one that has onnxruntime-gpu, or paddlepaddle-gpu
    bench/gpu/run.sh FOLDER                             # in one that was unpacked: `unpack.sh`

First the lines are compared with those that ONNX Runtime reads on a processor, page by page: unless 0.99 of
them have the same text, in boxes within 2 pixels, it ends with 1. Then it measures text only (RapidOCR),
blocks and tables (PP-StructureV3), and the whole consumer with a bucket and a queue on this machine. With
`--device cpu --small` it shows that all of that works.
"""

import argparse
import asyncio
import re
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from bench.gpu import agreement, engines, pages, report, through
from bench.gpu.card import Card
from bench.gpu.engines import Measured
from bench.gpu.side_by_side import Bench, Figures
from consumer import logs
from consumer.domain.errors import BucketOcrError

#: Beside the time of a measurement: to start processes.
_START_S: Final = 25.0

_PAGES_PER_DOCUMENT: Final = 16
_PACKAGES: Final = ("onnxruntime-gpu", "onnxruntime", "openvino", "rapidocr", "paddlex", "paddlepaddle-gpu")


@dataclass(frozen=True, slots=True)
class _Sizes:
    """How much is measured.

    `seconds`: of each measurement; `road_s`: of the whole consumer; `page_part`: of each page, from its top.
    """

    processes: Sequence[int] = (1, 2, 4, 8, 16)
    structure_processes: Sequence[int] = (1, 2, 4, 8)
    batches: Sequence[int] = (1, 4, 16, 32)
    batch_pages: int = 8
    seconds: float = 8.0
    road_s: float = 45.0
    checked_pages: int = 4
    page_part: float = 1.0


_SMALL: Final = _Sizes((1,), (1,), (), 2, 0.0, 10.0, 2, 0.25)


def main() -> int:
    """Check and measure once; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--device", type=_device, default="gpu:0", help="or cpu; default: %(default)s")
    parser.add_argument("--small", action="store_true", help="the smallest sizes, as on a processor")
    parser.add_argument("--seconds", type=float, default=450.0, help="for all of it; default: %(default)s")
    parser.add_argument("--pulled", action="store_true", help="models of PP-StructureV3 that were pulled")
    arguments = parser.parse_args()
    logs.configure("json", "error")
    with tempfile.TemporaryDirectory(prefix="bucket-ocr-bench-") as folder:
        run = _Run(
            arguments.device,
            Path(folder),
            _SMALL if arguments.small else _Sizes(),
            time.monotonic() + arguments.seconds,
            engines.structure_as_set if arguments.pulled else engines.structure,
        )
        try:
            return asyncio.run(run.all())
        except BucketOcrError as error:
            print(f"not measured: {error}", file=sys.stderr)
            return 1


def _device(text: str) -> str:
    if not re.fullmatch(r"cpu|gpu:\d+", text):
        raise argparse.ArgumentTypeError("must be cpu, or gpu:0 and the like")
    return text


@dataclass
class _Run:
    device: str
    folder: Path
    sizes: _Sizes
    end_s: float
    new_structure: Callable[[str, Path], Measured]
    rows: list[list[str]] = field(default_factory=list)

    async def all(self) -> int:
        """Check, measure, print."""
        card = Card(self.device)
        most = max((self.sizes.batch_pages, self.sizes.checked_pages, *self.sizes.batches))
        images = pages.rendered(self.folder, most, self.sizes.page_part)
        text = Bench(engines.text_only(self.device), card, images)
        print(f"{card.name}; {', '.join(_versions())}\n", flush=True)
        if not await self._is_right(text):
            return 1
        best = await self._text(text)
        if find_spec("paddlex") is None:
            self.rows.append(report.not_measured("structure", "PaddleX is not installed"))
        else:
            structure = Bench(self.new_structure(self.device, self.folder), card, images)
            await self._processes("structure", structure, self.sizes.structure_processes)
        self._road(best)
        print(report.table(self.rows))
        return 0

    async def _is_right(self, text: Bench) -> bool:
        """Compare what is read with a processor's: only the same arithmetic must agree."""
        checked = text.images[: self.sizes.checked_pages]
        same = await agreement.compared(text.engine, engines.on_processor("onnxruntime"), checked)
        print(f"Against ONNX Runtime on a processor, page by page: {same}.", flush=True)
        other = await agreement.compared(text.engine, engines.on_processor("openvino"), checked)
        print(f"Against OpenVINO on a processor, as the consumer reads there: {other}.\n", flush=True)
        return same.is_good

    async def _text(self, text: Bench) -> Figures:
        """Measure processes, then batches with the best number of these; returns the best of the first."""
        figures = await self._processes("text only", text, self.sizes.processes)
        best = max(figures, key=lambda each: each.pages_per_s)
        for batch_pages in self.sizes.batches:
            if self._is_time_for("text only", f"{best.processes} processes, batches of {batch_pages}"):
                again = await text.measure(best.processes, batch_pages, self.sizes.seconds)
                self._add("text only", again, figures[0])
        return best

    async def _processes(self, what: str, bench: Bench, counts: Sequence[int]) -> list[Figures]:
        """Measure so many processes side by side, until they no longer fit; the first number must."""
        measured: list[Figures] = []
        for processes in counts:
            if measured and not self._is_time_for(what, f"{processes} processes"):
                break
            try:
                figures = await bench.measure(processes, self.sizes.batch_pages, self.sizes.seconds)
            except BucketOcrError as error:
                if not measured:
                    raise
                self.rows.append(report.not_measured(f"{what}, {processes} processes", str(error)))
                break
            measured.append(figures)
            self._add(what, figures, measured[0])
            if figures.failed:
                # More processes will not fit either.
                break
        return measured

    def _road(self, best: Figures) -> None:
        """Measure the whole consumer, with as many documents as it should read in the time for it."""
        if not self._is_time_for("whole consumer", "text only", self.sizes.road_s):
            return
        expected = best.pages_per_s * self.sizes.road_s / 2
        pages_each = min(_PAGES_PER_DOCUMENT, max(1, int(expected)))
        documents = max(2, int(expected / pages_each))
        settings = {"DEVICE": self.device, "LAYOUT": "none", "ENGINE_WORKERS": best.processes}
        with through.storage(self.folder) as variables:
            road = through.measure(variables, settings, documents, pages_each, self.end_s - time.monotonic())
        self.rows.append(report.row_of_road(road))

    def _is_time_for(self, what: str, sizes: str, seconds: float | None = None) -> bool:
        needed_s = _START_S + (self.sizes.seconds if seconds is None else seconds)
        if time.monotonic() + needed_s < self.end_s:
            return True
        self.rows.append(report.not_measured(f"{what}, {sizes}", "no time was left"))
        return False

    def _add(self, what: str, figures: Figures, one: Figures) -> None:
        self.rows.append(report.row(what, figures, one))
        print(" | ".join(self.rows[-1]), file=sys.stderr, flush=True)


def _versions() -> Iterator[str]:
    for package in ("bucket-ocr", *_PACKAGES):
        with suppress(PackageNotFoundError):
            yield f"{package} {version(package)}"


if __name__ == "__main__":
    sys.exit(main())
