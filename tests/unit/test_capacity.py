"""The shares of the machine: on processors, and on GPUs."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumer.engines import ENGINES, EngineSpec
from consumer.processes import host
from consumer.processes.capacity import Capacity, share_processors
from consumer.processes.gpus import Gpu
from consumer.processes.recognizer import longest_step_s
from consumer.settings import Settings

GIB = 1024**3
STRUCTURE = "pp-structurev3"


def capacity_of(engine: str, *gpus: Gpu, **options: object) -> Capacity:
    return Capacity.of(Settings.model_validate({"queue_url": "q"} | options), ENGINES[engine], gpus)


def gpu(number: int, free_bytes: int) -> Gpu:
    return Gpu(number, f"GPU-{number}", free_bytes, 80 * GIB)


def test_every_gpu_gets_as_many_processes_as_are_set_and_at_least_one() -> None:
    small = capacity_of(STRUCTURE, gpu(0, 15 * GIB), gpu(2, 15 * GIB))
    names = [(engine.device, engine.cuda_name) for engine in small.engines]
    assert names == [("gpu:0", "GPU-0"), ("gpu:2", "GPU-2")]
    four = capacity_of(STRUCTURE, gpu(0, 80 * GIB), gpu(1, 70 * GIB), engine_workers=4)
    assert [engine.device for engine in four.engines] == ["gpu:0"] * 4 + ["gpu:1"] * 4
    assert four.devices == ["gpu:0", "gpu:1"]


def test_on_a_gpu_there_is_room_for_a_successor_or_the_old_engine_goes_first() -> None:
    """Nine tenths of the memory, shared: the rest is what an engine holds without counting it."""
    two = capacity_of(STRUCTURE, gpu(0, 60 * GIB), engine_workers=2)
    assert (two.has_spare, two.engines[0].device_bytes) == (True, int(0.9 * 60 * GIB) // 3)
    alone = capacity_of(STRUCTURE, gpu(0, 24 * GIB))
    assert [engine.device_bytes for engine in alone.engines] == [int(0.9 * 24 * GIB)]
    assert not alone.has_spare
    assert capacity_of(STRUCTURE, gpu(0, 45 * GIB)).has_spare


def test_processors_limit_how_many_processes_a_gpu_gets() -> None:
    """Each keeps a processor busy, and holds gigabytes of memory that is not the GPU's."""
    most = min(len(host.processors()), max(1, host.memory_bytes() // 2 // (6 * GIB)))
    assert len(capacity_of(STRUCTURE, gpu(0, 10_000 * GIB)).engines) <= most


def test_a_process_of_the_embedded_engine_takes_more_memory_on_a_gpu() -> None:
    small = capacity_of("rapidocr", gpu(0, 12 * GIB))
    assert len(small.engines) <= 2
    assert all(engine.device_bytes for engine in small.engines)
    assert small.engine_bytes >= 6 * GIB
    assert capacity_of("rapidocr").engine_bytes >= 2 * GIB


def test_batches_are_for_gpus() -> None:
    assert capacity_of(STRUCTURE, gpu(0, 15 * GIB)).batch_pages == 8
    assert capacity_of(STRUCTURE).batch_pages == capacity_of("rapidocr").batch_pages == 1
    assert capacity_of(STRUCTURE, gpu(0, GIB), batch_pages=3).batch_pages == 3


@pytest.mark.parametrize("engine", ENGINES.values(), ids=lambda engine: engine.name)
def test_no_step_takes_longer_than_the_default_of_stall_s(engine: EngineSpec) -> None:
    assert longest_step_s(engine.progress_deadline_s) <= Settings(queue_url="q").stall_s


@pytest.mark.parametrize(("engine", "gpus"), [("rapidocr", ()), (STRUCTURE, ()), (STRUCTURE, (gpu(0, GIB),))])
def test_engines_are_on_the_gpus_if_there_are_any(engine: str, gpus: tuple[Gpu, ...]) -> None:
    assert capacity_of(engine, *gpus).devices == (["gpu:0"] if gpus else ["cpu"])


@given(
    st.lists(st.integers(0, 255), min_size=1, max_size=64, unique=True),
    st.none() | st.integers(1, 80),
    st.integers(1, 80),
)
def test_every_engine_gets_a_share_and_no_processor_is_given_twice(
    cpus: list[int], quota: int | None, workers: int
) -> None:
    usable = min(len(cpus), quota or len(cpus))
    shares = share_processors(cpus, quota, workers)
    given_away = [cpu for share in shares for cpu in share.cpus]
    assert len(shares) == workers
    assert len(set(given_away)) == len(given_away)
    assert set(given_away) <= set(cpus)
    assert all(share.threads >= 1 and len(share.cpus) in {0, share.threads} for share in shares)
    # With more engines than processors each still needs one thread.
    assert sum(share.threads for share in shares) <= max(usable, workers)


def test_engines_have_processors_of_their_own_unless_a_quota_or_their_number_forbids_it() -> None:
    assert [share.cpus for share in share_processors([2, 3, 6, 7], None, 2)] == [(2, 3), (6, 7)]
    assert [share.cpus for share in share_processors([2, 3, 6, 7], 2, 2)] == [(), ()]
    assert [share.cpus for share in share_processors([2], None, 2)] == [(), ()]
