"""PP-StructureV3 on a processor reads behind walls as without them, and may do no more than other engines."""

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from consumer import protocol
from consumer.engines import ENGINES
from consumer.processes import confinement
from consumer.processes.process import NO_SANDBOX, ProcessSpec
from consumer.processes.slot import Slot, running_slots
from consumer.settings import Settings
from tests.children import acts
from tests.children.toy import PYTHONPATH
from tests.fakes import page_image
from tests.page_images import stored
from tests.structure.conftest import NewZoo
from tests.structure.engine import options, written

DEADLINE_S = 300.0
ENGINE_BYTES = 8 * 1024**3


@pytest.fixture
def spec(new_zoo: NewZoo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ProcessSpec:
    """An engine process behind walls, whose entry can act."""
    monkeypatch.setenv("PYTHONPATH", PYTHONPATH)
    zoo = new_zoo()
    (scratch := tmp_path / "scratch").mkdir()
    process = options(zoo.pipeline(), scratch=str(scratch))
    settings = Settings(queue_url="none", pipeline_config=process.pipeline, device="cpu")
    walls = confinement.of_engine(settings, ENGINES["pp-structurev3"], process, scratch)
    walls = walls.model_copy(update={"readable": (*walls.readable, str(zoo.home))})
    entry = "acts:ppstructure"
    return ProcessSpec("engine", entry, process, ENGINE_BYTES, ENGINE_BYTES, sandbox=walls)


async def test_it_reads_the_same_behind_walls(spec: ProcessSpec, tmp_path: Path) -> None:
    request = protocol.ReadPages(images=(stored(written("Walls"), tmp_path / "page"),))
    async with running_slots([walled := Slot(spec), bare := Slot(replace(spec, sandbox=NO_SANDBOX))]):
        assert walled.process is not None
        assert not any(walled.process.walls.values()), walled.process.walls
        assert await walled.request(request, DEADLINE_S) == await bare.request(request, DEADLINE_S)


async def test_it_may_make_files_in_its_scratch_folder_alone(spec: ProcessSpec, tmp_path: Path) -> None:
    for name in ("page", "expendable", "home"):
        (tmp_path / name).touch()
    at = {"parent": os.getpid(), "sibling": os.getpid(), "port": 9, "traced": [], "memory_bytes": 0} | {
        "passwords": "/etc/passwd",
        "home": str(tmp_path / "home"),
        **dict.fromkeys(("source", "page"), str(tmp_path / "page")),
        "expendable": str(tmp_path / "expendable"),
        "work folder": str(tmp_path),
        "folder around it": str(tmp_path / "scratch"),
    }
    (tmp_path / "own").write_bytes(acts.WORD + json.dumps(at).encode())
    request = protocol.ReadPages(images=(page_image(1, tmp_path / "own"),))
    async with running_slots([slot := Slot(spec)]):
        reply = await slot.request(request, DEADLINE_S)
    assert isinstance(reply, protocol.RequestFailed)
    outcomes = json.loads(reply.message)
    assert outcomes["make a file in the work folder"] == "EACCES"
    assert {outcomes[f"open {name}"] for name in ("passwords", "home", "source", "page")} == {"EACCES"}
    assert {outcomes[act] for act in ("environ of parent", "mem of parent")} == {"EACCES"}
    assert {outcomes[act] for act in ("signal parent", "fork", "run a program", "socket 2 1")} == {"EPERM"}
