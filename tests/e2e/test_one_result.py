"""A source has one result, of its newest bytes, read once: whatever is doubled, late or overwritten."""

from pathlib import Path

from tests.e2e import documents
from tests.e2e.conftest import Start
from tests.e2e.stack import RESULT_S, Consumer, Document, Stack, until


def _handled(stack: Stack, consumer: Consumer, message_id: str) -> Document:
    line = consumer.line(event="message", message_id=message_id)
    stack.wait_until_settled()
    return line


def test_the_same_object_is_read_once_unless_that_is_forced(stack: Stack, consumer: Consumer) -> None:
    stack.put("twice.pdf", documents.pdf("ONLY ONCE"), silent=True)
    assert _handled(stack, consumer, stack.request("twice.pdf"))["job_result"] == "stored"
    first = stack.result("twice.pdf", silent=True)
    assert _handled(stack, consumer, stack.request("twice.pdf"))["job_result"] == "already current"
    assert stack.result("twice.pdf", silent=True) == first
    assert _handled(stack, consumer, stack.request("twice.pdf", force=True))["job_result"] == "stored"
    forced = stack.result("twice.pdf", silent=True)
    assert forced["timing"]["started_at"] > first["timing"]["finished_at"]
    assert documents.text(forced) == documents.text(first) == "ONLY ONCE"


def test_an_overwritten_source_gets_the_result_of_its_new_bytes(stack: Stack, consumer: Consumer) -> None:
    stack.put("new.pdf", documents.pdf("OLD BYTES"))
    assert documents.text(stack.result("new.pdf")) == "OLD BYTES"
    stack.put("new.pdf", documents.pdf("NEW BYTES"))
    assert documents.text(stack.result("new.pdf")) == "NEW BYTES"


def test_a_source_overwritten_while_it_is_read_gets_the_result_of_its_new_bytes(
    stack: Stack, consumer: Consumer, samples: Path
) -> None:
    stack.put("hasty.pdf", documents.long_pdf(samples / "letter.pdf", 4))
    consumer.wait_at_work()
    etag = stack.put("hasty.pdf", documents.pdf("SECOND THOUGHTS"))
    stack.result("hasty.pdf")
    # The message about the old bytes is in flight for longer; its result must not be older.
    stack.wait_until_settled()
    result = stack.result("hasty.pdf")
    assert (result["source"]["etag"], documents.text(result)) == (etag, "SECOND THOUGHTS")
    assert set(consumer.job_results("hasty.pdf")) <= {"stored", "stored meanwhile", "already current"}


def test_what_a_client_stored_in_the_results_place_is_replaced(stack: Stack, consumer: Consumer) -> None:
    stack.put("taken.pdf.ocr.json", b"mine")
    stack.put("taken.pdf", documents.pdf("NOT YOURS"))
    assert documents.text(stack.result("taken.pdf")) == "NOT YOURS"


def test_two_consumers_at_one_queue_leave_one_result_each(
    stack: Stack, consumer: Consumer, start: Start
) -> None:
    other = start(stack).wait_ready()
    sources = [f"many/{number}.pdf" for number in range(4)]
    for key in sources:
        stack.put(key, documents.pdf(f"NUMBER {key[5]}"), silent=True)
        for _ in range(3):
            stack.request(key)
    stack.wait_until_settled()
    for key in sources:
        assert documents.text(stack.result(key, silent=True)) == f"NUMBER {key[5]}"
    until(
        lambda: all("stored" in consumer.job_results(key) + other.job_results(key) for key in sources),
        RESULT_S,
        "a line for each",
    )
    assert stack.dead_letters() == set()
    # Not killed: its last long poll could take a message of the next test for a whole lease.
    assert other.stop() == 0
