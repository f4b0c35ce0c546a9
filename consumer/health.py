"""Health and metrics over HTTP: `/healthz`, `/readyz`, `/metrics`."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from consumer.domain.errors import SettingsError

#: Returns the problem; None if there is none.
Probe = Callable[[], str | None]

#: The event loop ends after this, and a probe that is cut off is asked again elsewhere.
_SHUTDOWN_S: Final = 1.0


@dataclass
class Health:
    """The probes; a consumer that starts is alive and not ready."""

    alive: Probe = lambda: None
    ready: Probe = lambda: "starting"


@asynccontextmanager
async def served(host: str, port: int, registry: CollectorRegistry) -> AsyncIterator[Health]:
    """Serve on this port of an address until the context ends; on port 0, not at all.

    `host`: an address or the name of one; 0.0.0.0 is all of IPv4, :: all. Raises SettingsError if it cannot
    be bound.
    """
    health = Health()
    if port == 0:
        yield health
        return

    async def alive(_: web.Request) -> web.Response:
        return _response(health.alive())

    async def ready(_: web.Request) -> web.Response:
        return _response(health.ready())

    async def metrics(_: web.Request) -> web.Response:
        return web.Response(body=generate_latest(registry), headers={"Content-Type": CONTENT_TYPE_LATEST})

    app = web.Application()
    app.add_routes([web.get("/healthz", alive), web.get("/readyz", ready), web.get("/metrics", metrics)])
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=_SHUTDOWN_S, handle_signals=False)
    await runner.setup()
    try:
        await _listen(runner, host, port)
        yield health
    finally:
        await runner.cleanup()


async def _listen(runner: web.AppRunner, host: str, port: int) -> None:
    try:
        await web.TCPSite(runner, host, port).start()
    except OSError as error:
        raise SettingsError(
            f"BUCKET_OCR_HEALTH_PORT={port}: cannot be bound with BUCKET_OCR_HEALTH_HOST={host}: "
            f"{error.strerror}: choose another, or port 0 for none"
        ) from error


def _response(problem: str | None) -> web.Response:
    if problem is None:
        return web.Response(text="ok\n")
    return web.Response(status=HTTPStatus.SERVICE_UNAVAILABLE, text=f"{problem}\n")
