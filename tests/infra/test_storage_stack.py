"""`infra/storage.yaml` deployed to a LocalStack: plain, with all there can be, beside a bucket that exists.

LocalStack cannot update a stack that gets its key or topic only then, so every variant is a new stack.
"""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest
from deploy import DeploymentError, deploy
from local_cloud import LocalCloud, StackOutputs

from tests.e2e.stack import until
from tests.infra.cloudformation import INFRA

NAME = "infra-test"
DEADLINE_S = 120.0
VARIANTS: dict[str, dict[str, str]] = {
    "plain": {},
    "full": {"Versioning": "true", "Encryption": "kms", "CompletionTopic": "true"},
}


@pytest.fixture(scope="module")
def clients(cloud: LocalCloud) -> Iterator[Mapping[str, Any]]:
    with ExitStack() as stack:
        yield {
            name: stack.enter_context(closing(cloud.client(name))) for name in ("cloudformation", "s3", "sqs")
        }


@pytest.fixture(scope="module")
def stack(cloud: LocalCloud) -> StackOutputs:
    return cloud.deploy(NAME, NAME, NAME)


def _event(cloud: LocalCloud, queue_url: str, key: str) -> Any:
    """Wait for the event of an object."""

    def records() -> list[Any]:
        bodies = [json.loads(message.body) for message in cloud.messages(queue_url)]
        every = [record for body in bodies for record in body.get("Records", [])]
        return [record for record in every if record["s3"]["object"]["key"] == key]

    return until(records, DEADLINE_S, f"an event of {key}")[0]


@pytest.mark.parametrize("name", VARIANTS)
def test_an_upload_reaches_the_queue_as_an_s3_event(
    cloud: LocalCloud, clients: Mapping[str, Any], name: str
) -> None:
    bucket = f"variant-{name}"
    outputs = deploy(clients["cloudformation"], stack=bucket, bucket=bucket, queue=bucket, **VARIANTS[name])
    put = clients["s3"].put_object(Bucket=bucket, Key="a/1page.pdf", Body=b"%PDF-")
    record = _event(cloud, outputs["QueueUrl"], "a/1page.pdf")
    assert (record["eventName"], record["s3"]["bucket"]["name"]) == ("ObjectCreated:Put", bucket)
    assert record["s3"]["object"].get("versionId") == put.get("VersionId")
    # Outputs exist only for resources that exist.
    of_options = {"KeyArn", "CompletionTopicArn"} & outputs.keys()
    assert (len(of_options), "VersionId" in put) == ((2, True) if name == "full" else (0, False))
    assert "NotificationConfiguration" not in outputs


def test_a_message_received_ten_times_goes_to_the_dead_letters(
    cloud: LocalCloud, clients: Mapping[str, Any], stack: StackOutputs
) -> None:
    sqs = clients["sqs"]
    sent = sqs.send_message(QueueUrl=stack.queue_url, MessageBody="poison")["MessageId"]
    receives = 0

    def is_dead() -> bool:
        nonlocal receives
        answer = sqs.receive_message(
            QueueUrl=stack.queue_url, MaxNumberOfMessages=10, VisibilityTimeout=0, WaitTimeSeconds=0
        )
        receives += sum(message["MessageId"] == sent for message in answer.get("Messages", []))
        return sent in {message.message_id for message in cloud.messages(stack.dead_letter_queue_url)}

    until(is_dead, DEADLINE_S, "the dead letter", every_s=0)
    assert receives == 10


def test_only_the_queue_may_use_its_dead_letter_queue(
    clients: Mapping[str, Any], stack: StackOutputs
) -> None:
    queue, dead_letters = (
        clients["sqs"].get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
        for url in (stack.queue_url, stack.dead_letter_queue_url)
    )
    assert json.loads(queue["RedrivePolicy"])["deadLetterTargetArn"] == dead_letters["QueueArn"]
    allowed = {"redrivePermission": "byQueue", "sourceQueueArns": [queue["QueueArn"]]}
    assert json.loads(dead_letters["RedriveAllowPolicy"]) == allowed


# -- a bucket that exists


def _notifications(s3: Any, bucket: str) -> dict[str, Any]:
    answer: dict[str, Any] = s3.get_bucket_notification_configuration(Bucket=bucket)
    del answer["ResponseMetadata"]
    return answer


def _follow_the_page(cloud: LocalCloud, name: str, folder: Path) -> None:
    """Run the commands that infra/storage.md has for a bucket that exists."""
    page = (INFRA / "storage.md").read_text(encoding="utf-8")
    section = page.split("## A bucket that exists\n")[1].split("\n## ")[0]
    (commands,) = re.findall(r"```sh\n(.*?)```", section, re.DOTALL)
    named = commands.replace("BUCKET=my-inbox STACK=bucket-ocr", f"BUCKET={name} STACK={name}")
    assert named != commands
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = cloud.environment() | {"PATH": path}
    subprocess.run(["bash", "-euc", named], cwd=folder, env=environment, check=True, timeout=300)


@pytest.mark.parametrize(("prefix", "times"), [("", 1), ("in/", 2)])
def test_an_existing_bucket_is_left_alone_until_the_page_is_followed(
    cloud: LocalCloud, clients: Mapping[str, Any], tmp_path: Path, prefix: str, times: int
) -> None:
    """Without any notification, and twice beside those of somebody else."""
    name, s3, sqs = f"existing-{times}", clients["s3"], clients["sqs"]
    s3.create_bucket(Bucket=name)
    if prefix:
        other = sqs.create_queue(QueueName=f"{name}-other")["QueueUrl"]
        arn = sqs.get_queue_attributes(QueueUrl=other, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        rules = [{"Id": "other", "QueueArn": arn, "Events": ["s3:ObjectRemoved:*"]}]
        others = {"QueueConfigurations": rules, "EventBridgeConfiguration": {}}
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
    resources = clients["cloudformation"].describe_stack_resources(StackName=name)["StackResources"]
    assert not [each for each in resources if each["ResourceType"].startswith("AWS::S3::")]
    assert _notifications(s3, name) == before

    for _ in range(times):
        _follow_the_page(cloud, name, tmp_path)

    now = _notifications(s3, name)
    (ours,) = [rule for rule in now["QueueConfigurations"] if rule["Id"] == name]
    assert (ours["QueueArn"], ours["Events"]) == (
        outputs["QueueArn"],
        ["s3:ObjectCreated:*", "s3:ObjectRestore:Completed"],
    )
    filters = ours.get("Filter", {}).get("Key", {}).get("FilterRules", [])
    assert [(each["Name"].lower(), each["Value"]) for each in filters] == [("prefix", prefix)] * bool(prefix)
    now["QueueConfigurations"].remove(ours)
    assert now == {"QueueConfigurations": []} | before
    s3.put_object(Bucket=name, Key=f"{prefix}1page.pdf", Body=b"%PDF-")
    assert _event(cloud, outputs["QueueUrl"], f"{prefix}1page.pdf")


# -- the tools that deploy it


def test_seeing_messages_neither_receives_nor_hides_them(
    cloud: LocalCloud, clients: Mapping[str, Any], stack: StackOutputs
) -> None:
    sent = clients["sqs"].send_message(QueueUrl=stack.dead_letter_queue_url, MessageBody="seen")["MessageId"]
    for _ in range(2):
        messages = cloud.messages(stack.dead_letter_queue_url)
        (seen,) = [message for message in messages if message.message_id == sent]
        assert (seen.body, seen.receive_count, seen.visible) == ("seen", 0, True)


def test_deploying_again_finds_the_stack_as_it_is(cloud: LocalCloud, stack: StackOutputs) -> None:
    assert cloud.deploy(NAME, NAME, NAME) == stack


def test_a_failed_deployment_says_which_resource_failed_and_why(cloud: LocalCloud) -> None:
    with pytest.raises(DeploymentError, match=r"infra-bad is CREATE_FAILED: Bucket: .*InvalidBucketName"):
        cloud.deploy("infra-bad", "No_Bucket_Name", "infra-bad")
