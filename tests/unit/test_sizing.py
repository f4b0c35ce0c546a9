"""How the machine is divided: on processors, and on GPUs."""

import pytest

from consumer.adapters import machine
from consumer.adapters.gpus import Gpu
from consumer.adapters.recognize import longest_step_s
from consumer.settings import Settings
from consumer.sizing import Sizing

GIB = 1024**3
STRUCTURE = "pp-structurev3"


def sized(engine: str, *gpus: Gpu, **options: object) -> Sizing:
    return Sizing.of(Settings.model_validate({"queue_url": "q"} | options), engine, gpus)


def test_every_gpu_gets_as_many_processes_as_fit_and_at_least_one() -> None:
    small = sized(STRUCTURE, Gpu(0, 15 * GIB, 80 * GIB), Gpu(2, 15 * GIB, 80 * GIB))
    assert small.devices == ["gpu:0", "gpu:2"]
    assert small.device_bytes == 15 * GIB
    four = sized(STRUCTURE, Gpu(0, 80 * GIB, 80 * GIB), Gpu(1, 70 * GIB, 80 * GIB), engine_workers=4)
    assert four.devices == ["gpu:0"] * 4 + ["gpu:1"] * 4
    assert four.device_bytes == 70 * GIB // 4
    assert len(four.engines) == 8


def test_processors_limit_how_many_processes_a_gpu_gets() -> None:
    """Each keeps a processor busy, and holds gigabytes of memory that is not the GPU's."""
    most = min(len(machine.processors()), max(1, machine.memory_bytes() // 2 // (6 * GIB)))
    assert len(sized(STRUCTURE, Gpu(0, 10_000 * GIB, 80 * GIB)).devices) <= most


def test_batches_are_for_gpus() -> None:
    assert sized(STRUCTURE, Gpu(0, 15 * GIB, 80 * GIB)).batch_pages == 8
    assert sized(STRUCTURE).batch_pages == sized("rapidocr").batch_pages == 1
    assert sized(STRUCTURE, Gpu(0, GIB, 80 * GIB), batch_pages=3).batch_pages == 3


@pytest.mark.parametrize(
    ("engine", "gpus"), [("rapidocr", ()), (STRUCTURE, ()), (STRUCTURE, (Gpu(0, GIB, 80 * GIB),))]
)
def test_nothing_takes_so_long_that_the_defaults_would_give_it_up(engine: str, gpus: tuple[Gpu, ...]) -> None:
    sizing = sized(engine, *gpus)
    assert longest_step_s(sizing.page_deadline_s, sizing.batch_pages) <= Settings(queue_url="q").stall_s
    assert sizing.device_bytes == (GIB if gpus else None)
    assert set(sizing.devices) == ({"gpu:0"} if gpus else {"cpu"})
