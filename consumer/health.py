"""Health and metrics over HTTP: `/healthz`, `/readyz`, `/metrics`."""

from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from http import HTTPStatus
from typing import Final

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from consumer.domain.errors import SettingsError
from consumer.processes.gpus import Gpu
from consumer.processes.slot import Slot

#: Says what is wrong; None where nothing is.
Probe = Callable[[], str | None]

#: The loop ends when we do, and a probe that is cut off is asked again elsewhere.
_SHUTDOWN_S: Final = 1.0


class Health:
    """What the probes say; while the consumer starts, it is alive and not ready."""

    def __init__(self) -> None:
        self.alive: Probe = lambda: None
        self.ready: Probe = lambda: "starting"


@asynccontextmanager
async def served(port: int, registry: CollectorRegistry) -> AsyncIterator[Health]:
    """Answer on this port of all interfaces as long as the context lasts; on port 0, not at all.

    Raises SettingsError where the port cannot be had.
    """
    health = Health()
    if port == 0:
        yield health
        return

    async def alive(_: web.Request) -> web.Response:
        return _answer(health.alive())

    async def ready(_: web.Request) -> web.Response:
        return _answer(health.ready())

    async def metrics(_: web.Request) -> web.Response:
        return web.Response(body=generate_latest(registry), headers={"Content-Type": CONTENT_TYPE_LATEST})

    application = web.Application()
    application.add_routes(
        [web.get("/healthz", alive), web.get("/readyz", ready), web.get("/metrics", metrics)]
    )
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=_SHUTDOWN_S, handle_signals=False)
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, port=port).start()
        except OSError as error:
            raise SettingsError(
                f"BUCKET_OCR_HEALTH_PORT={port}: {error.strerror}: choose another, or 0 for none"
            ) from error
        yield health
    finally:
        await runner.cleanup()


def _answer(problem: str | None) -> web.Response:
    if problem is None:
        return web.Response(text="ok\n")
    return web.Response(status=HTTPStatus.SERVICE_UNAVAILABLE, text=f"{problem}\n")


class Children(Collector):
    """Metrics of child processes, and of the GPUs that `look` finds, looked at when they are asked for."""

    def __init__(
        self, engines: Sequence[Slot], renderers: Sequence[Slot], look: Callable[[], Sequence[Gpu]]
    ) -> None:
        self._engines = engines
        self._slots = (*engines, *renderers)
        self._look = look

    def collect(self) -> Iterable[Metric]:
        """Look at every seat, and at every GPU."""
        yield GaugeMetricFamily("bucket_ocr_engines", "Engine processes there should be.", len(self._engines))
        yield CounterMetricFamily(
            "bucket_ocr_engine_busy_seconds",
            "Seconds in which engines worked, all added up.",
            sum(slot.busy.total_s for slot in self._engines),
        )
        replaced = CounterMetricFamily(
            "bucket_ocr_child_replacements", "Child processes that ended, by why.", labels=["kind", "reason"]
        )
        resident = GaugeMetricFamily(
            "bucket_ocr_child_resident_bytes", "Memory of a child process.", labels=["kind", "child"]
        )
        for number, slot in enumerate(self._slots):
            resident.add_metric([slot.spec.name, str(number)], slot.child.resident_bytes if slot.child else 0)
        replacements: Counter[tuple[str, str]] = Counter()
        for slot in self._slots:
            replacements.update(
                {(slot.spec.name, reason): count for reason, count in slot.replacements.items()}
            )
        for labels, count in replacements.items():
            replaced.add_metric(labels, count)
        yield from (replaced, resident, *self._of_gpus())

    def _of_gpus(self) -> Iterable[Metric]:
        used = GaugeMetricFamily(
            "bucket_ocr_gpu_memory_used_bytes", "Memory of a GPU that is taken, by whomever.", labels=["gpu"]
        )
        total = GaugeMetricFamily("bucket_ocr_gpu_memory_total_bytes", "Memory of a GPU.", labels=["gpu"])
        # One that has gone is the engines' affair.
        with suppress(SettingsError):
            for gpu in self._look():
                used.add_metric([str(gpu.number)], gpu.total_bytes - gpu.free_bytes)
                total.add_metric([str(gpu.number)], gpu.total_bytes)
        yield from (used, total)
