"""A busy task on Amazon ECS is protected from scale-in, and an idle one is not."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web

from consumer.aws.ecs import task_protection

#: Of a busy machine.
DEADLINE_S = 60.0


class Agent:
    """The agent's endpoint; `asked` are the states that were asked for."""

    def __init__(self, status: int = 200, answer: dict[str, Any] | None = None) -> None:
        self.asked: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._status = status
        self._answer = answer or {"protection": {"ProtectionEnabled": True}}

    async def put(self, request: web.Request) -> web.Response:
        self.asked.put_nowait(await request.json())
        return web.json_response(self._answer, status=self._status)

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[str]:
        application = web.Application()
        application.router.add_put("/api/123/task-protection/v1/state", self.put)
        runner = web.AppRunner(application)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        host, port = runner.addresses[0][:2]
        try:
            yield f"http://{host}:{port}/api/123"
        finally:
            await runner.cleanup()


async def test_protection_is_requested_while_busy_and_ended_when_idle(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    agent = Agent()
    async with asyncio.timeout(DEADLINE_S), agent.serving() as url:
        monkeypatch.setenv("ECS_AGENT_URI", url)
        async with task_protection(least_pause_s=0) as tell:
            tell(True)
            asked = await agent.asked.get()
            assert asked["ProtectionEnabled"] is True
            # As the endpoint allows, and long enough to be renewed in time.
            assert 20 <= asked["ExpiresInMinutes"] <= 2880
            tell(False)
            assert await agent.asked.get() == {"ProtectionEnabled": False}


async def test_an_agent_that_refuses_or_does_not_exist_ends_no_work(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async with asyncio.timeout(DEADLINE_S):
        # The agent refuses with status 200 as well.
        for status in (200, 400):
            agent = Agent(status, {"failure": {"Reason": "TASK_NOT_VALID"}})
            async with agent.serving() as url:
                monkeypatch.setenv("ECS_AGENT_URI", url)
                async with task_protection(least_pause_s=0.05) as tell:
                    tell(True)
                    # It is asked again soon, although nothing has changed.
                    for _ in range(3):
                        assert (await agent.asked.get())["ProtectionEnabled"] is True
            assert "TASK_NOT_VALID" in capsys.readouterr().out
        async with task_protection(least_pause_s=0) as tell:
            tell(True)
            said = ""
            while "task_protection.failed" not in said:
                await asyncio.sleep(0.01)
                said += capsys.readouterr().out


async def test_protection_is_renewed_while_busy(monkeypatch: pytest.MonkeyPatch) -> None:
    agent = Agent()
    async with asyncio.timeout(DEADLINE_S), agent.serving() as url:
        monkeypatch.setenv("ECS_AGENT_URI", url)
        async with task_protection(least_pause_s=0, renew_s=0.05) as tell:
            tell(True)
            for _ in range(3):
                assert (await agent.asked.get())["ProtectionEnabled"] is True


async def test_without_ecs_no_request_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ECS_AGENT_URI", raising=False)
    async with task_protection() as tell:
        tell(True)
        tell(False)
