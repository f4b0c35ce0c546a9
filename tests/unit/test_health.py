"""Probes over HTTP."""

import aiohttp
import pytest
from prometheus_client import CollectorRegistry, Gauge

from consumer.domain.errors import SettingsError
from consumer.health import Health, served
from tests.e2e.stack import free_port


@pytest.fixture
def port() -> int:
    return free_port()


async def ask(port: int, path: str) -> tuple[int, str]:
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"http://127.0.0.1:{port}{path}") as response,
    ):
        return response.status, await response.text()


async def test_a_consumer_that_starts_is_alive_and_not_ready(port: int) -> None:
    async with served(port, CollectorRegistry()):
        assert await ask(port, "/healthz") == (200, "ok\n")
        assert await ask(port, "/readyz") == (503, "starting\n")


async def test_a_probe_returns_the_problem(port: int) -> None:
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


async def test_metrics_are_those_of_the_registry(port: int) -> None:
    registry = CollectorRegistry()
    Gauge("bucket_ocr_example", "An example.", registry=registry).set(3)
    async with served(port, registry):
        status, text = await ask(port, "/metrics")
    assert (status, "bucket_ocr_example 3.0" in text) == (200, True)
