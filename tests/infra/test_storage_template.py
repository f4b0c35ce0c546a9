"""`infra/storage.yaml` by its content: a LocalStack leaves out encryption and lifecycle of a bucket."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import cfnlint.decode
import pytest

INFRA = Path(__file__).parents[2] / "infra"
TEMPLATE = INFRA / "storage.yaml"
NO_VALUE = {"Ref": "AWS::NoValue"}


@pytest.fixture(scope="module")
def template() -> Any:
    decoded, problems = cfnlint.decode.decode(str(TEMPLATE))
    assert not problems
    return decoded


@pytest.fixture
def resources(template: Any) -> dict[str, Any]:
    return {name: resource["Properties"] for name, resource in template["Resources"].items()}


def test_cfn_lint_has_nothing_to_say() -> None:
    lint = subprocess.run(
        [Path(sys.executable).with_name("cfn-lint"), "--include-checks", "I", "--", *INFRA.glob("*.yaml")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (lint.returncode, lint.stdout) == (0, ""), lint.stdout + lint.stderr


def test_documents_and_what_opens_them_outlive_the_stack(template: Any) -> None:
    bucket, key = template["Resources"]["Bucket"], template["Resources"]["Key"]
    assert (bucket["DeletionPolicy"], bucket["UpdateReplacePolicy"]) == ("RetainExceptOnCreate", "Retain")
    assert (key["DeletionPolicy"], key["UpdateReplacePolicy"]) == ("Retain", "Retain")


def test_bucket_is_private(resources: dict[str, Any]) -> None:
    bucket = resources["Bucket"]
    assert len(bucket["PublicAccessBlockConfiguration"]) == 4
    assert all(bucket["PublicAccessBlockConfiguration"].values())
    assert bucket["OwnershipControls"] == {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]}


def test_bucket_and_queues_are_encrypted_with_the_key_or_for_nothing(resources: dict[str, Any]) -> None:
    (rule,) = resources["Bucket"]["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    with_key = {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": {"Fn::GetAtt": ["Key", "Arn"]}}
    assert rule["Fn::If"] == [
        "HasKey",
        {"ServerSideEncryptionByDefault": with_key, "BucketKeyEnabled": True},
        {"ServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}},
    ]
    for queue in ("Queue", "DeadLetterQueue"):
        # Never both: SQS refuses that.
        assert resources[queue]["SqsManagedSseEnabled"] == {"Fn::If": ["HasKey", NO_VALUE, True]}
        assert resources[queue]["KmsMasterKeyId"] == {"Fn::If": ["HasKey", {"Ref": "Key"}, NO_VALUE]}


def test_old_versions_and_what_marks_their_deletion_expire(resources: dict[str, Any]) -> None:
    (alternative,) = [r for r in resources["Bucket"]["LifecycleConfiguration"]["Rules"] if "Fn::If" in r]
    condition, rule, otherwise = alternative["Fn::If"]
    assert (condition, otherwise, rule["Status"]) == ("HasVersions", NO_VALUE, "Enabled")
    assert rule["NoncurrentVersionExpiration"] == {"NoncurrentDays": 30}
    assert rule["ExpiredObjectDeleteMarker"] is True
    # Nothing of a rule that takes old versions may take the newest one.
    assert not {"ExpirationInDays", "ExpirationDate"} & set(rule)


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


def test_the_page_names_every_parameter_and_output(template: Any) -> None:
    page = (INFRA / "storage.md").read_text(encoding="utf-8")
    rows = [line for line in page.splitlines() if line.startswith("| `")]
    named = {name for row in rows for name in re.findall(r"`(\w+)`", row.split("|")[1])}
    # The name of the bucket, an output too, is among the parameters.
    assert named == {*template["Parameters"], *template["Outputs"]}
