"""The process that writes outputs from the source: what it writes, and what becomes of it when it fails."""

import io
import random
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pymupdf
import pytest
from PIL import Image

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


_OPTIONS = protocol.RenderOptions(
    scale=2.0,
    max_page_pixels=10**7,
    max_pages=100,
    open_documents=1,
    address_space_bytes=4 * _GIB,
    processor_s=60,
)


@asynccontextmanager
async def running(entry: str, deadline_s: float) -> AsyncIterator[OutputWriterProcess]:
    spec = ProcessSpec("output", entry, _OPTIONS, _GIB, 2 * _GIB)
    process = OutputWriterProcess(Slot(spec), Watchdog(SystemClock()), deadline_s)
    async with process.running():
        yield process


@pytest.fixture
async def writer() -> AsyncIterator[OutputWriterProcess]:
    async with running("toy:build_writer", 20) as process:
        yield process


async def write(writer: OutputWriterProcess, folder: Path, *texts: str) -> SourceOutput:
    pages, source = folder / "pages", folder / "source"
    lines = [plain_page(number, text).model_dump_json() for number, text in enumerate(texts, start=1)]
    pages.write_text("\n".join(lines))
    source.touch()
    job = SourceJob("pdf", source, Format.PDF, pages, folder / "output")
    return await writer.write(job, Watchdog(SystemClock()))


async def test_it_gets_all_pages_and_writes_its_objects_into_one_file(
    writer: OutputWriterProcess, tmp_path: Path
) -> None:
    written = await write(writer, tmp_path, "one", "two")
    assert (written.endings, written.warnings) == ((".ocr.pdf",), [])
    assert (tmp_path / "output").read_text() == "one two"
    assert written.sizes_bytes == (len("one two"),)


async def test_what_it_notes_becomes_a_warning(writer: OutputWriterProcess, tmp_path: Path) -> None:
    written = await write(writer, tmp_path, "note")
    assert written.endings == ()
    assert [(each.code, each.message) for each in written.warnings] == [(Code.RENDER_CRASH, "pdf: signed")]


@pytest.mark.parametrize("text", ["raise", "crash", "elsewhere", "longer"])
async def test_a_failure_costs_the_output_and_the_next_is_written(
    writer: OutputWriterProcess, tmp_path: Path, text: str
) -> None:
    """Also if it names another object than one of its output's, or bytes that it has not written."""
    with pytest.raises(PageError) as error:
        await write(writer, tmp_path, text)
    assert error.value.code is Code.RENDER_CRASH
    assert (await write(writer, tmp_path, "again")).endings == (".ocr.pdf",)


async def test_one_that_hangs_is_ended(tmp_path: Path, writer: OutputWriterProcess) -> None:
    impatient = OutputWriterProcess(writer.slot, writer.watchdog, 0.5)
    with pytest.raises(PageError) as error:
        await write(impatient, tmp_path, "hang")
    assert error.value.code is Code.RENDER_TIMEOUT


#: Writes a searchable PDF of the first argument into the second, and prints the kind of the reply.
_WRITING = """
import sys
from consumer import protocol
from consumer.child import serve, source_outputs
from consumer.domain.formats import Format

options, source, folder = sys.argv[1:]
request = protocol.WriteOutput(
    output="pdf", path=source, format=Format.PDF, pages_path=source + ".pages", output_path=folder + "/output"
)
writer = source_outputs.build(options)
print(serve._reply(writer, request, lambda: None).kind)
"""


@pytest.mark.parametrize("is_damaged", [False, True])
def test_a_full_disk_is_a_failure_of_the_host(is_damaged: bool, tmp_path: Path) -> None:
    """Not one of the document, whose result would then lack the output for good."""
    source, disk = tmp_path / "source", tmp_path / "disk"
    disk.mkdir()
    with pymupdf.open() as document:
        document.new_page(width=500, height=700)
        number = document.get_new_xref()
        document.update_object(number, "<<>>")
        document.update_stream(number, random.randbytes(120_000))
        document.xref_set_key(document.pdf_catalog(), "Kept", f"{number} 0 R")
        document.save(source)
    if is_damaged:
        data = source.read_bytes()
        source.write_bytes(data[: data.rindex(b"xref\n0")])
    (tmp_path / "source.pages").write_text(plain_page(1, "invoice").model_dump_json())
    # A disk of its own, of any user who may have one.
    mount = f'mount -t tmpfs -o size=64k tmpfs {disk} || exit 77; exec "$@"'
    command = [sys.executable, "-c", _WRITING, _OPTIONS.model_dump_json(), str(source), str(disk)]
    try:
        run = subprocess.run(
            ["unshare", "-rm", "sh", "-c", mount, "sh", *command],
            capture_output=True,
            timeout=300,
            check=False,
        )
    except FileNotFoundError:
        pytest.skip("unshare is not installed")
    if run.returncode == 77 or run.stderr.startswith(b"unshare"):
        pytest.skip("no file system can be mounted")
    # What the process prints goes to standard error.
    assert run.stderr.decode().split()[-1] == "broken"


async def test_a_searchable_pdf_and_pictures_are_written_from_the_source(tmp_path: Path) -> None:
    with pymupdf.open() as document:
        for _ in range(2):
            document.new_page(width=500, height=700).draw_rect((20, 20, 250, 60))
        document.save(tmp_path / "source")
    pages = tmp_path / "pages"
    lines = [plain_page(number, f"invoice {number}").model_dump_json() for number in (1, 2)]
    pages.write_text("\n".join(lines))
    async with running("consumer.child.source_outputs:build", 60) as writer:
        endings, sizes = {}, {}
        for output in ("pdf", "overlay"):
            job = SourceJob(output, tmp_path / "source", Format.PDF, pages, tmp_path / output)
            written = await writer.write(job, Watchdog(SystemClock()))
            assert written.warnings == []
            endings[output], sizes[output] = written.endings, written.sizes_bytes
    assert endings == {"pdf": (".ocr.pdf",), "overlay": (".ocr/page-0001.png", ".ocr/page-0002.png")}
    assert sizes["pdf"] == ((tmp_path / "pdf").stat().st_size,)
    with pymupdf.open(tmp_path / "pdf", filetype="pdf") as searchable:
        assert [page.get_text().split() for page in searchable] == [["invoice", "1"], ["invoice", "2"]]
    first, second = sizes["overlay"]
    pictures = (tmp_path / "overlay").read_bytes()
    assert len(pictures) == first + second
    with Image.open(io.BytesIO(pictures[first:])) as picture:
        assert picture.size == (1000, 1400)
