"""A misbehaving renderer costs the page that it worked on, and nothing else."""

from pathlib import Path

import pytest

from consumer.domain.result import Status
from tests.children import hostile
from tests.children.hostile_documents import (
    BLUE,
    GREEN,
    RED,
    TEST_DEADLINE_S,
    codes,
    costs_one_page_alone,
    hostile_documents,
    pdf,
)

RENDERING_COSTS = {
    "die_of_a_segmentation_fault": "RENDER_CRASH",
    "abort": "RENDER_CRASH",
    "exit_with_0": "RENDER_CRASH",
    "hang_politely": "RENDER_TIMEOUT",
    "hang_holding_the_interpreter_lock": "RENDER_TIMEOUT",
    "spin": "RENDER_TIMEOUT",
    "be_stopped": "RENDER_TIMEOUT",
    "eat_memory": "RENDER_CRASH",
    "send_nonsense": "RENDER_CRASH",
    "send_what_is_no_reply": "RENDER_CRASH",
    "answer_for_nobody": "RENDER_CRASH",
    "raise_an_error": "PAGE_UNREADABLE",
}


@pytest.mark.parametrize(("way", "code"), RENDERING_COSTS.items())
async def test_a_renderer_that_misbehaves_on_a_page_costs_that_page_alone(
    tmp_path: Path, way: str, code: str
) -> None:
    async with hostile_documents(tmp_path, renderer=way) as world:
        await costs_one_page_alone(world, code)


async def test_a_renderer_that_burns_processor_time_is_ended_by_the_kernel(tmp_path: Path) -> None:
    async with hostile_documents(tmp_path, renderer="spin", render_deadline_s=TEST_DEADLINE_S) as world:
        world.store("hostile.pdf", pdf(GREEN, RED, comment=hostile.HOSTILE_WORD))
        document = await world.result("hostile.pdf")

    assert codes(document) == [(2, "RENDER_TIMEOUT")]
    assert "used up its processor time" in document.warnings[0].message


async def test_a_renderer_that_leaks_is_replaced_and_no_page_is_lost(tmp_path: Path) -> None:
    async with hostile_documents(tmp_path, renderer="leak") as world:
        for number in range(20):
            key = f"{number}.pdf"
            world.store(key, pdf(GREEN, BLUE, comment=hostile.HOSTILE_WORD))
            assert (await world.result(key)).status is Status.SUCCESS
        (slot,) = world.renderers
        assert set(slot.replacements) == {"recycled"}
