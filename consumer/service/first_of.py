"""A wait for the first of several events, which asyncio has for tasks alone."""

import asyncio
from typing import Any


async def first_of(
    *events: asyncio.Event, work: asyncio.Task[Any] | None = None, timeout_s: float | None = None
) -> None:
    """Return when one of the events is set, when `work` has ended, or after so many seconds.

    `work` goes on, whatever ends the wait.
    """
    waiting = [asyncio.create_task(event.wait()) for event in events]
    try:
        ends = waiting if work is None else [*waiting, work]
        await asyncio.wait(ends, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in waiting:
            task.cancel()
