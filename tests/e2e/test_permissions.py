"""The policy that a stack has for its consumers is what they need, and no more: their calls are recorded.

Left out: the key of an encrypted bucket, which S3, SQS and SNS use in the consumer's name; and the protection
of its task, for which it asks the agent of ECS.
"""

import ast
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path

import pytest
from deploy import deploy
from local_cloud import LocalCloud

from tests.e2e import documents
from tests.e2e.actions import arn, needed
from tests.e2e.conftest import Start
from tests.e2e.proxy import FaultProxy, answer
from tests.e2e.stack import QUICK, RESULT_S, Stack, null_engine, until
from tests.infra.permissions import consumer_policy, listed, may

NAME = "permissions"
ADAPTERS = Path(__file__).parents[2] / "consumer" / "aws"


def _in_the_code() -> set[str]:
    """Operations that the consumer's adapters have calls of."""
    names = set()
    for module in ("s3", "look", "upload", "small_objects", "sqs", "lease", "sns"):
        for node in ast.walk(ast.parse((ADAPTERS / f"{module}.py").read_text())):
            if isinstance(node, ast.Attribute) and ast.unparse(node.value) in {
                "client",
                "self.client",
                "self._client",
            }:
                names.add(node.attr)
            elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith(".get_paginator"):
                names.add(ast.literal_eval(node.args[0]))
    return {"".join(map(str.capitalize, name.split("_"))) for name in names - {"meta", "get_paginator"}}


@pytest.fixture
def stack(cloud: LocalCloud) -> Iterator[tuple[Stack, Mapping[str, str]]]:
    with closing(cloud.client("cloudformation")) as cloudformation:
        outputs = deploy(
            cloudformation,
            stack=NAME,
            bucket=NAME,
            queue=NAME,
            WatchedPrefix="in/",
            Versioning="true",
            CompletionTopic="true",
        )
    with Stack.deployed(cloud, NAME) as stack:
        yield stack, outputs


def test_the_consumer_may_do_what_it_does_and_does_what_it_may(
    cloud: LocalCloud, stack: tuple[Stack, Mapping[str, str]], start: Start, tmp_path: Path
) -> None:
    there, outputs = stack
    with FaultProxy(cloud.endpoint_url) as proxy:
        topic, gate = outputs["CompletionTopicArn"], tmp_path / "gate"
        consumer = start(
            there.seen_at(proxy.url),
            "consumer",
            (*QUICK, *null_engine(gate, lines=1)),
            LEASE_S=6,
            DRAIN_S=0,
            PART_PAGES=2,
            COMPLETION_TOPIC_ARN=topic,
            OUTPUTS="markdown",
        ).wait_ready()
        there.put("in/first.pdf", documents.blank_pdf(100))
        until(lambda: proxy.count("ChangeMessageVisibility"), RESULT_S, "a renewal")
        gate.touch()
        consumer.line(event="message", key="in/first.pdf", job_result="stored")
        etag = there.put("in/first.pdf", documents.blank_pdf(200))
        consumer.line(event="message", key="in/first.pdf", etag=etag, job_result="stored")
        there.put("in/long.pdf", documents.blank_pdf(100, pages=5))
        consumer.line(event="message", key="in/long.pdf", job_result="stored")
        there.put("in/notes", b"no document")
        consumer.line(event="message", key="in/notes", job_result="not a document")
        there.send({"bucket-ocr": 1, "bucket": there.bucket, "key": "in/gone.pdf"})
        consumer.line(event="message", key="in/gone.pdf", job_result="source gone")
        proxy.fail("GetObject", answer(404, "NoSuchBucket"), key="in/refused.pdf")
        there.put("in/refused.pdf", documents.blank_pdf(100))
        consumer.line(event="message", key="in/refused.pdf", outcome="transient")
        # Otherwise its page might be the one that the stop finds at work.
        consumer.line(event="message", key="in/refused.pdf", job_result="stored")
        gate.unlink()
        there.put("in/stopped.pdf", documents.blank_pdf(100))
        consumer.wait_at_work()
        assert consumer.stop() == 0
        consumer.line(event="message", key="in/stopped.pdf", outcome="released")
        calls = [call for call in proxy.calls if call.fault is None]
    # Only pieces whose keys XML cannot name are deleted one by one (tests/contract): the permission is one.
    assert {call.operation for call in calls} == _in_the_code() - {"DeleteObject"}
    policy = consumer_policy(cloud, outputs["ConsumerPolicyArn"])
    wanted = {(action, arn(call)) for call in calls for action in needed(call)}
    assert [each for each in wanted if not may(policy, *each)] == []
    given = {action for statement in policy["Statement"] for action in listed(statement["Action"])}
    assert given == {action for action, _ in wanted}
