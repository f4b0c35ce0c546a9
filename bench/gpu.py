"""PP-StructureV3 on one GPU: pages a second and memory, for 1, 2, 4 and 8 processes side by side.

    make bench/gpu                                      # in the environment of tests/structure
    make bench/gpu ENGINE_PYTHON=/opt/venv/bin/python   # in one that has paddlepaddle-gpu

Settings are the consumer's: BUCKET_OCR_PIPELINE_CONFIG, BUCKET_OCR_ENGINE_RUNTIME, BUCKET_OCR_BATCH_PAGES.
The models must be pulled (`bucket-ocr models pull`), except with --zoo: then onnxruntime reads with the small
text models of rapidocr's wheel, and `--device cpu --processes 1 2` shows that the measurement works.
The pages are those of the sample report, repeated. A number of processes that does not fit ends the run.
"""

import argparse
import asyncio
import json
import os
import re
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pymupdf

from consumer import logs, protocol, settings
from consumer.clock import SystemClock, Watchdog
from consumer.domain.errors import BucketOcrError
from consumer.domain.page import PageImage
from consumer.domain.result import PageResult, Status
from consumer.engines import ENGINES
from consumer.processes import gpus, host
from consumer.processes.capacity import share_processors
from consumer.processes.pool import RecyclePolicy
from consumer.processes.process import ProcessSpec
from consumer.processes.recognizer import PageRecognizer
from consumer.processes.slot import Slot
from tests.page_images import bgr, stored

_SAMPLE = Path(__file__).resolve().parents[1] / "tests" / "samples" / "report.pdf"
_SCALE = 2.0
_ENGINE = ENGINES["pp-structurev3"]
#: Nothing is replaced while it is measured.
_POLICY = RecyclePolicy(pages=10**9, resident_bytes=10**12)
_CHECK_S = 0.2

Figures = dict[str, Any]


def main() -> int:
    """Measure once; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument(
        "--device", type=_device, default="gpu:0", help="cpu, or one GPU; default: %(default)s"
    )
    parser.add_argument("--processes", type=int, nargs="+", default=[1, 2, 4, 8], help="default: 1 2 4 8")
    parser.add_argument("--batches", type=int, default=12, help="for each process; default: %(default)s")
    parser.add_argument("--zoo", action="store_true", help="small text models, if there are no others")
    arguments = parser.parse_args()
    logs.configure("json", "error")
    with tempfile.TemporaryDirectory(prefix="bucket-ocr-bench-") as folder:
        try:
            asyncio.run(_measure(arguments, _options(arguments, Path(folder)), Path(folder)))
        except BucketOcrError as error:
            print(f"not measured: {error}", file=sys.stderr)
            return 1
    return 0


def _device(text: str) -> str:
    if not re.fullmatch(r"cpu|gpu:\d+", text):
        raise argparse.ArgumentTypeError("must be cpu, or gpu:0 and the like")
    return text


def _options(arguments: argparse.Namespace, folder: Path) -> protocol.PpStructureOptions:
    chosen = settings.load(settings.EngineSettings)
    pipeline = chosen.pipeline_config
    runtime: Any = None if chosen.engine_runtime == "auto" else chosen.engine_runtime
    if arguments.zoo:
        from tests.structure.zoo import Zoo  # noqa: PLC0415 - it needs the environment of tests/structure

        zoo = Zoo(folder / "zoo")
        zoo.layout()
        os.environ["PADDLE_PDX_CACHE_HOME"] = str(zoo.home)
        pipeline, runtime = str(zoo.pipeline()), "onnxruntime"
    batch_pages = int(os.environ.get("BUCKET_OCR_BATCH_PAGES") or (1 if arguments.device == "cpu" else 8))
    return protocol.PpStructureOptions(
        threads=1,
        device=arguments.device,
        cuda_name=next((gpu.cuda_name for gpu in gpus.chosen(arguments.device)), None),
        scratch=str(folder),
        pipeline=pipeline,
        runtime=runtime,
        batch_pages=batch_pages,
        scale=_SCALE,
        max_page_pixels=40_000_000,
    )


async def _measure(arguments: argparse.Namespace, options: protocol.PpStructureOptions, folder: Path) -> None:
    images = _pages(folder)
    one: float | None = None
    for processes in arguments.processes:
        figures = await _read(processes, arguments.batches, options, images)
        one = one or figures["pages_per_s"] / processes
        print(json.dumps(figures | {"times_one": round(figures["pages_per_s"] / one, 2)}), flush=True)
        if figures["failed"]:
            # More processes will not fit either.
            break


async def _read(
    processes: int, batches: int, options: protocol.PpStructureOptions, images: Sequence[PageImage]
) -> Figures:
    """Read so many batches with each process, all at the same time."""
    free_bytes = _free_bytes(options.device)
    shares = share_processors(host.processors(), host.cpu_quota(), processes)
    slots = [
        Slot(
            ProcessSpec(
                _ENGINE.name,
                _ENGINE.entry,
                options.model_copy(update={"threads": share.threads, "cpus": share.cpus}),
                retired_bytes=10**12,
                killed_bytes=10**12,
            )
        )
        for share in shares
    ]
    batch = [images[n % len(images)] for n in range(options.batch_pages)]
    pool = PageRecognizer(slots, _POLICY, _ENGINE.progress_deadline_s, Watchdog(SystemClock()))
    began = time.monotonic()
    async with pool.running(), asyncio.TaskGroup() as group:
        start_s, began = time.monotonic() - began, time.monotonic()
        work = [group.create_task(_batches(pool, batch, batches), name=f"read {n}") for n in range(processes)]
        least_free_bytes, resident_bytes = free_bytes, 0
        while (await asyncio.wait(work, timeout=_CHECK_S))[1]:
            least_free_bytes = min(least_free_bytes, _free_bytes(options.device))
            held_bytes = [slot.process.resident_bytes for slot in slots if slot.process]
            resident_bytes = max([resident_bytes, *held_bytes])
        wall_s = time.monotonic() - began
    pages = [page for task in work for page in task.result()]
    good = sum(page.page.status is Status.SUCCESS for page in pages)
    return {
        "processes": processes,
        "pages": good,
        "failed": len(pages) - good,
        "pages_per_s": round(good / wall_s, 3),
        "gpu_bytes_each": (free_bytes - least_free_bytes) // processes,
        "resident_bytes_each": resident_bytes,
        "start_s": round(start_s, 1),
    }


async def _batches(pool: PageRecognizer, batch: Sequence[PageImage], count: int) -> list[PageResult]:
    return [page for _ in range(count) for page in await pool.read(batch)]


def _free_bytes(device: str) -> int:
    return sum(gpu.free_bytes for gpu in gpus.chosen(device))


def _pages(folder: Path) -> list[PageImage]:
    """Render the sample, as the consumer would."""
    matrix = pymupdf.Matrix(_SCALE, _SCALE)
    with pymupdf.open(_SAMPLE) as document:
        return [
            stored(
                bgr(page.get_pixmap(matrix=matrix)),
                folder / f"{number}.bgr",
                number,
                scale=_SCALE,
                dpi=72 * _SCALE,
            )
            for number, page in enumerate(document, 1)
        ]


if __name__ == "__main__":
    sys.exit(main())
