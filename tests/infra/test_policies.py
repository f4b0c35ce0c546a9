"""Who may do what, by the deployed policies of `infra/storage.yaml` and the content of `compute-ecs.yaml`.

LocalStack stores policies with all names resolved, but enforces none.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import cfnlint.decode
import pytest
from deploy import deploy
from local_cloud import LocalCloud

from tests.infra.permissions import Document, consumer_policy, listed, may

INFRA = Path(__file__).parents[2] / "infra"
NAME = "policies"
ACCOUNT = "000000000000"
BUCKET = f"arn:aws:s3:::{NAME}"
QUEUE = f"arn:aws:sqs:us-east-1:{ACCOUNT}:{NAME}"
TOPIC = f"arn:aws:sns:us-east-1:{ACCOUNT}:{NAME}-completed"
TLS_ONLY = {"Bool": {"aws:SecureTransport": "false"}}

#: What LocalStack cannot know: actions to which IAM knows no resources.
WITHOUT_RESOURCES = {"ecr:GetAuthorizationToken", "ecs:DiscoverPollEndpoint"}


@pytest.fixture(scope="module")
def outputs(cloud: LocalCloud) -> Mapping[str, str]:
    with closing(cloud.client("cloudformation")) as cloudformation:
        return deploy(
            cloudformation,
            stack=NAME,
            bucket=NAME,
            queue=NAME,
            WatchedPrefix="in/",
            Encryption="kms",
            CompletionTopic="true",
        )


@pytest.fixture(scope="module")
def consumer(cloud: LocalCloud, outputs: Mapping[str, str]) -> Document:
    return consumer_policy(cloud, outputs["ConsumerPolicyArn"])


@pytest.fixture(scope="module")
def policies(cloud: LocalCloud, outputs: Mapping[str, str]) -> dict[str, list[Any]]:
    """Statements of the policies that hang on the things themselves, but for the key."""
    with (
        closing(cloud.client("s3")) as s3,
        closing(cloud.client("sqs")) as sqs,
        closing(cloud.client("sns")) as sns,
    ):
        found = {"bucket": s3.get_bucket_policy(Bucket=NAME)["Policy"]}
        for of, url in (("queue", "QueueUrl"), ("dead letters", "DeadLetterQueueUrl")):
            answer = sqs.get_queue_attributes(QueueUrl=outputs[url], AttributeNames=["Policy"])
            found[of] = answer["Attributes"]["Policy"]
        topic = sns.get_topic_attributes(TopicArn=outputs["CompletionTopicArn"])
        found["topic"] = topic["Attributes"]["Policy"]
    return {of: json.loads(policy)["Statement"] for of, policy in found.items()}


@pytest.mark.parametrize(
    ("action", "resource"),
    [
        ("sqs:ReceiveMessage", QUEUE),
        ("sqs:DeleteMessage", QUEUE),
        ("sqs:ChangeMessageVisibility", QUEUE),
        ("sqs:GetQueueAttributes", QUEUE),
        ("s3:GetObject", f"{BUCKET}/in/a/scan.pdf"),
        ("s3:GetObjectVersion", f"{BUCKET}/in/a/scan.pdf"),
        ("s3:GetObject", f"{BUCKET}/in/a/scan.pdf.ocr.json"),
        ("s3:PutObject", f"{BUCKET}/in/a/scan.pdf.ocr.json"),
        ("s3:ListBucket", BUCKET),
        ("sns:Publish", TOPIC),
    ],
)
def test_the_consumer_may_do_its_work(consumer: Document, action: str, resource: str) -> None:
    assert may(consumer, action, resource)


@pytest.mark.parametrize(
    ("action", "resource"),
    [
        ("s3:PutObject", f"{BUCKET}/in/a/scan.pdf"),
        ("s3:PutObject", f"{BUCKET}/elsewhere/scan.pdf.ocr.json"),
        ("s3:GetObject", f"{BUCKET}/elsewhere/scan.pdf"),
        ("s3:GetObject", f"{BUCKET}-2/in/scan.pdf"),
        ("s3:DeleteObject", f"{BUCKET}/in/a/scan.pdf.ocr.json"),
        ("s3:PutObjectTagging", f"{BUCKET}/in/a/scan.pdf"),
        ("sqs:ReceiveMessage", f"{QUEUE}-dead-letter"),
        ("sqs:SendMessage", QUEUE),
        ("sqs:PurgeQueue", QUEUE),
        ("sns:Subscribe", TOPIC),
    ],
)
def test_the_consumer_may_do_nothing_else(consumer: Document, action: str, resource: str) -> None:
    assert not may(consumer, action, resource)


def test_the_consumer_is_given_exactly_what_it_calls(consumer: Document, outputs: Mapping[str, str]) -> None:
    given = {
        (action, resource)
        for statement in consumer["Statement"]
        for action in listed(statement["Action"])
        for resource in listed(statement["Resource"])
    }
    assert given == {
        ("sqs:ReceiveMessage", QUEUE),
        ("sqs:DeleteMessage", QUEUE),
        ("sqs:ChangeMessageVisibility", QUEUE),
        ("sqs:GetQueueAttributes", QUEUE),
        ("s3:GetObject", f"{BUCKET}/in/*"),
        ("s3:GetObjectVersion", f"{BUCKET}/in/*"),
        ("s3:PutObject", f"{BUCKET}/in/*.ocr.json"),
        ("s3:ListBucket", BUCKET),
        ("sns:Publish", TOPIC),
        ("kms:Decrypt", outputs["KeyArn"]),
        ("kms:GenerateDataKey", outputs["KeyArn"]),
    }
    # A HEAD of the bucket names no prefix, so any condition would refuse it.
    assert all(set(s) == {"Sid", "Effect", "Action", "Resource"} for s in consumer["Statement"])
    assert {s["Effect"] for s in consumer["Statement"]} == {"Allow"}


def test_without_key_and_topic_the_consumer_has_no_rights_to_them(cloud: LocalCloud) -> None:
    with closing(cloud.client("cloudformation")) as cloudformation:
        plain = deploy(cloudformation, stack=f"{NAME}-plain", bucket=f"{NAME}-plain", queue=f"{NAME}-plain")
    policy = consumer_policy(cloud, plain["ConsumerPolicyArn"])
    services = {action.split(":")[0] for s in policy["Statement"] for action in listed(s["Action"])}
    assert services == {"sqs", "s3"}


def test_the_key_is_used_by_whom_iam_lets_and_by_s3_for_this_queue(
    cloud: LocalCloud, outputs: Mapping[str, str]
) -> None:
    with closing(cloud.client("kms")) as kms:
        policy = json.loads(kms.get_key_policy(KeyId=outputs["KeyArn"], PolicyName="default")["Policy"])
    by_principal = {json.dumps(s["Principal"]): s for s in policy["Statement"]}
    s3 = by_principal.pop('{"Service": "s3.amazonaws.com"}')
    assert set(s3["Action"]) == {"kms:GenerateDataKey", "kms:Decrypt"}
    assert s3["Condition"] == {"StringEquals": {"kms:EncryptionContext:aws:sqs:arn": QUEUE}}
    # What IAM gives: without it the key could not be managed, and policies of roles would not count.
    account = by_principal.pop(f'{{"AWS": "arn:aws:iam::{ACCOUNT}:root"}}')
    assert (account["Effect"], account["Action"]) == ("Allow", "kms:*")
    assert not by_principal


def test_only_s3_may_send_and_only_for_this_bucket_of_this_account(policies: dict[str, list[Any]]) -> None:
    allowed = [s for statements in policies.values() for s in statements if s["Effect"] == "Allow"]
    assert allowed == [
        {
            "Sid": "EventsOfTheBucket",
            "Effect": "Allow",
            "Principal": {"Service": "s3.amazonaws.com"},
            "Action": "sqs:SendMessage",
            "Resource": QUEUE,
            "Condition": {
                "ArnLike": {"aws:SourceArn": BUCKET},
                "StringEquals": {"aws:SourceAccount": ACCOUNT},
            },
        }
    ]


def test_bucket_queues_and_topic_refuse_plain_http(policies: dict[str, list[Any]]) -> None:
    denied = {
        of: [(s["Action"], s["Resource"]) for s in statements if s["Effect"] == "Deny"]
        for of, statements in policies.items()
    }
    assert denied == {
        "bucket": [("s3:*", [BUCKET, f"{BUCKET}/*"])],
        "queue": [("sqs:*", QUEUE)],
        "dead letters": [("sqs:*", f"{QUEUE}-dead-letter")],
        "topic": [("sns:Publish", TOPIC)],
    }
    statements = [s for of in policies.values() for s in of if s["Effect"] == "Deny"]
    assert all((s["Principal"], s["Condition"]) == ("*", TLS_ONLY) for s in statements)


@pytest.fixture(scope="module")
def ecs() -> dict[str, Any]:
    decoded, problems = cfnlint.decode.decode(str(INFRA / "compute-ecs.yaml"))
    assert not problems
    return {name: resource["Properties"] for name, resource in decoded["Resources"].items()}


def _given(role: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Every action with its resource, written shortly: `GetAtt`s as `Name.Attribute`."""
    for policy in role["Policies"]:
        for statement in policy["PolicyDocument"]["Statement"]:
            assert statement["Effect"] == "Allow"
            resource = statement["Resource"]
            if isinstance(resource, dict):
                ((kind, value),) = resource.items()
                resource = ".".join(value) if kind == "Fn::GetAtt" else value
            for action in listed(statement["Action"]):
                yield action, resource


def test_a_task_has_the_consumers_policy_and_protects_tasks_of_its_own_cluster(ecs: dict[str, Any]) -> None:
    role = ecs["TaskRole"]
    assert role["ManagedPolicyArns"] == [{"Ref": "ConsumerPolicyArn"}]
    tasks = "arn:${AWS::Partition}:ecs:${AWS::Region}:${AWS::AccountId}:task/${Cluster}/*"
    assert list(_given(role)) == [("ecs:UpdateTaskProtection", tasks)]


def test_to_start_a_task_one_image_is_pulled_and_one_log_written(ecs: dict[str, Any]) -> None:
    role = ecs["ExecutionRole"]
    assert "ManagedPolicyArns" not in role
    repository = "arn:${AWS::Partition}:ecr:${AWS::Region}:${AWS::AccountId}:repository/${Repository}"
    assert set(_given(role)) == {
        ("ecr:GetAuthorizationToken", "*"),
        ("ecr:BatchCheckLayerAvailability", repository),
        ("ecr:BatchGetImage", repository),
        ("ecr:GetDownloadUrlForLayer", repository),
        ("logs:CreateLogStream", "LogGroup.Arn"),
        ("logs:PutLogEvents", "LogGroup.Arn"),
    }


def test_an_instance_serves_one_cluster(ecs: dict[str, Any]) -> None:
    role = ecs["InstanceRole"]
    assert "ManagedPolicyArns" not in role
    resources = {resource for action, resource in _given(role) if action not in WITHOUT_RESOURCES}
    instances = "arn:${AWS::Partition}:ecs:${AWS::Region}:${AWS::AccountId}:container-instance/${Cluster}/*"
    assert resources == {"Cluster.Arn", instances}
    # Without the last of these Spot's notice reaches no task.
    needed = {"ecs:RegisterContainerInstance", "ecs:Poll", "ecs:UpdateContainerInstancesState"}
    assert needed <= {action for action, _ in _given(role)}


@pytest.mark.parametrize("role", ["TaskRole", "ExecutionRole", "InstanceRole"])
def test_a_wildcard_stands_only_where_iam_knows_no_resources(ecs: dict[str, Any], role: str) -> None:
    assert {action for action, resource in _given(ecs[role]) if resource == "*"} <= WITHOUT_RESOURCES
    assert not any("*" in action for action, _ in _given(ecs[role]))


@pytest.mark.parametrize("role", ["TaskRole", "ExecutionRole"])
def test_only_tasks_of_this_account_take_the_roles_of_tasks(ecs: dict[str, Any], role: str) -> None:
    (statement,) = ecs[role]["AssumeRolePolicyDocument"]["Statement"]
    assert statement["Principal"] == {"Service": "ecs-tasks.amazonaws.com"}
    assert statement["Condition"]["StringEquals"] == {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}
