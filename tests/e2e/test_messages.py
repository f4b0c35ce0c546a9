"""Every accepted form of a message is answered; what is none of them ends with the dead letters."""

import json
from pathlib import Path

from tests.e2e import documents
from tests.e2e.conftest import Start
from tests.e2e.stack import QUICK, Consumer, Stack, null_engine

GOLDEN = Path(__file__).parents[1] / "golden" / "events"
LEASE_S = 3


def _record(bucket: str, key: str) -> dict[str, object]:
    return {"eventName": "ObjectCreated:Put", "s3": {"bucket": {"name": bucket}, "object": {"key": key}}}


def test_all_accepted_forms_do_what_they_ask_for_and_are_deleted(stack: Stack, consumer: Consumer) -> None:
    expected = json.loads((GOLDEN / "expected.json").read_text(encoding="utf-8"))
    jobs = {name: [job["key"] for job in says["jobs"]] for name, says in expected.items()}
    sources = {key for keys in jobs.values() for key in keys}
    before = stack.keys(silent=True)
    for key in sources:
        stack.put(key, documents.pdf("TIDE TABLE"), silent=True)
    sent = {
        name: stack.send((GOLDEN / name).read_text(encoding="utf-8").replace("inbox", stack.silent_bucket))
        for name in expected
    }
    for name, message_id in sent.items():
        line = consumer.line(event="message", message_id=message_id)
        assert (line["outcome"], line["settled"]) == ("done", "Delete"), name
        answered = line.get("documents", [line])
        assert [document["key"] for document in answered] == jobs[name], name
        assert len(line.get("ignored", [])) == expected[name]["ignored"], name
    stack.wait_until_settled()
    assert stack.dead_letters() == set()
    there = stack.keys(silent=True)
    asked_for = sources | {f"{key}.ocr.json" for key in sources}
    assert there - before <= asked_for <= there


def test_a_message_for_a_document_that_is_gone_is_deleted(stack: Stack, consumer: Consumer) -> None:
    message_id = stack.request("deleted.pdf")
    line = consumer.line(event="message", message_id=message_id)
    assert (line["job_result"], line["settled"]) == ("source gone", "Delete")


def _give_up_after_one_receive(stack: Stack) -> None:
    answer = stack.sqs.get_queue_attributes(QueueUrl=stack.queue_url, AttributeNames=["RedrivePolicy"])
    policy = json.loads(answer["Attributes"]["RedrivePolicy"]) | {"maxReceiveCount": 1}
    stack.sqs.set_queue_attributes(QueueUrl=stack.queue_url, Attributes={"RedrivePolicy": json.dumps(policy)})


def test_malformed_messages_are_logged_with_their_ids_and_end_with_the_dead_letters(
    lone_stack: Stack, start: Start
) -> None:
    stack = lone_stack
    _give_up_after_one_receive(stack)
    program = (*QUICK, *null_engine(0.01, lines=1))
    consumer = start(stack, "consumer", program, LEASE_S=LEASE_S)
    stack.put("good.pdf", documents.blank_pdf(100), silent=True)
    good = _record(stack.silent_bucket, "good.pdf")
    bodies: dict[str, str | dict[str, object]] = {
        "no JSON": "upload of 1page.pdf",
        "no form": {"file": "1page.pdf"},
        "no key": {"Records": [{"eventName": "ObjectCreated:Put", "s3": {"bucket": {"name": "x"}}}]},
        "no UTF-8": {"Records": [_record(stack.silent_bucket, "%FF.pdf")]},
        "next version": {"bucket-ocr": 2, "bucket": stack.silent_bucket, "key": "good.pdf"},
        "long key": {"Records": [_record(stack.silent_bucket, "k" * 1012 + ".pdf")]},
        "half": {"Records": [good, {"eventName": "ObjectCreated:Put"}]},
    }
    sent = {name: stack.send(body) for name, body in bodies.items()}
    lines = {name: consumer.line(event="message", message_id=sent[name]) for name in bodies}
    for name, line in lines.items():
        assert (line["outcome"], line["settled"]) == ("malformed", "NoAction"), name
        assert len(line["malformed"]) == 1, name
    assert "1015 bytes" in lines["long key"]["malformed"][0]
    stack.wait_until_settled()
    assert stack.dead_letters() == set(sent.values())
    # A bad record does not hide a good one.
    assert stack.result("good.pdf", silent=True)["status"] == "SUCCESS"
