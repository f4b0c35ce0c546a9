"""Other outputs go with the result that records them, whatever fails, and whoever writes at the same time."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from consumer import protocol
from consumer.clock import Watchdog
from consumer.domain.errors import Code, ServiceError
from consumer.domain.events import Job, parse
from consumer.domain.formats import Format
from consumer.domain.outputs import OutputFormat
from consumer.domain.result import Engine, Warning  # noqa: A004 - the contract's word
from consumer.metrics import Metrics
from consumer.ports import SourceJob, SourceOutput, SourceOutputWriter
from consumer.processes.output_writer import OutputWriterProcess
from consumer.processes.process import ProcessSpec, WorkerProcess
from consumer.processes.slot import Slot
from tests.children.fake_process import SPEC, FakeProcess, FakeSlot
from tests.fakes import BUCKET, ENGINE, NEWER_ENGINE
from tests.fakes.cloud import Cloud
from tests.fakes.network import Fault, Faults, Network
from tests.fakes.outputs import PAGES, TEXTS, SourceTexts
from tests.fakes.service import Service
from tests.fakes.virtual_time import running_loop

RESULT = "a.pdf.ocr.json"
TEXT = "a.pdf.ocr.md"


Begin = Callable[..., Awaitable[Service]]


@pytest.fixture
async def begin(tmp_path: Path) -> AsyncIterator[Begin]:
    """Start services of one cloud, each with a network of its own."""
    cloud = Cloud(running_loop().clock)
    async with AsyncExitStack() as stack:

        async def begin(
            formats: Sequence[OutputFormat] = (TEXTS, PAGES),
            *,
            wanted: Collection[str] | None = None,
            source_writer: SourceOutputWriter | None = None,
            engine: Engine = ENGINE,
        ) -> Service:
            service = Service(
                Network(cloud, Faults()),
                tmp_path,
                Metrics(),
                formats=formats,
                wanted=wanted,
                source_writer=source_writer,
                engine=engine,
            )
            await stack.enter_async_context(service.scheduler.running())
            return service

        yield begin
    # That of a long document is kept for its other parts.
    assert {path.suffix for path in tmp_path.iterdir()} <= {".source"}, "files were left behind"
    assert not cloud.journal.violations


def outputs(service: Service) -> dict[str, bytes]:
    """Bodies of what is there beside source and result."""
    return {key: each.body for key, each in service.s3.objects.items() if key not in {"a.pdf", RESULT}}


def recorded(service: Service) -> tuple[str, ...]:
    return service.result("a.pdf").outputs


async def test_every_output_gets_all_pages_in_order_and_is_stored_before_the_result(begin: Begin) -> None:
    service = await begin()
    source = service.s3.upload("a.pdf", b"%PDF-one 3\ftwo\fthree 2")

    await service.process("a.pdf")

    puts = [call for call in service.calls if call[0].startswith("put")]
    assert puts[-1] == ("put", RESULT)
    assert outputs(service) == {
        TEXT: b"1: one 3\n2: two\n3: three 2\n3 pages by sha256:1",
        "a.pdf.ocr/page-0001-table-1.csv": b"one 3",
        "a.pdf.ocr/page-0002-table-1.csv": b"two",
        "a.pdf.ocr/page-0003-table-1.csv": b"three 2",
    }
    output = service.s3.objects[TEXT]
    assert output.content_type == "text/plain"
    assert output.metadata["ocr-source-etag"] == source.etag
    assert output.metadata["ocr-fingerprint"] == ENGINE.fingerprint
    assert recorded(service) == ("csv", "markdown")


async def test_outputs_of_a_long_document_are_those_of_its_joined_pages(begin: Begin) -> None:
    service = await begin([TEXTS])
    service.s3.upload("a.pdf", b"%PDF-" + b"\f".join(b"%d" % n for n in range(1, 24)))

    await service.process("a.pdf")
    for message in service.sqs.waiting():
        (job,) = parse(message.body).jobs
        await service.jobs.run(job, service.clock.now(), Watchdog(service.clock))

    assert outputs(service)[TEXT].splitlines()[-2:] == [b"23: 23", b"23 pages by sha256:1"]


async def test_an_output_that_cannot_be_stored_leaves_no_result(begin: Begin) -> None:
    service = await begin()
    service.s3.upload("a.pdf", b"%PDF-one")
    service.faults.add("put_output", Fault.FAILS)

    with pytest.raises(ServiceError):
        await service.process("a.pdf")

    assert RESULT not in service.s3.objects


async def test_a_document_that_cannot_be_opened_has_no_other_output(begin: Begin) -> None:
    service = await begin()
    service.s3.upload("a.pdf", b"%PDF-broken")
    await service.process("a.pdf")
    assert service.s3.objects.keys() == {"a.pdf", RESULT}
    assert (await service.process("a.pdf")).reason == "already current"


async def test_a_finished_document_costs_a_listing_more_when_it_is_delivered_again(begin: Begin) -> None:
    service = await begin()
    service.s3.upload("a.pdf", b"%PDF-one")
    await service.process("a.pdf")
    service.calls.clear()

    assert (await service.process("a.pdf")).reason == "already current"
    assert service.calls == [("head", "a.pdf"), ("head", RESULT), ("list", "a.pdf.ocr")]


async def test_an_output_whose_writer_fails_costs_a_warning_and_is_not_tried_again(begin: Begin) -> None:
    service = await begin()
    service.s3.upload("a.pdf", b"%PDF-one\fbug 2")

    with capture_logs() as logs:
        await service.process("a.pdf")

    assert service.texts("a.pdf") == ["one", "bug 2"]
    assert outputs(service).keys() == {TEXT}
    assert recorded(service) == ("markdown",)
    (warning,) = service.result("a.pdf").warnings
    assert (warning.code, warning.page_number) == (Code.RENDER_CRASH, None)
    assert "csv" in warning.message
    (failure,) = [entry for entry in logs if entry["event"] == "output.failed"]
    assert failure["output"] == "csv"
    assert "LookupError" in failure["traceback"]
    assert (await service.process("a.pdf")).reason == "already current"


async def test_an_output_whose_key_would_be_too_long_costs_a_warning(begin: Begin) -> None:
    service = await begin(wanted=["csv", "markdown", "overlay"], source_writer=SourceTexts())
    key = "k" * 1008 + ".pdf"
    service.s3.upload(key, b"%PDF-one")
    await service.process(key)
    assert service.result(key).outputs == ("markdown",)
    csv, overlay = (warning.message for warning in service.result(key).warnings)
    assert "csv" in csv
    assert overlay.startswith("overlay: a key would be longer")


async def test_outputs_that_are_asked_for_later_are_made_without_reading_again(begin: Begin) -> None:
    service = await begin([TEXTS])
    service.s3.upload("a.pdf", b"%PDF-one\ftwo")
    await service.process("a.pdf")
    before = service.result("a.pdf")
    service = await begin([TEXTS, PAGES], wanted=["csv"])
    service.clock.seconds += 60

    await service.process("a.pdf")

    assert service.recognizer.pages_read == 0
    assert outputs(service)["a.pdf.ocr/page-0002-table-1.csv"] == b"two"
    assert recorded(service) == ("csv", "markdown")
    after = service.result("a.pdf")
    assert after.timing.finished_at > before.timing.finished_at
    assert after.model_copy(update={"outputs": before.outputs, "timing": before.timing}) == before


async def test_a_result_with_fields_of_a_later_release_keeps_them(begin: Begin) -> None:
    service = await begin([])
    service.s3.upload("a.pdf", b"%PDF-one")
    await service.process("a.pdf")
    result = service.s3.objects[RESULT]
    body = result.body.replace(b'"page_number":1,"status"', b'"page_number":1,"from_later":[],"status"')
    service.s3.upload(RESULT, body, result.metadata)
    service = await begin()

    await service.process("a.pdf")

    assert b'"from_later":[]' in service.s3.objects[RESULT].body
    assert recorded(service) == ("csv", "markdown")


async def test_a_stored_result_that_is_damaged_is_read_anew(begin: Begin) -> None:
    service = await begin([])
    service.s3.upload("a.pdf", b"%PDF-one")
    await service.process("a.pdf")
    result = service.s3.objects[RESULT]
    service.s3.upload(RESULT, result.body[:-200], result.metadata)
    service.s3.allow_replacing("a.pdf")
    service = await begin()

    await service.process("a.pdf")

    assert service.recognizer.pages_read == 1
    assert recorded(service) == ("csv", "markdown")


async def test_outputs_that_nobody_wants_any_more_stay(begin: Begin) -> None:
    service = await begin([TEXTS])
    service.s3.upload("a.pdf", b"%PDF-one")
    await service.process("a.pdf")
    service = await begin(wanted=[])
    assert (await service.process("a.pdf")).reason == "already current"
    assert recorded(service) == ("markdown",)


async def test_a_source_that_was_copied_with_its_result_gets_outputs_of_its_own(begin: Begin) -> None:
    """A copy keeps bytes and metadata, so the result is current, and says the name of the first source."""
    service = await begin([])
    service.s3.upload("a.pdf", b"%PDF-one")
    await service.process("a.pdf")
    first = service.s3.objects[RESULT]
    service.s3.upload("b.pdf", b"%PDF-one")
    service.s3.upload("b.pdf.ocr.json", first.body, first.metadata)
    service.s3.allow_replacing("b.pdf")
    service = await begin([TEXTS], source_writer=SourceTexts())

    await service.process("b.pdf")

    assert outputs(service).keys() == {"b.pdf", "b.pdf.ocr.json", "b.pdf.ocr.md", "b.pdf.ocr.pdf"}
    assert service.result("b.pdf").outputs == ("markdown", "pdf")
    assert service.result("b.pdf").source.key == "b.pdf"
    assert service.s3.objects[RESULT] == first
    assert service.recognizer.pages_read == 0


async def test_an_output_that_is_lost_is_made_again_at_the_next_message(begin: Begin) -> None:
    service = await begin()
    service.s3.upload("a.pdf", b"%PDF-one")
    await service.process("a.pdf")
    service.s3.delete_output(TEXT)
    service.s3.upload("a.pdf.ocr/page-0001-table-1.csv", b"of another", {"ocr-source-etag": "x"})

    await service.process("a.pdf")

    assert outputs(service)[TEXT] == b"1: one\n1 pages by sha256:1"
    assert outputs(service)["a.pdf.ocr/page-0001-table-1.csv"] == b"one"
    assert service.recognizer.pages_read == 1


async def test_objects_of_pages_that_are_gone_are_removed(begin: Begin) -> None:
    service = await begin()
    service.s3.upload("a.pdf", b"%PDF-one\ftwo\fthree")
    await service.process("a.pdf")
    service.s3.upload("a.pdf", b"%PDF-other")

    await service.process("a.pdf")

    assert outputs(service).keys() == {TEXT, "a.pdf.ocr/page-0001-table-1.csv"}


async def test_what_a_client_has_put_in_the_place_of_an_output_is_replaced(begin: Begin) -> None:
    service = await begin([TEXTS])
    service.s3.upload("a.pdf", b"%PDF-one")
    service.s3.upload(TEXT, b"mine")
    await service.process("a.pdf")
    assert outputs(service) == {TEXT: b"1: one\n1 pages by sha256:1"}


async def test_a_slower_consumer_of_an_older_source_leaves_no_output_beside_the_newer_result(
    begin: Begin,
) -> None:
    slow, fast = await begin(), await begin()
    slow.s3.upload("a.pdf", b"%PDF-old 1\fold 2")

    async def overtake() -> None:
        slow.s3.upload("a.pdf", b"%PDF-new")
        await fast.process("a.pdf")

    # At its first put, after it has looked at everything.
    slow.faults.add("put_output", overtake)
    await slow.process("a.pdf")

    assert slow.texts("a.pdf") == ["new"]
    assert outputs(slow) == {TEXT: b"1: new\n1 pages by sha256:1", "a.pdf.ocr/page-0001-table-1.csv": b"new"}


async def test_a_consumer_that_is_overtaken_and_ends_replaces_no_output_of_the_newer_result(
    begin: Begin,
) -> None:
    """It was suspended for longer than its lease: when it goes on, no message is left that would mend it."""
    slow, fast = await begin([TEXTS]), await begin([TEXTS])
    slow.s3.upload("a.pdf", b"%PDF-old")
    overtaken = asyncio.Event()

    def end() -> None:
        raise asyncio.CancelledError

    async def overtake() -> None:
        if not overtaken.is_set():
            overtaken.set()
            slow.s3.upload("a.pdf", b"%PDF-new")
            await fast.process("a.pdf")
            # What it asks for next is the newer result.
            slow.faults.add("head", end)

    # After it has listed the outputs, and described the source: whatever it does next.
    slow.faults.add("list", lambda: None)
    slow.faults.add("list", overtake)
    slow.faults.add("put_output", overtake)
    with pytest.raises(asyncio.CancelledError):
        await slow.process("a.pdf")

    assert slow.texts("a.pdf") == ["new"]
    assert slow.s3.has_recorded_outputs("a.pdf")


@pytest.mark.parametrize("operation", ["put_output", "put"])
async def test_consumers_with_different_outputs_end_with_all_of_them(begin: Begin, operation: str) -> None:
    one, other = await begin(wanted=["markdown"]), await begin(wanted=["csv"])
    one.s3.upload("a.pdf", b"%PDF-text")
    one.faults.add(operation, lambda: other.process("a.pdf"))

    await one.process("a.pdf")

    assert recorded(one) == ("csv", "markdown")
    assert one.s3.has_recorded_outputs("a.pdf")


async def test_an_output_put_by_another_engine_after_the_result_is_put_back(begin: Begin) -> None:
    one, other = await begin([TEXTS]), await begin([TEXTS], engine=NEWER_ENGINE)
    one.s3.upload("a.pdf", b"%PDF-text")
    other.faults.add("put", Fault.FAILS)

    async def interfere() -> None:
        with pytest.raises(ServiceError):
            await other.process("a.pdf")

    one.faults.add("put", interfere)
    await one.process("a.pdf")

    assert one.result("a.pdf").engine.fingerprint == ENGINE.fingerprint
    assert outputs(one)[TEXT] == b"1: text\n1 pages by sha256:1"
    assert one.s3.has_recorded_outputs("a.pdf")


async def test_an_output_of_a_consumer_that_died_is_put_back_when_the_source_goes_back(begin: Begin) -> None:
    """A, B, A in a bucket without versions: the result of A is found current, with the output of B."""
    service = await begin([TEXTS])
    service.s3.upload("a.pdf", b"%PDF-A")
    await service.process("a.pdf")
    service.s3.upload("a.pdf", b"%PDF-B")
    service.faults.add("put", Fault.FAILS)
    with pytest.raises(ServiceError):
        await service.process("a.pdf")
    assert not service.s3.has_recorded_outputs("a.pdf")
    service.s3.upload("a.pdf", b"%PDF-A")

    await service.process("a.pdf")

    assert service.recognizer.pages_read == 2
    assert outputs(service) == {TEXT: b"1: A\n1 pages by sha256:1"}
    assert service.s3.has_recorded_outputs("a.pdf")


async def test_a_put_of_an_output_whose_answer_was_lost_counts_as_stored(begin: Begin) -> None:
    service = await begin([TEXTS])
    service.s3.upload("a.pdf", b"%PDF-one")
    service.faults.add("put_output", Fault.RESENT)
    assert (await service.process("a.pdf")).reason == "stored"
    assert service.s3.has_recorded_outputs("a.pdf")


async def test_an_exhausted_document_has_no_other_output(begin: Begin) -> None:
    service = await begin()
    service.s3.upload("a.pdf", b"%PDF-one")
    job = Job(BUCKET, "a.pdf")
    await service.jobs.write_exhausted_result(job, service.clock.now(), "why", Watchdog(service.clock))
    assert service.s3.objects.keys() == {"a.pdf", RESULT}


PDF = "a.pdf.ocr.pdf"


async def test_an_output_that_needs_the_source_is_made_of_it_and_the_finished_pages(begin: Begin) -> None:
    service = await begin([TEXTS], source_writer=SourceTexts())
    service.s3.upload("a.pdf", b"%PDF-one\ftwo")

    await service.process("a.pdf")

    assert outputs(service)[PDF] == b"%PDF-one\ftwo with one+two"
    assert service.s3.objects[PDF].content_type == "application/pdf"
    assert recorded(service) == ("markdown", "pdf")
    assert service.calls.count(("download", "a.pdf")) == 1


async def test_it_is_made_of_a_stored_result_too(begin: Begin) -> None:
    service = await begin([TEXTS])
    service.s3.upload("a.pdf", b"%PDF-one\ftwo")
    await service.process("a.pdf")
    service = await begin([TEXTS], source_writer=SourceTexts())

    await service.process("a.pdf")

    assert outputs(service)[PDF] == b"%PDF-one\ftwo with one+two"
    assert recorded(service) == ("markdown", "pdf")
    assert service.recognizer.pages_read == 0


async def test_it_is_made_of_a_long_document_that_was_joined(begin: Begin) -> None:
    service = await begin([], source_writer=SourceTexts())
    texts = [b"%d" % number for number in range(1, 24)]
    service.s3.upload("a.pdf", b"%PDF-" + b"\f".join(texts))
    await service.process("a.pdf")
    for message in service.sqs.waiting():
        (job,) = parse(message.body).jobs
        await service.jobs.run(job, service.clock.now(), Watchdog(service.clock))
    assert outputs(service)[PDF].endswith(b" with " + b"+".join(texts))


@pytest.mark.parametrize(
    ("text", "code", "message"),
    [
        ("unwritable", Code.RENDER_TIMEOUT, "pdf: too slow"),
        ("signed", Code.RENDER_CRASH, "pdf: it is signed"),
    ],
)
async def test_if_it_cannot_be_made_the_result_has_a_warning_that_says_why(
    begin: Begin, text: str, code: Code, message: str
) -> None:
    service = await begin([TEXTS], source_writer=SourceTexts())
    service.s3.upload("a.pdf", b"%PDF-" + text.encode())
    await service.process("a.pdf")
    assert recorded(service) == ("markdown",)
    assert [(each.code, each.message) for each in service.result("a.pdf").warnings] == [(code, message)]
    assert (await service.process("a.pdf")).reason == "already current"


class NotedTexts(SourceTexts):
    async def write(self, job: SourceJob, watchdog: Watchdog) -> SourceOutput:
        made = await super().write(job, watchdog)
        return replace(made, warnings=[Warning(code=Code.RENDER_CRASH, message="pdf: damaged")])


async def test_an_output_that_is_made_again_does_not_say_again_what_it_said(begin: Begin) -> None:
    service = await begin([], source_writer=NotedTexts())
    service.s3.upload("a.pdf", b"%PDF-one")
    await service.process("a.pdf")
    before = service.result("a.pdf").warnings
    for _ in range(2):
        service.s3.delete_output(PDF)
        await service.process("a.pdf")
    assert service.s3.has_recorded_outputs("a.pdf")
    assert service.result("a.pdf").warnings == before
    assert len(before) == 1


class SlowProcess(FakeProcess):
    """Writes an output of six pages, 100 seconds each."""

    async def request(
        self, message: protocol.Request, deadline_s: float, on_progress: Callable[[], None] | None = None
    ) -> protocol.Reply:
        assert on_progress is not None
        for _ in range(6):
            await asyncio.sleep(100)
            on_progress()
        return protocol.OutputWritten(endings=(), sizes_bytes=())


async def test_a_document_that_waits_for_its_turn_to_be_written_makes_the_progress_of_those_before_it(
    tmp_path: Path,
) -> None:
    """Else it would count as overdue behind a long document, and be read again."""

    async def start(_: ProcessSpec) -> WorkerProcess:
        return SlowProcess(FakeSlot())

    clock = running_loop().clock
    writer = OutputWriterProcess(Slot(SPEC, start), Watchdog(clock))
    (target := tmp_path / "output").touch()
    job = SourceJob("pdf", Path("source"), Format.PDF, Path("pages"), target)
    watchdogs = [Watchdog(clock) for _ in range(3)]
    async with writer.running():
        waiting = asyncio.gather(*(writer.write(job, watchdog) for watchdog in watchdogs))
        oldest = 0.0
        while not waiting.done():
            oldest = max(oldest, watchdogs[-1].seconds_since_progress)
            await asyncio.sleep(30)
    assert clock.seconds >= 1800
    assert oldest <= 100
