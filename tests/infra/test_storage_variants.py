"""`infra/storage.yaml` deployed to a LocalStack in its variants; in each an upload reaches the queue.

LocalStack enforces neither keys nor policies, sends notifications without a right to, and leaves out the
bucket's encryption and lifecycle that the template asks for: these are held to the template's content. It
cannot update a stack that gets its key or topic only then, so every variant is a new stack.
"""

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest
from deploy import deploy
from local_cloud import LocalCloud

ROOT = Path(__file__).parents[2]
DEADLINE_S = 20.0

VARIANTS: dict[str, dict[str, str]] = {
    "plain": {},
    "versioned": {"Versioning": "true"},
    "key": {"Encryption": "kms"},
    "completion": {"CompletionTopic": "true"},
    "everything": {"Versioning": "true", "Encryption": "kms", "CompletionTopic": "true"},
}

Outputs = Mapping[str, str]


@pytest.fixture(scope="module")
def clients(cloud: LocalCloud) -> Iterator[Mapping[str, Any]]:
    services = "cloudformation", "s3", "sqs", "sns", "kms"
    with ExitStack() as stack:
        yield {name: stack.enter_context(closing(cloud.client(name))) for name in services}


@pytest.fixture(scope="module")
def stacks(clients: Mapping[str, Any]) -> dict[str, Outputs]:
    """Deploy all variants, each with the bucket `variant-<name>`."""
    return {
        name: deploy(
            clients["cloudformation"],
            stack=f"variant-{name}",
            bucket=f"variant-{name}",
            queue=f"variant-{name}",
            **others,
        )
        for name, others in VARIANTS.items()
    }


def _arrived(cloud: LocalCloud, queue_url: str, key: str) -> dict[str, Any]:
    """Wait for the event of an object."""
    deadline_s = time.monotonic() + DEADLINE_S
    while time.monotonic() < deadline_s:
        for message in cloud.messages(queue_url):
            for record in json.loads(message.body).get("Records", []):
                if record["s3"]["object"]["key"] == key:
                    found: dict[str, Any] = record
                    return found
        time.sleep(0.05)
    pytest.fail(f"no event of {key} within {DEADLINE_S} s")


@pytest.mark.parametrize("name", VARIANTS)
def test_an_upload_reaches_the_queue_as_an_s3_event(
    cloud: LocalCloud, clients: Mapping[str, Any], stacks: dict[str, Outputs], name: str
) -> None:
    outputs = stacks[name]
    put = clients["s3"].put_object(Bucket=outputs["BucketName"], Key="a/1page.pdf", Body=b"%PDF-")
    record = _arrived(cloud, outputs["QueueUrl"], "a/1page.pdf")
    assert record["eventName"] == "ObjectCreated:Put"
    assert record["s3"]["bucket"]["name"] == outputs["BucketName"]
    assert record["s3"]["object"].get("versionId") == put.get("VersionId")
    assert ("VersionId" in put) == ("Versioning" in VARIANTS[name])


def test_outputs_are_there_only_where_there_is_something(stacks: dict[str, Outputs]) -> None:
    always = {"BucketName", "QueueUrl", "QueueArn", "DeadLetterQueueUrl", "DeadLetterQueueArn"}
    always.add("ConsumerPolicyArn")
    more = {name: set(outputs) - always for name, outputs in stacks.items()}
    assert more == {
        "plain": set(),
        "versioned": set(),
        "key": {"KeyArn"},
        "completion": {"CompletionTopicArn"},
        "everything": {"KeyArn", "CompletionTopicArn"},
    }


def test_queues_and_topic_are_under_the_one_key(
    clients: Mapping[str, Any], stacks: dict[str, Outputs]
) -> None:
    outputs = stacks["everything"]
    assert clients["kms"].get_key_rotation_status(KeyId=outputs["KeyArn"])["KeyRotationEnabled"]
    topic = clients["sns"].get_topic_attributes(TopicArn=outputs["CompletionTopicArn"])["Attributes"]
    named = [topic["KmsMasterKeyId"]]
    for queue in ("QueueUrl", "DeadLetterQueueUrl"):
        answer = clients["sqs"].get_queue_attributes(QueueUrl=outputs[queue], AttributeNames=["All"])
        named.append(answer["Attributes"]["KmsMasterKeyId"])
    assert all(outputs["KeyArn"].endswith(f":key/{key}") for key in named)
    plain = clients["sqs"].get_queue_attributes(
        QueueUrl=stacks["versioned"]["QueueUrl"], AttributeNames=["All"]
    )
    assert "KmsMasterKeyId" not in plain["Attributes"]


def test_the_topic_takes_what_is_finished_to_its_subscribers(
    cloud: LocalCloud, clients: Mapping[str, Any], stacks: dict[str, Outputs]
) -> None:
    outputs = stacks["completion"]
    assert outputs["CompletionTopicArn"].endswith(":variant-completion-completed")
    # Any queue will do for a subscriber.
    subscriber = stacks["plain"]["DeadLetterQueueArn"], stacks["plain"]["DeadLetterQueueUrl"]
    clients["sns"].subscribe(TopicArn=outputs["CompletionTopicArn"], Protocol="sqs", Endpoint=subscriber[0])
    clients["sns"].publish(TopicArn=outputs["CompletionTopicArn"], Message="finished")
    deadline_s = time.monotonic() + DEADLINE_S
    while not any(json.loads(m.body)["Message"] == "finished" for m in cloud.messages(subscriber[1])):
        assert time.monotonic() < deadline_s
        time.sleep(0.05)


def _block_of_the_page(heading: str) -> str:
    """Give the commands that infra/storage.md has under a heading."""
    page = (ROOT / "infra" / "storage.md").read_text(encoding="utf-8")
    section = page.split(f"## {heading}\n")[1].split("\n## ")[0]
    (block,) = re.findall(r"```sh\n(.*?)```", section, re.DOTALL)
    return str(block)


@pytest.mark.parametrize("prefix", ["", "in/"])
def test_an_existing_bucket_is_left_alone_until_the_page_is_followed(
    cloud: LocalCloud, clients: Mapping[str, Any], tmp_path: Path, prefix: str
) -> None:
    """The page's own commands: where there is no notification yet, and twice beside another."""
    name = "existing-prefix" if prefix else "existing"
    s3 = clients["s3"]
    s3.create_bucket(Bucket=name)
    other = clients["sqs"].create_queue(QueueName=f"{name}-other")["QueueUrl"]
    attributes = clients["sqs"].get_queue_attributes(QueueUrl=other, AttributeNames=["QueueArn"])
    others = {
        "QueueConfigurations": [
            {
                "Id": "other",
                "QueueArn": attributes["Attributes"]["QueueArn"],
                "Events": ["s3:ObjectRemoved:*"],
            }
        ],
        "EventBridgeConfiguration": {},
    }
    if prefix:
        s3.put_bucket_notification_configuration(Bucket=name, NotificationConfiguration=others)
    before = _notifications(s3, name)
    outputs = deploy(
        clients["cloudformation"],
        stack=name,
        bucket=name,
        queue=name,
        ExistingBucket="true",
        WatchedPrefix=prefix,
    )
    assert outputs["BucketName"] == name
    resources = clients["cloudformation"].describe_stack_resources(StackName=name)["StackResources"]
    assert not [r for r in resources if r["ResourceType"].startswith("AWS::S3::")]
    assert _notifications(s3, name) == before

    commands = _block_of_the_page("A bucket that exists")
    named = commands.replace("BUCKET=my-inbox STACK=bucket-ocr", f"BUCKET={name} STACK={name}")
    assert named != commands
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    for _ in range(2 if prefix else 1):
        subprocess.run(
            ["bash", "-euc", named],
            cwd=tmp_path,
            env=cloud.environment() | {"PATH": path},
            check=True,
            timeout=60,
        )

    now = _notifications(s3, name)
    (ours,) = [rule for rule in now.pop("QueueConfigurations") if rule["Id"] == name]
    assert (ours["QueueArn"], ours["Events"]) == (outputs["QueueArn"], ["s3:ObjectCreated:*"])
    left = _notifications(s3, name)["QueueConfigurations"]
    assert [r for r in left if r["Id"] != name] == before.pop("QueueConfigurations", [])
    assert now == before
    rules = ours.get("Filter", {}).get("Key", {}).get("FilterRules", [])
    assert [(rule["Name"].lower(), rule["Value"]) for rule in rules] == (
        [("prefix", prefix)] if prefix else []
    )
    s3.put_object(Bucket=name, Key=f"{prefix}1page.pdf", Body=b"%PDF-")
    _arrived(cloud, outputs["QueueUrl"], f"{prefix}1page.pdf")


def _notifications(s3: Any, bucket: str) -> dict[str, Any]:
    answer: dict[str, Any] = s3.get_bucket_notification_configuration(Bucket=bucket)
    del answer["ResponseMetadata"]
    return answer
