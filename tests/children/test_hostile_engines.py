"""A misbehaving engine costs the page that it worked on, and nothing else: real processes and signals."""

import asyncio
from collections import Counter
from pathlib import Path

import pytest

from consumer.domain.errors import HostError
from consumer.domain.result import Status
from tests.children import hostile
from tests.children.hostile_documents import (
    BLUE,
    ENGINE_BYTES,
    GREEN,
    RED,
    TEXTS,
    WHITE,
    codes,
    costs_one_page_alone,
    hostile_documents,
    hostile_processes,
    pdf,
    texts,
)

COSTS = {
    "die_of_a_segmentation_fault": "ENGINE_CRASH",
    "abort": "ENGINE_CRASH",
    "exit_with_0": "ENGINE_CRASH",
    "be_killed_from_outside": "ENGINE_CRASH",
    "hang_politely": "ENGINE_TIMEOUT",
    "hang_holding_the_interpreter_lock": "ENGINE_TIMEOUT",
    "spin": "ENGINE_TIMEOUT",
    "be_stopped": "ENGINE_TIMEOUT",
    "eat_memory": "ENGINE_CRASH",
    "send_without_end": "ENGINE_CRASH",
    "send_nonsense": "ENGINE_CRASH",
    "send_what_is_no_reply": "ENGINE_CRASH",
    "answer_for_nobody": "ENGINE_CRASH",
    "forge_another_page": "ENGINE_CRASH",
    "hang_after_a_step": "ENGINE_TIMEOUT",
    "send_progress_without_end": "ENGINE_CRASH",
    "die_of_a_signal_without_a_name": "ENGINE_CRASH",
    "leave_a_process_behind": "ENGINE_CRASH",
    "raise_an_error": "ENGINE_ERROR",
}


@pytest.mark.parametrize(("way", "code"), COSTS.items())
async def test_an_engine_that_misbehaves_on_a_page_costs_that_page_alone(
    tmp_path: Path, way: str, code: str
) -> None:
    async with hostile_documents(tmp_path, engine=way, batch_pages=4) as world:
        await costs_one_page_alone(world, code)


@pytest.mark.parametrize("way", ["die_of_a_segmentation_fault", "hang_politely", "raise_an_error"])
@pytest.mark.parametrize("batch_pages", [1, 4])
async def test_a_layout_at_which_the_engine_ends_or_hangs_costs_no_lines(
    tmp_path: Path, way: str, batch_pages: int
) -> None:
    async with hostile_documents(
        tmp_path, engine=way, engine_kind="layout", batch_pages=batch_pages
    ) as world:
        world.store("hostile.pdf", pdf(GREEN, RED, BLUE))
        result = await world.result("hostile.pdf")
    assert result.status is Status.SUCCESS
    assert texts(result) == [(1, TEXTS[GREEN]), (2, hostile.HOSTILE), (3, TEXTS[BLUE])]


@pytest.mark.parametrize("batch_pages", [1, 8])
async def test_a_page_that_kills_the_engine_every_time_costs_two_engines_at_most(
    tmp_path: Path, batch_pages: int
) -> None:
    colours = [GREEN] * 16 + [RED] + [BLUE] * 33
    async with hostile_documents(
        tmp_path, engine="die_of_a_segmentation_fault", batch_pages=batch_pages
    ) as world:
        world.store("long.pdf", pdf(*colours))
        for name in ("a.pdf", "b.pdf", "c.pdf"):
            world.store(name, pdf(WHITE))
        long, *others = await asyncio.gather(
            *(world.result(name) for name in ("long.pdf", "a.pdf", "b.pdf", "c.pdf"))
        )
        assert world.replacements <= 2

    assert long.status is Status.PARTIAL
    assert codes(long) == [(17, "ENGINE_CRASH")]
    assert len(long.detections) == 49
    assert [other.status for other in others] == [Status.SUCCESS] * 3


async def test_output_of_an_engine_is_not_taken_for_a_log_line_or_a_reply(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    async with hostile_documents(tmp_path, engine="print_to_stdout") as world:
        world.store("loud.pdf", pdf(RED, GREEN))
        document = await world.result("loud.pdf")

    assert texts(document) == [(1, "#ff0000"), (2, TEXTS[GREEN])]
    printed = capfd.readouterr()
    assert "not a log line" not in printed.out
    assert "not a log line" in printed.err


async def test_an_engine_that_leaks_is_replaced_by_a_warm_one_without_a_lost_page(tmp_path: Path) -> None:
    pages = 60
    highest = 0
    async with hostile_documents(tmp_path, engine="leak") as world:
        world.store("long.pdf", pdf(*[RED] * pages))
        (slot,) = world.engines
        work = asyncio.create_task(world.result("long.pdf"))
        while not work.done():
            await asyncio.wait([work], timeout=0.01)
            highest = max(highest, slot.process.resident_bytes if slot.process else 0)
        document = await work
        assert set(slot.replacements) == {"recycled"}
        assert slot.replacements["recycled"] >= pages * hostile.LEAK_BYTES // ENGINE_BYTES

    assert document.status is Status.SUCCESS
    assert len(document.detections) == pages
    assert highest < ENGINE_BYTES


async def test_an_engine_works_until_its_successor_is_ready_one_at_a_time(
    tmp_path: Path,
) -> None:
    recycle_pages = 20
    oldest, most_processes = 0, 0
    async with hostile_documents(tmp_path, engine_count=2, recycle_pages=recycle_pages) as world:
        world.store("long.pdf", pdf(*[GREEN] * 240))
        work = asyncio.create_task(world.result("long.pdf"))
        while not work.done():
            await asyncio.wait([work], timeout=0.005)
            oldest = max(oldest, *(slot.process.pages_read for slot in world.engines if slot.process))
            most_processes = max(most_processes, len(hostile_processes('"engine"')))
        document = await work
        replacements = sum((Counter(slot.replacements) for slot in world.engines), Counter())

    assert len(document.detections) == 240
    # On a busy machine the document may end before the second engine has its successor.
    assert set(replacements) == {"recycled"}
    # Starting a process takes longer than reading a page of these.
    assert oldest > recycle_pages
    assert most_processes == 3


@pytest.mark.parametrize("kind", ["engine", "renderer"])
async def test_a_process_that_never_gets_ready_is_the_machines_failure(tmp_path: Path, kind: str) -> None:
    with pytest.raises(HostError, match="not ready in"):
        async with hostile_documents(tmp_path, start_deadline_s=2, **{kind: "never_get_ready"}):  # type: ignore[arg-type]
            pass
