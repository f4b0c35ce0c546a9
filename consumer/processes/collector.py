"""Metrics of child processes and GPUs, read when Prometheus asks for them."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from consumer.domain.errors import SettingsError
from consumer.processes import confinement
from consumer.processes.gpus import Gpu
from consumer.processes.slot import Slot

#: Why child processes are replaced.
REASONS: Final = ("recycled", "timeout", "crash", "killed", "error", "cancelled")


class WorkerProcessCollector(Collector):
    """Metrics of the processes in these slots, and of the GPUs that `find_gpus` returns."""

    def __init__(
        self, engines: Sequence[Slot], renderers: Sequence[Slot], find_gpus: Callable[[], Sequence[Gpu]]
    ) -> None:
        self._engines = engines
        self._slots = (*engines, *renderers)
        self._find_gpus = find_gpus

    def collect(self) -> Iterable[Metric]:
        """Read the state of every slot and GPU."""
        yield GaugeMetricFamily("bucket_ocr_engines", "Engine processes there should be.", len(self._engines))
        yield CounterMetricFamily(
            "bucket_ocr_engine_busy_seconds",
            "Seconds in which engines worked, all added up.",
            sum(slot.busy.total_s for slot in self._engines),
        )
        replaced = CounterMetricFamily(
            "bucket_ocr_child_replacements", "Child processes replaced, by reason.", labels=["kind", "reason"]
        )
        resident = GaugeMetricFamily(
            "bucket_ocr_child_resident_bytes", "Memory of a child process.", labels=["kind", "child"]
        )
        replacements: Counter[tuple[str, str]] = Counter()
        for number, slot in enumerate(self._slots):
            kind = slot.spec.name
            # A reason that has not come up is 0, and not missing: its first time is an increase as well.
            replacements.update({(kind, reason): 0 for reason in REASONS})
            resident.add_metric([kind, str(number)], slot.process.resident_bytes if slot.process else 0)
            replacements.update({(kind, reason): count for reason, count in slot.replacements.items()})
        for labels, count in replacements.items():
            replaced.add_metric(labels, count)
        yield from (replaced, resident, self._walls(), *self._gpus())

    def _walls(self) -> Metric:
        standing = GaugeMetricFamily(
            "bucket_ocr_sandbox_walls",
            "1: this wall stands round processes of a kind.",
            labels=["kind", "wall"],
        )
        for kind, walls in confinement.standing(self._slots).items():
            for wall, problem in walls.items():
                standing.add_metric([kind, wall], not problem)
        return standing

    def _gpus(self) -> Iterable[Metric]:
        used = GaugeMetricFamily(
            "bucket_ocr_gpu_memory_used_bytes", "Memory of a GPU in use by any process.", labels=["gpu"]
        )
        total = GaugeMetricFamily("bucket_ocr_gpu_memory_total_bytes", "Memory of a GPU.", labels=["gpu"])
        # A GPU that has gone is reported by its engines.
        with suppress(SettingsError):
            for gpu in self._find_gpus():
                used.add_metric([str(gpu.number)], gpu.total_bytes - gpu.free_bytes)
                total.add_metric([str(gpu.number)], gpu.total_bytes)
        yield from (used, total)
