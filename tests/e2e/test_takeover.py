"""Two consumers, or a consumer and a client that changes its source: the newest source has the last word."""

import copy
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e import documents
from tests.e2e.conftest import Start
from tests.e2e.proxy import FaultProxy, hold
from tests.e2e.stack import QUICK, RESULT_S, Document, Stack, null_engine, until

OLD_PT, NEW_PT = 100, 200
ENGINE = (*QUICK, *null_engine(0.05, lines=1))


@pytest.fixture
def proxy(lone_stack: Stack) -> Iterator[FaultProxy]:
    with FaultProxy(lone_stack.cloud.endpoint_url) as proxy:
        yield proxy


def _width_px(result: Document) -> int:
    return int(result["detections"][0]["text"].split(",")[1].split("x")[0])


@pytest.mark.parametrize("has_result", [False, True], ids=["first result", "another result"])
def test_an_older_version_that_is_finished_last_does_not_replace_a_newer_result(
    lone_stack: Stack, proxy: FaultProxy, start: Start, *, has_result: bool
) -> None:
    stack, key = lone_stack, "twice.pdf"
    slow = start(stack.seen_at(proxy.url), "slow", ENGINE, MAX_IN_FLIGHT=1).wait_ready()
    # A queue of its own, so that each consumer gets the message that is meant for it.
    others = copy.copy(stack)
    others.queue_url = stack.sqs.create_queue(QueueName=f"{stack.bucket}-other")["QueueUrl"]
    other = start(others, "other", ENGINE).wait_ready()
    if has_result:
        stack.put(key, documents.blank_pdf(50), silent=True)
        stack.request(key)
        stack.result(key, silent=True)
    late = hold()
    # All of them: while the first is held, the SDK may send it again.
    proxy.fail("PutObject", late, key=f"{key}.ocr.json", times=None)
    stack.put(key, documents.blank_pdf(OLD_PT), silent=True)
    stack.request(key)
    assert late.reached.wait(RESULT_S)

    stack.put(key, documents.blank_pdf(NEW_PT), silent=True)
    message_id = others.request(key)
    other.line(event="message", message_id=message_id, job_result="stored")
    newer = stack.result(key, silent=True)
    late.release()

    line = slow.line(event="message", job_result="already current")
    assert line["settled"] == "Delete"
    stack.wait_until_settled()
    assert stack.result(key, silent=True) == newer
    assert _width_px(newer) == 2 * NEW_PT
    # It was refused by the bucket, and not by luck.
    puts = [call.status for call in proxy.calls if call.matches("PutObject", f"{key}.ocr.json")]
    assert puts[-1] == 412


@pytest.mark.parametrize("step", ["GetObject", "page"])
def test_a_source_deleted_in_flight_needs_no_result(
    lone_stack: Stack, proxy: FaultProxy, start: Start, tmp_path: Path, step: str
) -> None:
    stack, key = lone_stack, "deleted.pdf"
    gate = tmp_path / "gate"
    engine = (*QUICK, *null_engine(gate, lines=1))
    consumer = start(stack.seen_at(proxy.url), "consumer", engine).wait_ready()
    held = hold()
    if step != "page":
        proxy.fail(step, held, key=key)
    stack.put(key, documents.blank_pdf(OLD_PT), silent=True)
    message_id = stack.request(key)
    if step == "page":
        consumer.wait_at_work()
    else:
        assert held.reached.wait(RESULT_S)
    stack.s3.delete_object(Bucket=stack.silent_bucket, Key=key)
    held.release()
    gate.touch()
    line = consumer.line(event="message", message_id=message_id)
    assert (line["job_result"], line["settled"]) == ("source gone", "Delete")
    assert stack.keys(silent=True) == set()


def test_a_stale_event_reads_what_is_there_now_and_only_once(lone_stack: Stack, start: Start) -> None:
    stack, key = lone_stack, "late.pdf"
    stack.put(key, documents.blank_pdf(OLD_PT))
    stack.put(key, documents.blank_pdf(NEW_PT))
    # The events of both, which come after the answers, in whichever order; and a third time one of them.
    events = until(lambda: _events(stack) if len(_events(stack)) == 2 else [], RESULT_S, "both events")
    stack.send(events[0])
    consumer = start(stack, "consumer", ENGINE, MAX_IN_FLIGHT=1).wait_ready()
    stack.wait_until_settled()
    assert _width_px(stack.result(key)) == 2 * NEW_PT
    # The last message is deleted before its line is written.
    until(lambda: len(consumer.job_results(key)) >= 3, RESULT_S, "three lines")
    assert sorted(consumer.job_results(key)) == ["already current", "already current", "stored"]


def _events(stack: Stack) -> list[str]:
    return [m.body for m in stack.cloud.messages(stack.queue_url) if "ObjectCreated" in m.body]


def test_a_consumer_suspended_beyond_its_lease_leaves_the_message_to_another(
    lone_stack: Stack, start: Start, tmp_path: Path
) -> None:
    stack, key = lone_stack, "suspended.pdf"
    gate = tmp_path / "gate"
    slow = (*QUICK, *null_engine(gate, lines=1))
    suspended = start(stack, "suspended", slow, MAX_IN_FLIGHT=1, LEASE_S=6).wait_ready()
    stack.wait_until_settled()
    stack.put(key, documents.blank_pdf(NEW_PT), silent=True)
    message_id = stack.request(key)
    suspended.wait_at_work()
    suspended.process.send_signal(signal.SIGSTOP)
    other = start(stack, "other", ENGINE).wait_ready()
    line = other.line(event="message", message_id=message_id)
    assert (line["job_result"], line["receive_count"]) == ("stored", 2)
    stored = stack.result(key, silent=True)
    gate.touch()
    suspended.process.send_signal(signal.SIGCONT)
    line = suspended.line(event="message", message_id=message_id)
    assert (line["outcome"], line["settled"]) == ("lease_lost", "NoAction")
    assert stack.result(key, silent=True) == stored
