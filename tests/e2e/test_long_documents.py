"""Documents longer than a part: read by several consumers, whatever happens to these; and joined once."""

import io

from PIL import Image

from tests.e2e import documents
from tests.e2e.conftest import Start
from tests.e2e.stack import QUICK, RESULT_S, Consumer, Stack, null_engine, until

PAGE_S = 0.05
PART_PAGES = 16
#: Pages that two consumers have between them when one is killed: its parts, half of its slots.
SETTINGS = {"PART_PAGES": PART_PAGES, "LEASE_S": 6, "MAX_IN_FLIGHT": 4}


def parts(stack: Stack, key: str) -> set[str]:
    return {name for name in stack.keys(silent=True) if name.startswith(f"{key}.ocr/parts/")}


def kill(consumer: Consumer) -> None:
    consumer.process.kill()
    consumer.process.wait()


def test_a_long_document_survives_the_death_of_one_of_its_consumers(lone_stack: Stack, start: Start) -> None:
    stack, key, pages = lone_stack, "long.pdf", 300
    engine = (*QUICK, *null_engine(PAGE_S, lines=3))
    first = start(stack, "first", engine, **SETTINGS).wait_ready()
    second = start(stack, "second", engine, **SETTINGS).wait_ready()
    stack.put(key, documents.blank_pdf(100, pages), silent=True)
    stack.request(key)
    until(lambda: len(parts(stack, key)) >= 3, RESULT_S, "some stored pages")
    first.line(event="message", key=key, job_result="part stored")
    kill(first)

    result = stack.result(key, silent=True)

    assert (result["status"], result["page_count"]) == ("SUCCESS", pages)
    assert [page["page_number"] for page in result["pages"]] == [*range(1, pages + 1)]
    lines = [line["page_number"] for line in result["detections"]]
    assert lines == [number for number in range(1, pages + 1) for _ in range(3)]
    assert all(
        line["text"].startswith(f"Page {line['page_number']}, 200 x 100,") for line in result["detections"]
    )
    stack.wait_until_settled()
    assert stack.keys(silent=True) == {key, f"{key}.ocr.json"}
    handed_out = [line for line in (*first.lines, *second.lines) if line["event"] == "document.handed_out"]
    assert [(line["pages"], line["parts"]) for line in handed_out] == [(pages, 19)]
    assert stack.dead_letters() == set()


def test_the_frames_of_a_long_tiff_are_pages_like_any(lone_stack: Stack, start: Start) -> None:
    stack, key, frames = lone_stack, "long.tiff", 20
    data = io.BytesIO()
    first, *rest = (Image.new("L", (100 + number, 50), 255) for number in range(frames))
    first.save(data, "TIFF", save_all=True, append_images=rest)
    consumer = start(stack, "consumer", (*QUICK, *null_engine(0.01, lines=1)), **SETTINGS).wait_ready()
    stack.put(key, data.getvalue(), silent=True)
    stack.request(key)

    result = stack.result(key, silent=True)

    widths = [page["width_px"] for page in result["pages"]]
    assert widths == [100 + number for number in range(frames)]
    stack.wait_until_settled()
    assert stack.keys(silent=True) == {key, f"{key}.ocr.json"}
    consumer.line(event="document.handed_out", pages=frames, parts=2)


def test_a_document_that_is_stopped_goes_on_where_it_was(lone_stack: Stack, start: Start) -> None:
    stack, key, pages = lone_stack, "ordinary.pdf", 16
    engine = (*QUICK, *null_engine(0.5, lines=1))
    first = start(stack, "first", engine, DRAIN_S=0, **SETTINGS).wait_ready()
    stack.put(key, documents.blank_pdf(100, pages), silent=True)
    stack.request(key)
    first.wait_at_work()
    # Until the third page is there, two are read.
    until(lambda: len({path.name for path in first.work_dir.rglob("*.bgr")}) >= 2, RESULT_S, "more pages")
    assert first.stop() == 0
    assert len(parts(stack, key)) <= 1
    start(stack, "second", engine, **SETTINGS)
    result = stack.result(key, silent=True)
    assert [page["page_number"] for page in result["pages"]] == [*range(1, pages + 1)]
    stack.wait_until_settled()
    assert stack.keys(silent=True) == {key, f"{key}.ocr.json"}
