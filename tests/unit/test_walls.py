"""Walls that cannot be built: told, or a reason not to start."""

import errno
import os
from collections.abc import Sequence

import pytest
import structlog
from prometheus_client import CollectorRegistry

from consumer.child.sandbox.walls import Walls
from consumer.domain.errors import SettingsError
from consumer.processes import confinement
from consumer.processes.collector import WorkerProcessCollector
from consumer.processes.gpus import Gpu
from consumer.protocol import EngineReady, Sandbox
from tests.children.fake_process import FakeSlot


def stands(_: Sandbox) -> None:
    pass


def is_missing(_: Sandbox) -> None:
    raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))


def walls(mode: str) -> Walls:
    return Walls(Sandbox(mode=mode), outer={"landlock": is_missing}, inner={"seccomp": stands})


def test_a_kernel_without_a_wall_has_the_others() -> None:
    auto = walls("auto")
    auto.raise_outer()
    auto.raise_inner()
    assert auto.problems == {"landlock": "Function not implemented", "seccomp": ""}


def test_a_wall_that_is_required_and_missing_is_a_matter_of_settings() -> None:
    with pytest.raises(
        SettingsError, match=r"^BUCKET_OCR_SANDBOX=require: landlock is not available here \(Func"
    ):
        walls("require").raise_outer()


def test_without_the_sandbox_no_wall_is_tried() -> None:
    off = walls("off")
    off.raise_outer()
    assert off.problems == {}


async def slot_with(problems: dict[str, str]) -> FakeSlot:
    slot = FakeSlot()
    await slot.start()
    slot.running.ready = EngineReady(name="fake", version="1", models={}, device="cpu", walls=problems)
    return slot


def no_gpu() -> Sequence[Gpu]:
    return ()


@pytest.mark.parametrize("problem", ["", "Function not implemented"])
async def test_which_walls_stand_is_one_line_and_a_metric(problem: str) -> None:
    slot = await slot_with({"landlock": problem, "seccomp": ""})
    registry = CollectorRegistry()
    registry.register(WorkerProcessCollector([slot], [], no_gpu))
    with structlog.testing.capture_logs() as lines:
        confinement.log_standing([slot], "auto")

    def value(wall: str) -> float | None:
        return registry.get_sample_value("bucket_ocr_sandbox_walls", {"kind": "fake", "wall": wall})

    assert (value("landlock"), value("seccomp")) == (not problem, 1)
    (line,) = lines
    assert (line["event"], line["mode"]) == ("sandbox", "auto")
    assert ("fake.landlock" in line["missing"]) == bool(problem)
    assert "fake.seccomp" in line["standing"]
    assert (line["log_level"] == "warning") == bool(line["missing"])
