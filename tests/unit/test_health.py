"""Probes over HTTP."""

import aiohttp
import pytest
from prometheus_client import CollectorRegistry, Gauge

from consumer.domain.errors import SettingsError
from consumer.health import Health, served
from tests.e2e.stack import free_port

LOCAL = "127.0.0.1"


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
    async with served(LOCAL, port, CollectorRegistry()):
        assert await ask(port, "/healthz") == (200, "ok\n")
        assert await ask(port, "/readyz") == (503, "starting\n")


async def test_a_probe_returns_the_problem(port: int) -> None:
    async with served(LOCAL, port, CollectorRegistry()) as health:
        health.alive, health.ready = (lambda: "nothing has moved for 500 s"), lambda: None
        assert await ask(port, "/healthz") == (503, "nothing has moved for 500 s\n")
        assert await ask(port, "/readyz") == (200, "ok\n")


async def test_a_port_that_is_taken_is_an_error_that_names_the_setting(port: int) -> None:
    async with served(LOCAL, port, CollectorRegistry()):
        problem = f"^BUCKET_OCR_HEALTH_PORT={port}: .*{LOCAL}.*: choose another, or port 0"
        with pytest.raises(SettingsError, match=problem):
            async with served(LOCAL, port, CollectorRegistry()):
                pass


async def test_probes_are_answered_at_the_address_of_the_setting_alone(port: int) -> None:
    async with served("127.0.0.2", port, CollectorRegistry()):
        with pytest.raises(aiohttp.ClientConnectorError):
            await ask(port, "/healthz")
    async with served("0.0.0.0", port, CollectorRegistry()):
        assert await ask(port, "/healthz") == (200, "ok\n")


async def test_an_address_that_is_not_of_this_machine_is_an_error(port: int) -> None:
    with pytest.raises(SettingsError, match=r"BUCKET_OCR_HEALTH_HOST=192\.0\.2\.1: "):
        async with served("192.0.2.1", port, CollectorRegistry()):
            pass


async def test_port_0_is_none() -> None:
    async with served(LOCAL, 0, CollectorRegistry()) as health:
        assert isinstance(health, Health)


async def test_metrics_are_those_of_the_registry(port: int) -> None:
    registry = CollectorRegistry()
    Gauge("bucket_ocr_example", "An example.", registry=registry).set(3)
    async with served(LOCAL, port, registry):
        status, text = await ask(port, "/metrics")
    assert (status, "bucket_ocr_example 3.0" in text) == (200, True)
