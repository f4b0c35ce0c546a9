"""`infra/storage.yaml` deployed to a LocalStack."""

import json
import time
from contextlib import closing

import pytest
from deploy import DeploymentError
from local_cloud import LocalCloud, StackOutputs

NAME = "infra-test"
DEADLINE_S = 20.0


@pytest.fixture(scope="module")
def stack(cloud: LocalCloud) -> StackOutputs:
    return cloud.deploy(NAME, NAME, NAME)


def test_a_message_received_ten_times_goes_to_the_dead_letters(
    cloud: LocalCloud, stack: StackOutputs
) -> None:
    with closing(cloud.client("sqs")) as sqs:
        sent = sqs.send_message(QueueUrl=stack.queue_url, MessageBody="poison")["MessageId"]
        received = 0
        deadline_s = time.monotonic() + DEADLINE_S
        while sent not in {message.message_id for message in cloud.messages(stack.dead_letter_queue_url)}:
            assert time.monotonic() < deadline_s
            answer = sqs.receive_message(
                QueueUrl=stack.queue_url, MaxNumberOfMessages=10, VisibilityTimeout=0, WaitTimeSeconds=0
            )
            received += sum(message["MessageId"] == sent for message in answer.get("Messages", []))
    assert received == 10


def test_only_the_queue_may_use_its_dead_letter_queue(cloud: LocalCloud, stack: StackOutputs) -> None:
    with closing(cloud.client("sqs")) as sqs:
        queue = sqs.get_queue_attributes(QueueUrl=stack.queue_url, AttributeNames=["All"])["Attributes"]
        dead_letters = sqs.get_queue_attributes(QueueUrl=stack.dead_letter_queue_url, AttributeNames=["All"])[
            "Attributes"
        ]
    assert json.loads(queue["RedrivePolicy"])["deadLetterTargetArn"] == dead_letters["QueueArn"]
    allowed = {"redrivePermission": "byQueue", "sourceQueueArns": [queue["QueueArn"]]}
    assert json.loads(dead_letters["RedriveAllowPolicy"]) == allowed


def test_seeing_messages_neither_receives_nor_hides_them(cloud: LocalCloud, stack: StackOutputs) -> None:
    with closing(cloud.client("sqs")) as sqs:
        sent = sqs.send_message(QueueUrl=stack.dead_letter_queue_url, MessageBody="seen")["MessageId"]
        for _ in range(2):
            messages = cloud.messages(stack.dead_letter_queue_url)
            (seen,) = [message for message in messages if message.message_id == sent]
            assert (seen.body, seen.receive_count, seen.visible) == ("seen", 0, True)


def test_deploying_again_finds_the_stack_as_it_is(cloud: LocalCloud, stack: StackOutputs) -> None:
    assert cloud.deploy(NAME, NAME, NAME) == stack


def test_a_failed_deployment_says_which_resource_failed_and_why(cloud: LocalCloud) -> None:
    with pytest.raises(DeploymentError, match=r"infra-bad is CREATE_FAILED: Bucket: .*InvalidBucketName"):
        cloud.deploy("infra-bad", "No_Bucket_Name", "infra-bad")
