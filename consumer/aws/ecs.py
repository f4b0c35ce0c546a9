"""Protection of a busy task from scale-in and deployments on Amazon ECS.

ECS passes the endpoint of its agent to every container:
https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task-scale-in-protection-endpoint.html
"""

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Final

import aiohttp
import structlog

_ENDPOINT: Final = "ECS_AGENT_URI"

#: Protection expires by itself if the consumer dies; while busy it is renewed well before.
_EXPIRES_MIN: Final = 30

_REQUEST_S: Final = 5.0
_ANSWER_BYTES: Final = 1000

log = structlog.get_logger(__name__)


@asynccontextmanager
async def task_protection(
    least_pause_s: float = 10.0, renew_s: float = 600.0
) -> AsyncIterator[Callable[[bool], None]]:
    """Give a function that takes whether this task is busy; without ECS it does nothing.

    `least_pause_s`: between two requests, so that a consumer between two documents does not ask all the time.
    `renew_s`: how often protection is renewed.
    """
    if (agent := os.environ.get(_ENDPOINT)) is None:
        yield lambda _: None
        return
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=_REQUEST_S)) as session:
        protection = _Protection(session, f"{agent}/task-protection/v1/state", least_pause_s, renew_s)
        async with asyncio.TaskGroup() as group:
            keeping = group.create_task(protection.keep(), name="task protection")
            yield protection.set_busy
            keeping.cancel()


@dataclass(eq=False)
class _Protection:
    session: aiohttp.ClientSession
    url: str
    least_pause_s: float
    renew_s: float
    _wanted: bool = False
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    def set_busy(self, busy: bool) -> None:
        self._wanted = busy
        self._changed.set()

    async def keep(self) -> None:
        """Ask for the wanted state whenever it changes, and again before it expires, until cancelled."""
        wait_s = None
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await self._changed.wait()
            self._changed.clear()
            protected = self._wanted
            granted = await self._request_protection(protected=protected)
            await asyncio.sleep(self.least_pause_s)
            wait_s = (self.renew_s if granted else self.least_pause_s) if protected else None

    async def _request_protection(self, *, protected: bool) -> bool:
        """Ask the agent; returns whether it agreed."""
        state: dict[str, object] = {"ProtectionEnabled": protected}
        if protected:
            state["ExpiresInMinutes"] = _EXPIRES_MIN
        try:
            async with self.session.put(self.url, json=state) as response:
                text = (await response.content.read(_ANSWER_BYTES)).decode(errors="replace")
        except (aiohttp.ClientError, OSError, ValueError) as error:
            log.warning("task_protection.failed", error=str(error) or type(error).__name__)
            return False
        # A refusal comes with status 200 as well: TASK_NOT_VALID of a task that belongs to no service, say.
        if granted := response.ok and '"failure"' not in text:
            return granted
        log.warning("task_protection.refused", status=response.status, response=text)
        return False
