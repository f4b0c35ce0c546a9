"""Real child processes in a `Seat`: replaced when they die, without credentials, never left behind."""

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

from consumer import protocol
from consumer.domain.errors import ChildError, HostError, SettingsError
from consumer.domain.formats import Format
from consumer.domain.page import PageImage
from consumer.processes.process import ChildTimeoutError, ProcessSpec
from consumer.processes.slot import Slot, running_slots

OPTIONS = protocol.RenderOptions(
    scale=2.0,
    max_page_pixels=40_000_000,
    max_pages=100,
    open_documents=4,
    address_space_bytes=2**32,
    processor_s=60,
)
PROGRAM = ProcessSpec(
    "render", ("-m", "consumer.child", "render"), OPTIONS, retired_bytes=2**31, killed_bytes=2**32
)
DEADLINE_S = 60.0
GONE_S = 10.0
# A parent that starts a child, prints its number and waits for its end.
PARENT = f"""
import asyncio, signal
from consumer import wire
from consumer.adapters.children import Program
from consumer.adapters.seats import Seat, seated
from consumer.wire import RenderOptions
async def main():
    seat = Seat({PROGRAM!r})
    async with seated([seat]):
        print("ready", flush=True)
        await asyncio.Event().wait()
asyncio.run(main())
"""


@pytest.fixture
async def slot(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Slot]:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://127.0.0.1:9")
    slot = Slot(PROGRAM)
    async with running_slots([slot]):
        yield slot
    assert _renderers(os.getpid()) == []


@pytest.fixture
def letter(samples: Path) -> protocol.OpenDocument:
    return protocol.OpenDocument(path=str(samples / "letter.pdf"), format=Format.PDF)


def _renderers(parent: int) -> list[psutil.Process]:
    found = []
    for child in psutil.Process(parent).children():
        with contextlib.suppress(psutil.NoSuchProcess):
            if "consumer.child" in child.cmdline():
                found.append(child)
    return found


def _the_renderer() -> psutil.Process:
    (child,) = _renderers(os.getpid())
    return child


async def test_a_page_is_rendered_into_its_file(
    slot: Slot, letter: protocol.OpenDocument, tmp_path: Path
) -> None:
    opened = await slot.request(letter, DEADLINE_S)
    assert opened == protocol.DocumentOpened(page_count=1)
    path = tmp_path / "page.bgr"
    page = await slot.request(
        protocol.RenderPage(path=letter.path, format=letter.format, page_number=1, image_path=str(path)),
        DEADLINE_S,
    )
    assert isinstance(page, PageImage)
    assert (page.page_number, page.path) == (1, str(path))
    assert (page.width_px, page.height_px, page.scale, page.dpi) == (1190, 1684, 2.0, 144.0)
    pixels = path.read_bytes()
    assert len(pixels) == 3 * page.width_px * page.height_px
    assert min(pixels) < 64
    assert pixels.count(255) > len(pixels) / 2


async def test_a_child_that_dies_at_work_fails_its_request_and_is_replaced(
    slot: Slot, letter: protocol.OpenDocument
) -> None:
    child = _the_renderer()
    child.suspend()  # so that the request is in flight when it dies
    request = asyncio.create_task(slot.request(letter, DEADLINE_S))
    await asyncio.sleep(0)
    child.send_signal(signal.SIGSEGV)
    child.resume()
    with pytest.raises(ChildError, match="was killed by SIGSEGV"):
        await request
    assert await slot.request(letter, DEADLINE_S) == protocol.DocumentOpened(page_count=1)
    assert _the_renderer().pid != child.pid


@pytest.mark.parametrize("at_work", [False, True])
async def test_a_child_killed_from_outside_costs_no_request(
    slot: Slot, letter: protocol.OpenDocument, at_work: bool
) -> None:
    child = _the_renderer()
    child.suspend()
    request = asyncio.create_task(slot.request(letter, DEADLINE_S))
    if at_work:
        await asyncio.sleep(0)
    child.kill()
    assert await request == protocol.DocumentOpened(page_count=1)
    assert _the_renderer().pid != child.pid
    assert slot.replacements == {"killed": 1}


async def test_a_request_whose_children_are_killed_again_and_again_ends(
    slot: Slot, letter: protocol.OpenDocument
) -> None:
    request = asyncio.create_task(slot.request(letter, DEADLINE_S))
    _the_renderer().kill()
    async with asyncio.timeout(DEADLINE_S):
        while not request.done():
            for child in _renderers(os.getpid()):
                child.kill()
            await asyncio.sleep(0.01)
    # Killed while it starts or while it works: either is a failure that passes, and names the signal.
    with pytest.raises((ChildError, HostError), match="killed by SIGKILL"):
        await request


async def test_a_child_that_hangs_is_killed_at_the_deadline_and_replaced(
    slot: Slot, letter: protocol.OpenDocument
) -> None:
    child = _the_renderer()
    child.suspend()
    with pytest.raises(ChildTimeoutError):
        await slot.request(letter, 0.2)
    assert not child.is_running()
    assert await slot.request(letter, DEADLINE_S) == protocol.DocumentOpened(page_count=1)


async def test_a_cancelled_request_leaves_no_answer_for_the_next(
    slot: Slot, letter: protocol.OpenDocument
) -> None:
    child = _the_renderer()
    child.suspend()
    request = asyncio.create_task(slot.request(letter, DEADLINE_S))
    await asyncio.sleep(0)
    request.cancel()
    with pytest.raises(asyncio.CancelledError):
        await request
    assert not child.is_running()
    report = letter.model_copy(update={"path": letter.path.replace("letter", "report")})
    assert await slot.request(report, DEADLINE_S) == protocol.DocumentOpened(page_count=3)


async def test_a_file_that_is_not_there_is_the_machines_fault_and_kills_no_child(
    slot: Slot, letter: protocol.OpenDocument
) -> None:
    child = _the_renderer()
    with pytest.raises(HostError, match="No such file"):
        await slot.request(protocol.OpenDocument(path="/missing.pdf", format=Format.PDF), DEADLINE_S)
    assert await slot.request(letter, DEADLINE_S) == protocol.DocumentOpened(page_count=1)
    assert _the_renderer() == child


async def test_a_renderer_is_limited_in_memory_and_in_processor_time_for_each_request(
    slot: Slot, letter: protocol.OpenDocument
) -> None:
    await slot.request(letter, DEADLINE_S)
    child = _the_renderer()
    used = child.cpu_times()
    assert child.rlimit(psutil.RLIMIT_AS) == (OPTIONS.address_space_bytes, OPTIONS.address_space_bytes)
    limit_s, _ = child.rlimit(psutil.RLIMIT_CPU)
    assert OPTIONS.processor_s <= limit_s <= used.user + used.system + OPTIONS.processor_s + 1
    assert child.rlimit(psutil.RLIMIT_CORE) == (0, 0)
    assert Path(f"/proc/{child.pid}/oom_score_adj").read_text().strip() == "1000"


async def test_a_child_that_is_renewed_works_until_the_other_is_ready(
    slot: Slot, letter: protocol.OpenDocument
) -> None:
    old = _the_renderer()
    renewal = asyncio.create_task(slot.replace())
    while len(_renderers(os.getpid())) < 2:
        assert await slot.request(letter, DEADLINE_S) == protocol.DocumentOpened(page_count=1)
        assert slot.child is not None
        assert slot.child.pid == old.pid
    await renewal
    assert _the_renderer().pid != old.pid
    assert await slot.request(letter, DEADLINE_S) == protocol.DocumentOpened(page_count=1)


async def test_a_child_has_no_credentials_and_ignores_sigterm(
    slot: Slot, letter: protocol.OpenDocument
) -> None:
    child = _the_renderer()
    names = child.environ().keys()
    assert "PATH" in names
    assert not [name for name in names if name.startswith("AWS_")]
    assert os.getpgid(child.pid) == child.pid
    child.terminate()
    child.send_signal(signal.SIGINT)
    assert await slot.request(letter, DEADLINE_S) == protocol.DocumentOpened(page_count=1)
    assert _the_renderer().pid == child.pid


@pytest.mark.parametrize("hangs", [False, True], ids=["idle", "hanging"])
def test_a_child_dies_with_its_parent(hangs: bool, tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", PARENT], cwd=tmp_path, stdout=subprocess.PIPE) as parent:
        try:
            assert parent.stdout is not None
            assert parent.stdout.readline() == b"ready\n"
            (child,) = _renderers(parent.pid)
            if hangs:
                child.suspend()
        finally:
            parent.kill()
    _, alive = psutil.wait_procs([child], timeout=GONE_S)
    assert [process for process in alive if process.status() != psutil.STATUS_ZOMBIE] == []


async def test_a_role_that_does_not_start_is_an_error() -> None:
    with pytest.raises(HostError, match="exited with 1"):
        async with running_slots(
            [Slot(replace(PROGRAM, arguments=("-m", "consumer.child", "no such role")))]
        ):
            pass


#: A child that says it cannot be built; if FILE exists, it does so only then.
UNFIT = """
import os, sys
from consumer.child import serve
from consumer.domain.errors import SettingsError
from consumer import wire

class Ready:
    def ready(self):
        return protocol.EngineReady(name="fake", version="1", models={}, device="cpu")

def build():
    if os.path.exists(sys.argv[1]):
        raise SettingsError("the model is not there: pull it")
    return Ready()

serve.settle_in()
serve.serve(int(sys.argv[2]), build)
"""


def unfit(file: Path) -> ProcessSpec:
    return replace(PROGRAM, name="engine", arguments=("-c", UNFIT, str(file)), has_spare=False)


async def test_what_keeps_a_child_from_being_built_at_the_start_is_the_operators_to_mend(
    tmp_path: Path,
) -> None:
    with pytest.raises(SettingsError, match=r"^engine: the model is not there: pull it$"):
        async with running_slots([Slot(unfit(tmp_path))]):
            pass


async def test_and_later_it_is_the_machine_that_is_not_well(tmp_path: Path) -> None:
    slot = Slot(unfit(tmp_path / "broken"))
    async with running_slots([slot]):
        (tmp_path / "broken").touch()
        with pytest.raises(HostError, match="the model is not there"):
            await slot.replace()
        (tmp_path / "broken").unlink()
        await slot.replace()
        assert slot.is_running


async def test_where_there_is_no_room_for_two_the_old_child_goes_first(tmp_path: Path) -> None:
    slot = Slot(unfit(tmp_path / "never"))
    async with running_slots([slot]):
        assert slot.child is not None
        old = psutil.Process(slot.child.pid)
        renewal = asyncio.create_task(slot.replace())
        async with asyncio.timeout(DEADLINE_S):
            while old.is_running() and old.status() != psutil.STATUS_ZOMBIE:
                await asyncio.sleep(0.01)
        assert not renewal.done()
        await renewal
        assert slot.is_running
        assert slot.replacements == {"recycled": 1}


async def test_an_engine_that_starts_calls_nobody_and_leaves_nothing_at_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    options = protocol.EngineOptions(threads=1)
    spec = replace(PROGRAM, name="rapidocr", arguments=("-m", "consumer.child", "rapidocr"), options=options)
    slot = Slot(spec)
    async with running_slots([slot]):
        assert slot.child is not None
        engine = psutil.Process(slot.child.pid)
        assert engine.net_connections("inet") == []
        assert engine.children(recursive=True) == []
        assert not [line for line in engine.memory_maps() if "telemetry" in line.path]
    assert list(tmp_path.iterdir()) == []
