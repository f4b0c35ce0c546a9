"""The process that writes outputs from the source: what it writes, and what becomes of it when it fails."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from consumer import protocol
from consumer.clock import SystemClock, Watchdog
from consumer.domain.errors import Code, PageError
from consumer.domain.formats import Format
from consumer.ports import SourceJob, SourceOutput
from consumer.processes.output_writer import OutputWriterProcess
from consumer.processes.process import ProcessSpec
from consumer.processes.slot import Slot
from tests.outputs.documents import plain_page

_GIB = 1024**3


@pytest.fixture
async def writer() -> AsyncIterator[OutputWriterProcess]:
    options = protocol.RenderOptions(
        scale=2.0,
        max_page_pixels=10**7,
        max_pages=100,
        open_documents=1,
        address_space_bytes=4 * _GIB,
        processor_s=60,
    )
    spec = ProcessSpec("output", "toy:build_writer", options, _GIB, 2 * _GIB)
    process = OutputWriterProcess(Slot(spec), deadline_s=20)
    async with process.running():
        yield process


async def write(writer: OutputWriterProcess, folder: Path, *texts: str) -> SourceOutput:
    pages, output = folder / "pages", folder / "output"
    lines = [plain_page(number, text).model_dump_json() for number, text in enumerate(texts, start=1)]
    pages.write_text("\n".join(lines))
    output.mkdir(exist_ok=True)
    job = SourceJob("pdf", folder / "source", Format.PDF, pages, output)
    return await writer.write(job, Watchdog(SystemClock()))


async def test_it_gets_all_pages_and_writes_files_by_their_numbers(
    writer: OutputWriterProcess, tmp_path: Path
) -> None:
    written = await write(writer, tmp_path, "one", "two")
    assert (written.endings, written.warnings) == ((".ocr.pdf",), [])
    assert (tmp_path / "output" / "0").read_text() == "one two"


async def test_what_it_notes_becomes_a_warning(writer: OutputWriterProcess, tmp_path: Path) -> None:
    written = await write(writer, tmp_path, "note")
    assert written.endings == ()
    assert [(each.code, each.message) for each in written.warnings] == [(Code.RENDER_CRASH, "pdf: signed")]


@pytest.mark.parametrize("text", ["raise", "crash", "elsewhere"])
async def test_a_failure_costs_the_output_and_the_next_is_written(
    writer: OutputWriterProcess, tmp_path: Path, text: str
) -> None:
    """Also if it would write into another object than one of its output's."""
    with pytest.raises(PageError) as error:
        await write(writer, tmp_path, text)
    assert error.value.code is Code.RENDER_CRASH
    assert (await write(writer, tmp_path, "again")).endings == (".ocr.pdf",)


async def test_one_that_hangs_is_ended(tmp_path: Path, writer: OutputWriterProcess) -> None:
    impatient = OutputWriterProcess(writer.slot, deadline_s=0.5)
    with pytest.raises(PageError) as error:
        await write(impatient, tmp_path, "hang")
    assert error.value.code is Code.RENDER_TIMEOUT
