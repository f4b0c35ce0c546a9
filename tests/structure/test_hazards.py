"""Side effects of PaddleOCR on its process, and on pages, cost no document."""

import asyncio
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from consumer import protocol
from consumer.child import serve
from consumer.child.ppstructure.engine import PpStructureEngine
from consumer.child.sandbox.walls import Walls
from consumer.clock import SystemClock, Watchdog
from consumer.domain.errors import Code, HostError, SettingsError
from consumer.domain.result import Status
from consumer.engines import ENGINES
from consumer.models.config import PipelineConfig
from consumer.processes.pool import RecyclePolicy
from consumer.processes.process import NO_SANDBOX, ProcessSpec
from consumer.processes.recognizer import PageRecognizer
from consumer.processes.slot import Slot
from tests.page_images import stored
from tests.structure import paddle_zoo
from tests.structure.conftest import NewEngine, NewZoo
from tests.structure.engine import options, texts, written
from tests.structure.zoo import DETECTION, Box

DEADLINE_S = 300.0
ENGINE_BYTES = 8 * 1024**3


def slot(process: protocol.PpStructureOptions) -> Slot:
    entry = ENGINES["pp-structurev3"].entry
    return Slot(ProcessSpec("engine", entry, process, ENGINE_BYTES, ENGINE_BYTES))


async def test_a_page_that_makes_its_batch_fail_costs_itself_alone(new_zoo: NewZoo, tmp_path: Path) -> None:
    """The pages before it in the batch are lost to an exception too, and are read again."""
    zoo = new_zoo()
    zoo.layout(fails_at_px=500)
    engine = slot(options(zoo.pipeline(), batch_pages=3))
    watchdog = Watchdog(SystemClock())
    pool = PageRecognizer([engine], RecyclePolicy(1000, ENGINE_BYTES), DEADLINE_S, watchdog)
    pages = [written("First"), written("Bad", width=500), written("Third")]
    images = [stored(page, tmp_path / f"{n}.bgr", n) for n, page in enumerate(pages, 1)]
    async with pool.running():
        first, bad, third = await pool.read(images)
        again = await pool.read([images[0]])
    assert [read.detections[0].text for read in (first, third, *again)] == ["First", "Third", "First"]
    assert bad.page.status is Status.FAILURE
    assert bad.warnings[0].code is Code.ENGINE_ERROR
    assert engine.replacements["error"] == 1


def test_every_run_of_a_network_is_progress_and_so_is_every_page(
    new_zoo: NewZoo, new_engine: NewEngine
) -> None:
    """A batch of dense pages takes minutes, and its pages are all but read before the first result."""
    steps: list[int] = []
    engine = new_engine(new_zoo().pipeline(), batch_pages=2)
    pages = engine.read(written("One", "Two"), written("Three"), progress=lambda: steps.append(1))
    assert [texts(page) for page in pages] == [["one", "two"], ["three"]]
    # Layout, detection, every line alone on a processor, and both pages.
    assert len(steps) >= 1 + 1 + 3 + 2


@pytest.fixture
def paddle_pipeline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PADDLE_PDX_CACHE_HOME", str(tmp_path / "paddle"))
    return paddle_zoo.build(tmp_path / "paddle")


async def test_paddle_itself_reads_and_signals_to_its_process_end_nothing(
    paddle_pipeline: Path, tmp_path: Path
) -> None:
    """Paddle takes SIGTERM for itself, and aborts; a service manager sends it to every process."""
    engine = slot(options(paddle_pipeline, "paddle"))
    page = np.full((1000, 800, 3), 255, np.uint8)
    page[100:140, 100:300] = 0
    request = protocol.ReadPages(images=(stored(page, tmp_path / "page.bgr"),))
    await engine.start()
    try:
        assert engine.process is not None
        pid = engine.process.pid
        before = await engine.request(request, DEADLINE_S)
        for number in (signal.SIGTERM, signal.SIGINT):
            os.kill(pid, number)
        after = await engine.request(request, DEADLINE_S)
        assert engine.process is not None
        assert engine.process.pid == pid
    finally:
        await engine.stop("stopped")
    assert before == after
    assert isinstance(after, protocol.PagesRead)
    (result,) = after.pages
    assert [line.text for line in result.detections] == [paddle_zoo.WORD]
    assert [(block.label, block.box) for block in result.page.blocks] == [("text", (80, 50, 720, 950))]
    xs, ys = zip(*result.detections[0].box, strict=True)
    assert min(xs) <= 100
    assert max(xs) >= 300
    assert min(ys) <= 100
    assert max(ys) >= 140


async def test_paddle_on_a_gpu_never_falls_back_to_the_processor(paddle_pipeline: Path) -> None:
    with pytest.raises(HostError, match=r"installed for CPUs only: install paddlepaddle-gpu"):
        await slot(options(paddle_pipeline, "paddle", device="gpu:0", cuda_name="0")).start()


async def test_onnxruntime_on_a_gpu_never_falls_back_to_the_processor(new_zoo: NewZoo) -> None:
    with pytest.raises(HostError, match=r"installed without CUDA: install onnxruntime-gpu"):
        await slot(options(new_zoo().pipeline(), device="gpu:0", cuda_name="0")).start()


async def test_a_model_that_cannot_be_loaded_is_one_line_with_a_remedy(new_zoo: NewZoo) -> None:
    zoo = new_zoo()
    (zoo.folder(DETECTION) / "inference.onnx").write_bytes(b"no network")
    with pytest.raises(
        HostError, match=r"cannot be built .*PP-OCRv6_small_det.*bucket-ocr models verify"
    ) as refused:
        await slot(options(zoo.pipeline())).start()
    assert "\n" not in str(refused.value)


def test_onnxruntime_needs_no_paddle(new_zoo: NewZoo, new_engine: NewEngine) -> None:
    assert texts(new_engine(new_zoo().pipeline()).read_one(written("Alone"))) == ["alone"]
    assert "paddle" not in sys.modules


def test_where_no_block_is_found_every_line_is_one(new_zoo: NewZoo, new_engine: NewEngine) -> None:
    read = new_engine(new_zoo().pipeline()).read_one(written("First line", "Second line"))
    assert texts(read) == ["firstline", "secondline"]
    assert [block.label for block in read.page.blocks] == ["text", "text"]
    assert [block.confidence for block in read.page.blocks] == [line.confidence for line in read.detections]


def test_lines_outside_every_block_stay(new_zoo: NewZoo, new_engine: NewEngine) -> None:
    zoo = new_zoo()
    zoo.layout(Box("text", 0.0, 0.0, 1.0, 0.2))
    read = new_engine(zoo.pipeline()).read_one(written("In a block", "In none"))
    assert texts(read) == ["inablock", "innone"]
    assert len(read.page.blocks) == 1


def test_an_image_that_is_no_page_is_an_error_of_that_page(new_zoo: NewZoo, tmp_path: Path) -> None:
    """Grey or transparent pixels, or too few, never reach the engine: a page is rows of BGR."""
    config = new_zoo().pipeline()
    image = stored(np.zeros((10, 10), np.uint8), tmp_path / "page.bgr")
    engine = fake(config, lambda pages: iter(()))
    with pytest.raises(ValueError, match="reshape"):
        engine.handle(protocol.ReadPages(images=(image,)), lambda: None)


class FakeStructure:
    """In the place of PPStructureV3; `answer` is given the pages."""

    def __init__(self, answer: Any, threads: list[int]) -> None:
        self._answer = answer
        self._threads = threads
        threads.append(threading.get_ident())

    def predict_iter(self, pages: list[Any], **_: Any) -> Iterator[Any]:
        self._threads.append(threading.get_ident())
        found: Iterator[Any] = self._answer(pages)
        return found


def fake(config: Path, answer: Any, threads: list[int] | None = None) -> Any:
    chosen = options(config)
    pipeline = PipelineConfig.load(chosen.pipeline, chosen.runtime, chosen.device)
    return PpStructureEngine(
        chosen, pipeline, lambda **_: FakeStructure(answer, [] if threads is None else threads)
    )


def test_results_that_end_early_are_an_error_and_no_empty_page(new_zoo: NewZoo, tmp_path: Path) -> None:
    engine = fake(new_zoo().pipeline(), lambda pages: iter(()))
    image = stored(written("Lost"), tmp_path / "page.bgr")
    with pytest.raises(RuntimeError, match="0 results for 1 pages"):
        engine.handle(protocol.ReadPages(images=(image,)), lambda: None)


def test_an_error_in_the_place_of_a_result_is_raised(new_zoo: NewZoo, tmp_path: Path) -> None:
    engine = fake(new_zoo().pipeline(), lambda pages: iter([{"error": "not initialized"}]))
    image = stored(written("Lost"), tmp_path / "page.bgr")
    with pytest.raises(RuntimeError, match="not initialized"):
        engine.handle(protocol.ReadPages(images=(image,)), lambda: None)


@pytest.mark.parametrize(
    ("message", "end"),
    [
        ("Out of memory error on GPU 0. Cannot allocate 2.0GB memory on GPU 0", MemoryError),
        ("CUDA error(700), an illegal memory access was encountered.", SystemExit),
        ("something about the page", RuntimeError),
    ],
)
def test_a_gpu_that_is_full_or_lost_ends_the_process(
    message: str, end: type[BaseException], new_zoo: NewZoo, tmp_path: Path
) -> None:
    def fails(_pages: Any) -> Iterator[Any]:
        raise RuntimeError(message)

    engine = fake(new_zoo().pipeline(), fails)
    image = stored(written("Big"), tmp_path / "page.bgr")
    with pytest.raises(end):
        engine.handle(protocol.ReadPages(images=(image,)), lambda: None)


@pytest.mark.parametrize(
    ("message", "remedy"),
    [
        ("ResourceExhaustedError: Out of memory error on GPU 0.", "lower BUCKET_OCR_ENGINE_WORKERS"),
        ("CUDA error(804), forward compatibility was attempted.", "check nvidia-smi"),
        ("some file is odd", "check BUCKET_OCR_PIPELINE_CONFIG"),
    ],
)
@pytest.mark.parametrize("when", ["built", "warmed up"])
def test_a_start_that_fails_on_a_gpu_says_what_to_do(
    message: str, remedy: str, when: str, new_zoo: NewZoo
) -> None:
    def fails(*_: Any, **__: Any) -> Any:
        raise RuntimeError(message)

    chosen = options(new_zoo().pipeline(), "paddle", device="gpu:0", cuda_name="0")
    pipeline = PipelineConfig.load(chosen.pipeline, chosen.runtime, chosen.device)
    create = fails if when == "built" else lambda **_: FakeStructure(fails, [])
    with pytest.raises(SettingsError, match=f"cannot be built on gpu:0 .*: {remedy}"):
        PpStructureEngine(chosen, pipeline, create).ready()


async def test_the_engine_is_built_and_used_by_one_thread(new_zoo: NewZoo, tmp_path: Path) -> None:
    threads: list[int] = []
    config = new_zoo().pipeline()

    class RequestHandler:
        """Ready at once; what it reads is empty."""

        def __init__(self) -> None:
            self._engine = fake(config, lambda pages: iter(()), threads)

        def ready(self) -> protocol.Reply:
            return protocol.EngineReady(name="fake", version="1", models={}, device="cpu")

        def handle(self, request: protocol.Request, progress: Callable[[], None]) -> protocol.Reply:
            reply: protocol.Reply = self._engine.handle(request, progress)
            return reply

    ours, theirs = socket.socketpair()
    image = stored(written("Once"), tmp_path / "page.bgr")
    with ours:
        ours.sendall(protocol.encode(protocol.ReadPages(images=(image,))))
        ours.shutdown(socket.SHUT_WR)
        await asyncio.to_thread(serve.serve, theirs.detach(), RequestHandler, Walls(NO_SANDBOX))
    assert len(threads) == 2
    assert len(set(threads)) == 1
