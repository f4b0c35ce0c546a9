"""What probes and Prometheus are told over HTTP."""

from collections import Counter
from types import SimpleNamespace
from typing import Any, cast

import aiohttp
import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from consumer.domain.errors import SettingsError
from consumer.health import Children, Health, served
from consumer.processes.gpus import Gpu
from consumer.processes.slot import Slot
from tests.e2e.stack import free_port


@pytest.fixture
def port() -> int:
    return free_port()


async def ask(port: int, path: str) -> tuple[int, str]:
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"http://127.0.0.1:{port}{path}") as answer,
    ):
        return answer.status, await answer.text()


async def test_a_consumer_that_starts_is_alive_and_not_ready(port: int) -> None:
    async with served(port, CollectorRegistry()):
        assert await ask(port, "/healthz") == (200, "ok\n")
        assert await ask(port, "/readyz") == (503, "starting\n")


async def test_a_probe_says_what_is_wrong(port: int) -> None:
    async with served(port, CollectorRegistry()) as health:
        health.alive, health.ready = (lambda: "nothing has moved for 500 s"), lambda: None
        assert await ask(port, "/healthz") == (503, "nothing has moved for 500 s\n")
        assert await ask(port, "/readyz") == (200, "ok\n")


async def test_a_port_that_is_taken_is_an_error_that_names_the_setting(port: int) -> None:
    async with served(port, CollectorRegistry()):
        with pytest.raises(SettingsError, match=f"BUCKET_OCR_HEALTH_PORT={port}: .*choose another, or 0"):
            async with served(port, CollectorRegistry()):
                pass


async def test_port_0_is_none() -> None:
    async with served(0, CollectorRegistry()) as health:
        assert isinstance(health, Health)


def slot(name: str, resident_bytes: int | None, busy_s: float, **replacements: int) -> Slot:
    child = None if resident_bytes is None else SimpleNamespace(resident_bytes=resident_bytes)
    busy = SimpleNamespace(total_s=busy_s)
    return cast(
        Slot,
        SimpleNamespace(
            spec=SimpleNamespace(name=name), child=child, busy=busy, replacements=Counter(replacements)
        ),
    )


def gone() -> Any:
    raise SettingsError("there is no GPU")


async def test_children_and_gpus_are_looked_at_when_asked(port: int) -> None:
    registry = CollectorRegistry()
    engines = [slot("engine", 5, 2.0, recycled=1), slot("engine", None, 0.5, recycled=2, crash=1)]
    registry.register(Children(engines, [slot("render", 7, 9.0)], lambda: (Gpu(0, "0", 30, 80),)))
    async with served(port, registry):
        text = (await ask(port, "/metrics"))[1]
    samples = {
        (
            sample.name.removeprefix("bucket_ocr_"),
            *(v for _, v in sorted(sample.labels.items())),
        ): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    assert samples == {
        ("engines",): 2,
        ("engine_busy_seconds_total",): 2.5,
        ("child_replacements_total", "engine", "recycled"): 3,
        ("child_replacements_total", "engine", "crash"): 1,
        ("child_resident_bytes", "0", "engine"): 5,
        ("child_resident_bytes", "1", "engine"): 0,
        ("child_resident_bytes", "2", "render"): 7,
        ("gpu_memory_used_bytes", "0"): 50,
        ("gpu_memory_total_bytes", "0"): 80,
    }


async def test_a_gpu_that_has_gone_does_not_take_the_other_metrics_along(port: int) -> None:
    registry = CollectorRegistry()
    registry.register(Children([], [], gone))
    async with served(port, registry):
        assert "bucket_ocr_engines 0.0" in (await ask(port, "/metrics"))[1]
