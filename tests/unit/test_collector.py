"""Metrics of processes and GPUs, read when they are asked for; on slots of fake processes."""

from collections.abc import Sequence

from prometheus_client import CollectorRegistry

from consumer.domain.errors import SettingsError
from consumer.processes.collector import WorkerProcessCollector
from consumer.processes.gpus import Gpu
from tests.children.fake_process import FakeSlot


def no_gpu() -> Sequence[Gpu]:
    raise SettingsError("there is no GPU")


async def test_processes_and_gpus_are_read_when_they_are_asked_for() -> None:
    engines, renderer = [FakeSlot(), FakeSlot()], FakeSlot()
    registry = CollectorRegistry()
    registry.register(WorkerProcessCollector(engines, [renderer], lambda: (Gpu(0, "0", 30, 80),)))
    for reason in ("recycled", "crash", "recycled"):
        await engines[0].start()
        await engines[0].stop(reason)
    await engines[0].start()
    await renderer.start()
    renderer.running.held_bytes = 7

    def value(name: str, **labels: str) -> float | None:
        return registry.get_sample_value(f"bucket_ocr_{name}", labels)

    assert value("engines") == 2
    assert value("engine_busy_seconds_total") == 0
    assert value("child_replacements_total", kind="fake", reason="recycled") == 2
    assert value("child_replacements_total", kind="fake", reason="crash") == 1
    memory = [value("child_resident_bytes", kind="fake", child=str(number)) for number in range(3)]
    assert memory == [100, 0, 7]
    assert value("gpu_memory_used_bytes", gpu="0") == 50
    assert value("gpu_memory_total_bytes", gpu="0") == 80


def test_a_gpu_that_has_gone_hides_no_other_metric() -> None:
    registry = CollectorRegistry()
    registry.register(WorkerProcessCollector([], [], no_gpu))
    assert registry.get_sample_value("bucket_ocr_engines") == 0
