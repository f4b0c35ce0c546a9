"""Real child processes in a `Slot`: replaced when they die, without credentials, never left behind."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
import structlog

from consumer import protocol
from consumer.domain.errors import ChildError, HostError, SettingsError
from consumer.domain.formats import Format
from consumer.domain.page import PageImage
from consumer.engines import ENGINES
from consumer.processes.process import ChildTimeoutError, ProcessSpec
from consumer.processes.slot import Slot, running_slots
from consumer.processes.spawn import environment
from tests.children import toy

ROOT = Path(__file__).parents[2]
RENDER_OPTIONS = protocol.RenderOptions(
    scale=2.0,
    max_page_pixels=40_000_000,
    max_pages=100,
    open_documents=4,
    address_space_bytes=2**32,
    processor_s=60,
)
RENDERER = ProcessSpec(
    "render",
    "consumer.child.rendering.renderer:build",
    RENDER_OPTIONS,
    retired_bytes=2**31,
    killed_bytes=2**32,
)
TOY = replace(RENDERER, name="toy", entry=toy.ENTRY, options=toy.ToyOptions(threads=1))
ONE_PAGE = protocol.OpenDocument(path=os.devnull, format=Format.PDF)
SECRETS = {
    "AWS_SECRET_ACCESS_KEY",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "HTTPS_PROXY",
    "BUCKET_OCR_QUEUE_URL",
}
DEADLINE_S = 120.0
GONE_S = 60.0
# A parent that starts a process and waits for its end.
PARENT = f"""
import asyncio
from consumer.processes.process import ProcessSpec
from consumer.protocol import Sandbox
from consumer.processes.slot import Slot, running_slots
from tests.children.toy import ToyOptions
async def main():
    async with running_slots([Slot({TOY!r})]):
        print("ready", flush=True)
        await asyncio.Event().wait()
asyncio.run(main())
"""


@pytest.fixture
async def slot(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Slot]:
    for name in SECRETS:
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    slot = Slot(TOY)
    async with running_slots([slot]):
        yield slot
    assert _processes(os.getpid()) == []


def _processes(parent: int) -> list[psutil.Process]:
    processes = []
    for process in psutil.Process(parent).children():
        with contextlib.suppress(psutil.NoSuchProcess):
            if "consumer.child" in process.cmdline():
                processes.append(process)
    return processes


def _the_process() -> psutil.Process:
    (process,) = _processes(os.getpid())
    return process


def test_onnxruntime_leaves_no_identifier_of_the_device_in_the_home_of_a_child(tmp_path: Path) -> None:
    """It would, as it is imported, to tell its maker of its use."""
    pytest.importorskip("onnxruntime")
    variables = environment({"HOME": str(tmp_path), "ORT_DISABLE_TELEMETRY": "0"})
    subprocess.run([sys.executable, "-c", "import onnxruntime"], env=variables, check=True)
    assert list(tmp_path.iterdir()) == []


async def test_a_page_is_rendered_into_its_file_by_a_process_with_limits(
    samples: Path, tmp_path: Path
) -> None:
    letter = protocol.OpenDocument(path=str(samples / "letter.pdf"), format=Format.PDF)
    path = tmp_path / "page.bgr"
    async with running_slots([slot := Slot(RENDERER)]):
        assert await slot.request(letter, DEADLINE_S) == protocol.DocumentOpened(page_count=1)
        page = await slot.request(
            protocol.RenderPage(path=letter.path, format=letter.format, page_number=1, image_path=str(path)),
            DEADLINE_S,
        )
        _check_limits(_the_process())
    assert isinstance(page, PageImage)
    assert (page.page_number, page.path) == (1, str(path))
    assert (page.width_px, page.height_px, page.scale, page.dpi) == (1190, 1684, 2.0, 144.0)
    pixels = path.read_bytes()
    assert len(pixels) == 3 * page.width_px * page.height_px
    assert min(pixels) < 64
    assert pixels.count(255) > len(pixels) / 2


def _check_limits(process: psutil.Process) -> None:
    used = process.cpu_times()
    size_bytes = RENDER_OPTIONS.address_space_bytes
    assert process.rlimit(psutil.RLIMIT_AS) == (size_bytes, size_bytes)
    limit_s, _ = process.rlimit(psutil.RLIMIT_CPU)
    assert RENDER_OPTIONS.processor_s <= limit_s <= used.user + used.system + RENDER_OPTIONS.processor_s + 1
    assert process.rlimit(psutil.RLIMIT_CORE) == (0, 0)
    assert Path(f"/proc/{process.pid}/oom_score_adj").read_text().strip() == "1000"


async def test_a_process_that_dies_at_work_fails_its_request_and_is_replaced(slot: Slot) -> None:
    process = _the_process()
    process.suspend()  # so that the request is in flight when it dies
    request = asyncio.create_task(slot.request(ONE_PAGE, DEADLINE_S))
    await asyncio.sleep(0)
    process.send_signal(signal.SIGSEGV)
    process.resume()
    with pytest.raises(ChildError, match="was killed by SIGSEGV"):
        await request
    assert await slot.request(ONE_PAGE, DEADLINE_S) == protocol.DocumentOpened(page_count=1)
    assert _the_process().pid != process.pid


@pytest.mark.parametrize("at_work", [False, True])
async def test_a_process_killed_from_outside_costs_no_request(slot: Slot, at_work: bool) -> None:
    process = _the_process()
    process.suspend()
    request = asyncio.create_task(slot.request(ONE_PAGE, DEADLINE_S))
    if at_work:
        await asyncio.sleep(0)
    process.kill()
    assert await request == protocol.DocumentOpened(page_count=1)
    assert _the_process().pid != process.pid
    assert slot.replacements == {"killed": 1}


async def test_a_request_whose_processes_are_killed_again_and_again_ends(slot: Slot) -> None:
    request = asyncio.create_task(slot.request(ONE_PAGE, DEADLINE_S))
    _the_process().kill()
    async with asyncio.timeout(DEADLINE_S):
        while not request.done():
            for process in _processes(os.getpid()):
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()
            await asyncio.sleep(0.01)
    # Killed while it starts or while it works: either is a failure that passes, and names the signal.
    with pytest.raises((ChildError, HostError), match="killed by SIGKILL"):
        await request


async def test_a_process_that_hangs_is_killed_at_the_deadline_and_replaced(slot: Slot) -> None:
    process = _the_process()
    process.suspend()
    with pytest.raises(ChildTimeoutError):
        await slot.request(ONE_PAGE, 0.2)
    assert not process.is_running()
    assert await slot.request(ONE_PAGE, DEADLINE_S) == protocol.DocumentOpened(page_count=1)


async def test_a_cancelled_request_leaves_no_reply_for_the_next(slot: Slot, tmp_path: Path) -> None:
    process = _the_process()
    process.suspend()
    request = asyncio.create_task(slot.request(ONE_PAGE, DEADLINE_S))
    await asyncio.sleep(0)
    request.cancel()
    with pytest.raises(asyncio.CancelledError):
        await request
    assert not process.is_running()
    (tmp_path / "source").write_bytes(b"\f\f")
    three_pages = ONE_PAGE.model_copy(update={"path": str(tmp_path / "source")})
    assert await slot.request(three_pages, DEADLINE_S) == protocol.DocumentOpened(page_count=3)


async def test_a_missing_file_is_the_machines_fault_and_ends_no_process() -> None:
    missing = protocol.OpenDocument(path="/missing.pdf", format=Format.PDF)
    async with running_slots([slot := Slot(RENDERER)]):
        process = _the_process()
        with pytest.raises(HostError, match="No such file"):
            await slot.request(missing, DEADLINE_S)
        assert _the_process() == process


async def test_a_process_works_until_its_successor_is_ready(slot: Slot) -> None:
    old = _the_process()
    replacement = asyncio.create_task(slot.replace())
    while len(_processes(os.getpid())) < 2:
        assert await slot.request(ONE_PAGE, DEADLINE_S) == protocol.DocumentOpened(page_count=1)
        assert slot.process is not None
        assert slot.process.pid == old.pid
    await replacement
    assert _the_process().pid != old.pid
    assert await slot.request(ONE_PAGE, DEADLINE_S) == protocol.DocumentOpened(page_count=1)


async def test_a_process_has_no_variables_that_may_be_secret_and_ignores_sigterm(slot: Slot) -> None:
    process = _the_process()
    names = process.environ().keys()
    assert "PATH" in names
    assert not SECRETS & names
    assert os.getpgid(process.pid) == process.pid
    process.terminate()
    process.send_signal(signal.SIGINT)
    assert await slot.request(ONE_PAGE, DEADLINE_S) == protocol.DocumentOpened(page_count=1)
    assert _the_process().pid == process.pid


@pytest.mark.parametrize("hangs", [False, True], ids=["idle", "hanging"])
def test_a_process_dies_with_its_parent(hangs: bool) -> None:
    with subprocess.Popen([sys.executable, "-c", PARENT], cwd=ROOT, stdout=subprocess.PIPE) as parent:
        try:
            assert parent.stdout is not None
            assert parent.stdout.readline() == b"ready\n"
            (process,) = _processes(parent.pid)
            if hangs:
                process.suspend()
        finally:
            parent.kill()
    _, alive = psutil.wait_procs([process], timeout=GONE_S)
    assert [process for process in alive if process.status() != psutil.STATUS_ZOMBIE] == []


async def test_a_process_that_does_not_start_is_an_error() -> None:
    with pytest.raises(HostError, match="exited with 1"):
        async with running_slots([Slot(replace(TOY, entry="no.such.module:build"))]):
            pass


async def test_a_stop_at_a_shutdown_is_no_replacement() -> None:
    idle, busy = Slot(TOY), Slot(TOY)
    with structlog.testing.capture_logs() as lines:
        async with running_slots([idle, busy]):
            assert busy.process is not None
            psutil.Process(busy.process.pid).suspend()
            request = asyncio.create_task(busy.request(ONE_PAGE, DEADLINE_S))
            await asyncio.sleep(0)
            request.cancel()
            await asyncio.wait([request])
    assert (idle.replacements, busy.replacements) == ({}, {})
    assert [line for line in lines if line["event"] == "child.replaced"] == []


def toy_with(may_start: Path) -> ProcessSpec:
    """A toy that starts only if this file exists, and for which there is no space twice."""
    return replace(TOY, options=toy.ToyOptions(threads=1, may_start=str(may_start)), has_spare=False)


async def test_a_process_that_cannot_be_built_at_the_start_is_a_matter_of_settings(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"^toy: the model is missing: pull it$"):
        async with running_slots([Slot(toy_with(tmp_path / "model"))]):
            pass


async def test_a_process_that_cannot_be_built_later_is_a_failure_of_the_machine(tmp_path: Path) -> None:
    model = tmp_path / "model"
    model.touch()
    async with running_slots([slot := Slot(toy_with(model))]):
        model.unlink()
        with pytest.raises(HostError, match="the model is missing"):
            await slot.replace()
        model.touch()
        await slot.replace()
        assert slot.is_running
        assert slot.replacements == {"recycled": 1}


async def test_without_space_for_two_the_old_process_goes_first(tmp_path: Path) -> None:
    model = tmp_path / "model"
    model.touch()
    async with running_slots([slot := Slot(toy_with(model))]):
        assert slot.process is not None
        old = psutil.Process(slot.process.pid)
        replacement = asyncio.create_task(slot.replace())
        async with asyncio.timeout(DEADLINE_S):
            while old.is_running() and old.status() != psutil.STATUS_ZOMBIE:
                await asyncio.sleep(0.01)
        assert not replacement.done()
        await replacement
        assert slot.is_running
        assert slot.replacements == {"recycled": 1}


async def test_an_engine_that_starts_uses_no_network_and_leaves_no_file_at_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    spec = replace(TOY, entry=ENGINES["rapidocr"].entry, options=protocol.EngineOptions(threads=1))
    async with running_slots([slot := Slot(spec)]):
        assert slot.process is not None
        engine = psutil.Process(slot.process.pid)
        assert engine.net_connections("inet") == []
        assert engine.children(recursive=True) == []
        assert not [line for line in engine.memory_maps() if "telemetry" in line.path]
    assert list(tmp_path.iterdir()) == []
