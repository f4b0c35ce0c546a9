"""A child whose messages know no measure: it is replaced, its page fails, and the parent stays small."""

import asyncio
import os
from pathlib import Path

import pytest

from consumer.processes.host import resident_bytes
from tests.children.hostile_documents import BLUE, GREEN, WHITE, costs_one_page_alone, hostile_documents, pdf

#: Most that the parent may grow by, at its highest.
MOST_BYTES = 10_000_000

WAYS = (
    "send_without_end",
    "send_nested",
    "send_nonsense_of_full_length",
    "send_many_values",
    "send_many_wrong_values",
    "send_parts_without_end",
)


def highest_bytes() -> int:
    """The most memory that this process has held since `forget_highest`."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))


def forget_highest() -> None:
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError as error:
        pytest.skip(f"the highest memory of a process cannot be measured here: {error}")


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("kind", "code"), [("engine", "ENGINE_CRASH"), ("renderer", "RENDER_CRASH")])
async def test_messages_without_measure_cost_their_page_and_no_memory(
    tmp_path: Path, kind: str, code: str, way: str
) -> None:
    async with hostile_documents(tmp_path, **{kind: way}) as world:  # type: ignore[arg-type]
        # What the first documents make the parent load and keep is no matter of the message.
        world.store("first.pdf", pdf(GREEN, BLUE, WHITE))
        await asyncio.gather(*(world.result("first.pdf") for _ in range(3)))
        forget_highest()
        before_bytes = resident_bytes(os.getpid())
        await costs_one_page_alone(world, code)
        assert highest_bytes() - before_bytes <= MOST_BYTES
        assert world.replacements
