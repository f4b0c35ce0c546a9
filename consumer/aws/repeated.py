"""Something that is done again and again beside the work."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress


@asynccontextmanager
async def repeated(action: Callable[[], Awaitable[None]], pause_s: float) -> AsyncIterator[None]:
    """Do `action`, which raises nothing, after every `pause_s` seconds until the context ends."""

    async def repeat() -> None:
        while True:
            await asyncio.sleep(pause_s)
            await action()

    repeating = asyncio.create_task(repeat(), name="repeated")
    try:
        yield
    finally:
        repeating.cancel()
        with suppress(asyncio.CancelledError):
            await repeating
