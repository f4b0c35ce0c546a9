"""A consumer at work, as operators and programs see it: metrics, probes, announcements, the log."""

import json
import re
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.e2e import documents
from tests.e2e.conftest import Start
from tests.e2e.stack import QUICK, RESULT_S, Stack, free_port, null_engine, until

OPERATIONS = Path(__file__).parents[2] / "docs/operations.md"

#: Rows of the table of metrics: `name` or `name{label}`.
DOCUMENTED = re.findall(r"^\| `(bucket_ocr_\w+)", OPERATIONS.read_text(), flags=re.MULTILINE)

#: There is no GPU here.
OF_GPUS = {"bucket_ocr_gpu_memory_used_bytes", "bucket_ocr_gpu_memory_total_bytes"}


class Announcements:
    """A topic, and a queue that gets what is published there."""

    def __init__(self, stack: Stack, sns: Any) -> None:
        self._stack = stack
        name = f"{stack.bucket}-completed"
        self.topic_arn = sns.create_topic(Name=name)["TopicArn"]
        self._queue_url = stack.sqs.create_queue(QueueName=name)["QueueUrl"]
        queue_arn = f"{self.topic_arn.rpartition(':')[0].replace(':sns:', ':sqs:')}:{name}"
        sns.subscribe(TopicArn=self.topic_arn, Protocol="sqs", Endpoint=queue_arn)

    def all(self) -> list[dict[str, Any]]:
        """All that was published, each in its envelope."""
        return [json.loads(message.body) for message in self._stack.cloud.messages(self._queue_url)]


@pytest.fixture
def announcements(lone_stack: Stack) -> Iterator[Announcements]:
    with closing(lone_stack.cloud.client("sns")) as sns:
        yield Announcements(lone_stack, sns)


def test_every_finished_document_is_announced_after_its_result_is_there(
    lone_stack: Stack, start: Start, announcements: Announcements
) -> None:
    stack = lone_stack
    program = (*QUICK, *null_engine(0.01, lines=1))
    start(stack, "consumer", program, COMPLETION_TOPIC_ARN=announcements.topic_arn).wait_ready()
    stack.put("a b/good.pdf", documents.blank_pdf(100))
    stack.put("bad.pdf", b"no document")
    until(lambda: len(announcements.all()) >= 2, RESULT_S, "two announcements")
    stack.wait_until_settled()

    announced = {
        json.loads(each["Message"])["DocumentLocation"]["S3ObjectName"]: each for each in announcements.all()
    }

    assert set(announced) == {"a b/good.pdf", "bad.pdf"}
    good = json.loads(announced["a b/good.pdf"]["Message"])
    assert good["ResultLocation"] == {"S3Bucket": stack.bucket, "S3ObjectName": "a b/good.pdf.ocr.json"}
    assert (good["Status"], good["Code"], good["DocumentMetadata"]) == ("SUCCEEDED", None, {"Pages": 1})
    assert good["DocumentETag"] == stack.result("a b/good.pdf")["source"]["etag"]
    assert announced["bad.pdf"]["MessageAttributes"]["Status"]["Value"] == "FAILED"
    assert json.loads(announced["bad.pdf"]["Message"])["Code"] == "UNSUPPORTED_TYPE"


def test_every_documented_metric_is_there_and_moves(lone_stack: Stack, start: Start, tmp_path: Path) -> None:
    """Work, a failure, a killed engine, a lost lease, and a result of somebody else's."""
    stack = lone_stack
    gate = tmp_path / "gate"
    program = (*QUICK, *null_engine(gate, lines=1))
    consumer = start(stack, "consumer", program, HEALTH_PORT=free_port(), LEASE_S=6).wait_ready()
    # The message that S3 sends when a notification is set up would be in flight as well.
    stack.wait_until_settled()
    assert (consumer.asked("/healthz"), consumer.asked("/readyz")) == ((200, "ok\n"), (200, "ok\n"))
    before = consumer.metrics()

    stack.put("bad.pdf", b"no document", silent=True)
    stack.request("bad.pdf")
    consumer.line(event="message", key="bad.pdf")
    # Its result is in the way when it is to be stored, and its engine is killed once.
    stack.put("slow.pdf", documents.blank_pdf(100), silent=True)
    stack.request("slow.pdf")
    consumer.wait_at_work()
    at_work = consumer.metrics()
    stack.put("slow.pdf.ocr.json", b"somebody else's", silent=True)
    (engine,) = [child for child in consumer.children() if "null_engine" in " ".join(child.cmdline())]
    engine.kill()
    renewals = "bucket_ocr_lease_renewals_total"
    until(
        lambda: any(consumer.metrics()[name] for name in at_work if name.startswith(renewals)),
        RESULT_S,
        "a renewal",
    )
    gate.touch()
    consumer.line(event="message", key="slow.pdf", job_result="stored")
    gate.unlink()
    # Its message is deleted under it, and its engine left alone.
    stack.put("lost.pdf", documents.blank_pdf(100), silent=True)
    stack.request("lost.pdf")
    consumer.wait_at_work()
    stack.sqs.purge_queue(QueueUrl=stack.queue_url)
    consumer.line(event="message", key="lost.pdf", outcome="lease_lost")
    after = consumer.metrics()

    def families(samples: dict[str, float]) -> set[str]:
        return {re.sub(r"(_bucket|_sum|_count)?(\{.*)?$", "", name) for name in samples}

    ours = {name for name in families(after) if name.startswith("bucket_ocr_")}
    assert ours == set(DOCUMENTED) - OF_GPUS
    moved = {name for name, value in after.items() if before.get(name, 0.0) != value}
    moved |= {name for name, value in at_work.items() if before.get(name, 0.0) != value}
    still = {"bucket_ocr_info", "bucket_ocr_engines", "bucket_ocr_ready_pages_limit", "bucket_ocr_healthy"}
    still |= {"bucket_ocr_queue_retention_seconds", "bucket_ocr_dead_letters", "bucket_ocr_sandbox_walls"}
    # Storage refuses nothing here; see tests/unit/test_refusals.py.
    still |= {"bucket_ocr_refused_documents_total", "bucket_ocr_messages_waiting"}
    # Asked once a minute.
    unknown = {"bucket_ocr_queue_messages"}
    assert ours - families(dict.fromkeys(moved, 0.0)) - unknown == still
    assert before["bucket_ocr_queue_retention_seconds"] == 14 * 24 * 3600
    # The visibility of a message that was deleted.
    errors = [name for name in moved if name.startswith("bucket_ocr_aws_errors_total")]
    assert any('operation="ChangeMessageVisibility",service="sqs"' in name for name in errors)
    assert at_work["bucket_ocr_messages_in_flight"] == 1
    assert after["bucket_ocr_messages_in_flight"] == 0
    assert after['bucket_ocr_child_replacements_total{kind="scripted",reason="killed"}'] == 1
    assert after["bucket_ocr_result_conflicts_total"] == 1
    assert after["bucket_ocr_leases_lost_total"] == 1
    assert after['bucket_ocr_documents_total{code="UNSUPPORTED_TYPE",status="FAILURE"}'] == 1
    assert after['bucket_ocr_pages_total{engine="null",outcome="SUCCESS"}'] == 1
    assert after["bucket_ocr_engine_busy_seconds_total"] > 0


def test_the_line_of_a_message_has_the_facts_and_no_text(lone_stack: Stack, start: Start) -> None:
    consumer = start(lone_stack, "consumer", (*QUICK, *null_engine(0.2, lines=3))).wait_ready()
    etag = lone_stack.put("a.pdf", documents.blank_pdf(100))
    line = consumer.line(event="message", key="a.pdf")
    assert {
        name: line[name] for name in ("bucket", "etag", "pages", "lines", "status", "code", "engine")
    } == {
        "bucket": lone_stack.bucket,
        "etag": etag,
        "pages": 1,
        "lines": 3,
        "status": "SUCCESS",
        "code": None,
        "engine": "null",
    }
    assert all(line[f"{stage}_s"] > 0 for stage in ("waited", "download", "render", "engine", "publish"))
    assert line["engine_s"] >= 0.2
    assert "not read" not in json.dumps(consumer.lines)


def test_a_consumer_that_is_told_to_ends_when_there_is_no_more_work(lone_stack: Stack, start: Start) -> None:
    lone_stack.put("a.pdf", documents.blank_pdf(100))
    consumer = start(
        lone_stack, "consumer", (*QUICK, *null_engine(0.1)), IDLE_EXIT_S=1, PIPELINE_CONFIG="fast"
    )
    assert consumer.process.wait(RESULT_S) == 0
    assert consumer.job_results("a.pdf") == ["stored"]
    assert consumer.lines[-1]["event"] == "stopped"
    # A setting of another engine is not dropped without a word.
    (line,) = (each for each in consumer.lines if each["event"] == "settings.without_effect")
    assert (line["name"], line["engine"]) == ("BUCKET_OCR_PIPELINE_CONFIG", "scripted")


def test_a_port_that_is_taken_stops_the_start_with_the_name_of_the_setting(
    lone_stack: Stack, start: Start
) -> None:
    port = free_port()
    start(lone_stack, "first", (*QUICK, *null_engine(0.1)), HEALTH_PORT=port).wait_ready()
    second = start(lone_stack, "second", HEALTH_PORT=port)
    assert second.process.wait(RESULT_S) == 2
    assert second.stderr.startswith(f"bucket-ocr: BUCKET_OCR_HEALTH_PORT={port}: ")
    assert second.stderr.count("\n") == 1
