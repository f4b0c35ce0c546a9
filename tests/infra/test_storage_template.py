"""`infra/storage.yaml` by its content: LocalStack enforces no policy and ignores lifecycle rules."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import cfnlint.decode
import pytest

TEMPLATE = Path(__file__).parents[2] / "infra" / "storage.yaml"
TLS_ONLY = {"Bool": {"aws:SecureTransport": "false"}}


@pytest.fixture(scope="module")
def template() -> Any:
    decoded, problems = cfnlint.decode.decode(str(TEMPLATE))
    assert not problems
    return decoded


@pytest.fixture
def resources(template: Any) -> dict[str, Any]:
    return {name: resource["Properties"] for name, resource in template["Resources"].items()}


def _statements(resources: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        statement
        for properties in resources.values()
        for statement in properties.get("PolicyDocument", {}).get("Statement", [])
    ]


def test_cfn_lint_has_nothing_to_say() -> None:
    lint = subprocess.run(
        [Path(sys.executable).with_name("cfn-lint"), "--include-checks", "I", "--", str(TEMPLATE)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (lint.returncode, lint.stdout) == (0, ""), lint.stdout + lint.stderr


def test_only_s3_may_send_and_only_for_this_bucket_of_this_account(resources: dict[str, Any]) -> None:
    allowed = [statement for statement in _statements(resources) if statement["Effect"] == "Allow"]
    assert allowed == [
        {
            "Sid": "EventsOfTheBucket",
            "Effect": "Allow",
            "Principal": {"Service": "s3.amazonaws.com"},
            "Action": "sqs:SendMessage",
            "Resource": {"Fn::GetAtt": ["Queue", "Arn"]},
            "Condition": {
                "ArnLike": {"aws:SourceArn": {"Fn::Sub": "arn:${AWS::Partition}:s3:::${BucketName}"}},
                "StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}},
            },
        }
    ]


def test_bucket_and_queues_refuse_plain_http(resources: dict[str, Any]) -> None:
    denied = [statement for statement in _statements(resources) if statement["Effect"] == "Deny"]
    assert all((s["Principal"], s["Condition"]) == ("*", TLS_ONLY) for s in denied)
    bucket = {"Fn::GetAtt": ["Bucket", "Arn"]}
    assert [(s["Action"], s["Resource"]) for s in denied] == [
        ("sqs:*", {"Fn::GetAtt": ["Queue", "Arn"]}),
        ("sqs:*", {"Fn::GetAtt": ["DeadLetterQueue", "Arn"]}),
        ("s3:*", [bucket, {"Fn::Sub": "${Bucket.Arn}/*"}]),
    ]


def test_no_policy_names_every_resource(resources: dict[str, Any]) -> None:
    assert all("*" not in (s["Resource"], *s["Resource"]) for s in _statements(resources))


def test_documents_outlive_the_stack(template: Any) -> None:
    bucket = template["Resources"]["Bucket"]
    assert bucket["DeletionPolicy"] == "RetainExceptOnCreate"
    assert bucket["UpdateReplacePolicy"] == "Retain"


def test_bucket_is_private_and_encrypted(resources: dict[str, Any]) -> None:
    bucket = resources["Bucket"]
    assert len(bucket["PublicAccessBlockConfiguration"]) == 4
    assert all(bucket["PublicAccessBlockConfiguration"].values())
    assert bucket["OwnershipControls"] == {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]}
    rules = bucket["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    assert rules == [{"ServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}]
    assert all(resources[queue]["SqsManagedSseEnabled"] for queue in ("Queue", "DeadLetterQueue"))


def test_every_created_object_is_an_event_whatever_its_suffix(resources: dict[str, Any]) -> None:
    (rule,) = resources["Bucket"]["NotificationConfiguration"]["QueueConfigurations"]
    assert rule["Event"] == "s3:ObjectCreated:*"
    prefix = {"S3Key": {"Rules": [{"Name": "prefix", "Value": {"Ref": "WatchedPrefix"}}]}}
    assert rule["Filter"] == {"Fn::If": ["HasWatchedPrefix", prefix, {"Ref": "AWS::NoValue"}]}


def test_only_tagged_parts_expire_and_later_than_any_message_of_the_queue(resources: dict[str, Any]) -> None:
    rules = resources["Bucket"]["LifecycleConfiguration"]["Rules"]
    expiring = [rule for rule in rules if any("Expiration" in name for name in rule)]
    assert [rule["TagFilters"] for rule in expiring] == [[{"Key": "bucket-ocr", "Value": "part"}]]
    assert expiring[0]["ExpirationInDays"] * 86_400 > resources["Queue"]["MessageRetentionPeriod"]


def test_abandoned_uploads_are_removed(resources: dict[str, Any]) -> None:
    rules = resources["Bucket"]["LifecycleConfiguration"]["Rules"]
    assert any("AbortIncompleteMultipartUpload" in r and r["Status"] == "Enabled" for r in rules)


def test_a_given_up_message_outlives_the_queue_it_comes_from(resources: dict[str, Any]) -> None:
    queue, dead_letters = resources["Queue"], resources["DeadLetterQueue"]
    assert queue["MessageRetentionPeriod"] < dead_letters["MessageRetentionPeriod"] == 14 * 86_400


def test_queue_takes_the_largest_event_of_s3(resources: dict[str, Any]) -> None:
    assert resources["Queue"]["MaximumMessageSize"] >= 65_536


@pytest.mark.parametrize(
    ("alarm", "queue", "metric"),
    [
        ("DeadLetterAlarm", "DeadLetterQueue", "ApproximateNumberOfMessagesVisible"),
        ("OldestMessageAlarm", "Queue", "ApproximateAgeOfOldestMessage"),
    ],
)
def test_alarms_watch_their_queue_and_keep_their_state_when_it_falls_silent(
    resources: dict[str, Any], alarm: str, queue: str, metric: str
) -> None:
    properties = resources[alarm]
    assert properties["MetricName"] == metric
    assert properties["Dimensions"] == [{"Name": "QueueName", "Value": {"Fn::GetAtt": [queue, "QueueName"]}}]
    assert properties["ComparisonOperator"] == "GreaterThanThreshold"
    assert properties["TreatMissingData"] == "ignore"


def test_everything_but_the_bucket_name_has_a_default_and_a_description(template: Any) -> None:
    parameters = template["Parameters"]
    assert [name for name, p in parameters.items() if "Default" not in p] == ["BucketName"]
    assert all(p["Description"] for p in parameters.values())
