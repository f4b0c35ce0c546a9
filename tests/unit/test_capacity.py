"""How the machine is divided: on processors, and on GPUs."""

import pytest

from consumer.processes import host
from consumer.processes.capacity import Capacity
from consumer.processes.gpus import Gpu
from consumer.processes.recognizer import longest_step_s
from consumer.settings import Settings

GIB = 1024**3
STRUCTURE = "pp-structurev3"


def sized(engine: str, *gpus: Gpu, **options: object) -> Capacity:
    return Capacity.of(Settings.model_validate({"queue_url": "q"} | options), engine, gpus)


def gpu(number: int, free_bytes: int) -> Gpu:
    return Gpu(number, f"GPU-{number}", free_bytes, 80 * GIB)


def test_every_gpu_gets_as_many_processes_as_it_is_told_and_at_least_one() -> None:
    small = sized(STRUCTURE, gpu(0, 15 * GIB), gpu(2, 15 * GIB))
    assert (small.devices, small.cuda_names) == (["gpu:0", "gpu:2"], ["GPU-0", "GPU-2"])
    four = sized(STRUCTURE, gpu(0, 80 * GIB), gpu(1, 70 * GIB), engine_workers=4)
    assert four.devices == ["gpu:0"] * 4 + ["gpu:1"] * 4
    assert len(four.engines) == 8


def test_on_a_gpu_there_is_room_for_a_successor_or_the_old_engine_goes_first() -> None:
    """Nine tenths of the memory, shared: the rest is what an engine holds without counting it."""
    two = sized(STRUCTURE, gpu(0, 60 * GIB), engine_workers=2)
    assert (two.has_spare, two.device_bytes) == (True, int(0.9 * 60 * GIB) // 3)
    alone = sized(STRUCTURE, gpu(0, 24 * GIB))
    assert (alone.has_spare, len(alone.engines), alone.device_bytes) == (False, 1, int(0.9 * 24 * GIB))
    assert sized(STRUCTURE, gpu(0, 45 * GIB)).has_spare


def test_processors_limit_how_many_processes_a_gpu_gets() -> None:
    """Each keeps a processor busy, and holds gigabytes of memory that is not the GPU's."""
    most = min(len(host.processors()), max(1, host.memory_bytes() // 2 // (6 * GIB)))
    assert len(sized(STRUCTURE, gpu(0, 10_000 * GIB)).devices) <= most


def test_batches_are_for_gpus() -> None:
    assert sized(STRUCTURE, gpu(0, 15 * GIB)).batch_pages == 8
    assert sized(STRUCTURE).batch_pages == sized("rapidocr").batch_pages == 1
    assert sized(STRUCTURE, gpu(0, GIB), batch_pages=3).batch_pages == 3


@pytest.mark.parametrize(("engine", "gpus"), [("rapidocr", ()), (STRUCTURE, ()), (STRUCTURE, (gpu(0, GIB),))])
def test_nothing_takes_so_long_that_the_defaults_would_give_it_up(engine: str, gpus: tuple[Gpu, ...]) -> None:
    capacity = sized(engine, *gpus)
    assert longest_step_s(capacity.page_deadline_s, capacity.batch_pages) <= Settings(queue_url="q").stall_s
    assert set(capacity.devices) == ({"gpu:0"} if gpus else {"cpu"})
