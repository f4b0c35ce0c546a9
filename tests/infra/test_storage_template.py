"""`infra/storage.yaml` by its content: LocalStack enforces no policy and leaves out parts of a bucket.

That the consumer may do all that it does, and nothing that it does not: `tests/e2e/test_permissions.py`.
"""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import quote_plus

import pytest

from consumer.domain.keys import OUTPUT_ENDINGS
from consumer.domain.outputs import SEVERAL
from tests.infra.cloudformation import INFRA, decoded, resources
from tests.infra.permissions import granted, listed, may

Stack = dict[str, Any]

TEMPLATE = "storage.yaml"
DAY_S = 86_400
BUCKET = "arn:aws:s3:::inbox"
QUEUE = "arn:aws:sqs:eu-central-1:111122223333:bucket-ocr"

#: An ending of each form that the keys of outputs have.
ENDINGS = (
    *(".ocr.md", ".ocr.pdf", ".ocr.hocr", ".ocr.alto.xml", ".ocr.page.xml", ".ocr.textract.json"),
    *(".ocr/page-0001.page.xml", ".ocr/page-0001-table-1.csv", ".ocr/page-12345.png"),
)


@pytest.fixture(scope="module")
def plain() -> Stack:
    return resources(TEMPLATE, BucketName="inbox")


@pytest.fixture(scope="module")
def full() -> Stack:
    """Everything that there can be."""
    return resources(
        TEMPLATE,
        BucketName="inbox",
        WatchedPrefix="in/",
        Versioning="true",
        Encryption="kms",
        CompletionTopic="true",
        AlarmTopicArn="the topic",
    )


def test_cfn_lint_has_nothing_to_say() -> None:
    lint = subprocess.run(
        [Path(sys.executable).with_name("cfn-lint"), "--include-checks", "I", "--", *INFRA.glob("*.yaml")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (lint.returncode, lint.stdout) == (0, ""), lint.stdout + lint.stderr


def test_every_parameter_is_described_and_the_page_has_them_and_the_outputs() -> None:
    template = decoded(TEMPLATE)
    parameters = template["Parameters"]
    assert [name for name, about in parameters.items() if "Default" not in about] == ["BucketName"]
    others = decoded("compute-ecs.yaml")["Parameters"]
    assert all(about["Description"] for about in (*parameters.values(), *others.values()))
    page = (INFRA / "storage.md").read_text(encoding="utf-8")
    rows = [line.split("|")[1] for line in page.splitlines() if line.startswith("| `")]
    assert set(re.findall(r"`(\w+)`", "".join(rows))) == {*parameters, *template["Outputs"]}


# -- documents


def test_documents_and_their_key_outlive_the_stack() -> None:
    for name, on_deletion in (("Bucket", "RetainExceptOnCreate"), ("Key", "Retain")):
        resource = decoded(TEMPLATE)["Resources"][name]
        assert (resource["DeletionPolicy"], resource["UpdateReplacePolicy"]) == (on_deletion, "Retain")


def test_nothing_in_the_bucket_can_become_public(plain: Stack) -> None:
    block = plain["Bucket"]["PublicAccessBlockConfiguration"]
    assert (len(block), all(block.values())) == (4, True)
    assert plain["Bucket"]["OwnershipControls"] == {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]}


def test_everything_is_encrypted_for_nothing_or_with_one_key_that_is_rotated(
    plain: Stack, full: Stack
) -> None:
    (rule,), (with_key,) = (
        stack["Bucket"]["BucketEncryption"]["ServerSideEncryptionConfiguration"] for stack in (plain, full)
    )
    assert rule["ServerSideEncryptionByDefault"] == {"SSEAlgorithm": "AES256"}
    by_key = {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": "Key.Arn"}
    assert with_key["ServerSideEncryptionByDefault"] == by_key
    # Otherwise each object costs a call of KMS.
    assert with_key["BucketKeyEnabled"] is True
    assert full["Key"]["EnableKeyRotation"] is True
    for stack, encryption in ((plain, (True, None)), (full, (None, "Key"))):  # SQS refuses both at once
        for queue in (stack["Queue"], stack["DeadLetterQueue"]):
            assert (queue.get("SqsManagedSseEnabled"), queue.get("KmsMasterKeyId")) == encryption
    assert full["Topic"]["KmsMasterKeyId"] == "Key"


def _expiring(stack: Stack) -> list[Any]:
    rules = [
        rule for rule in stack["Bucket"]["LifecycleConfiguration"]["Rules"] if rule["Status"] == "Enabled"
    ]
    assert any("AbortIncompleteMultipartUpload" in rule for rule in rules)
    return [rule for rule in rules if any("Expir" in name for name in rule)]


def test_abandoned_uploads_go_and_parts_expire_later_than_any_message(plain: Stack) -> None:
    (parts,) = _expiring(plain)
    assert parts["TagFilters"] == [{"Key": "bucket-ocr", "Value": "part"}]
    assert parts["ExpirationInDays"] * DAY_S > plain["Queue"]["MessageRetentionPeriod"]


def test_old_versions_expire_and_the_newest_never_does(full: Stack) -> None:
    _, versions = _expiring(full)
    assert versions["NoncurrentVersionExpiration"]["NoncurrentDays"] >= 1
    assert versions["ExpiredObjectDeleteMarker"] is True
    assert not {"ExpirationInDays", "ExpirationDate"} & versions.keys()


# -- messages


def test_every_object_created_or_restored_under_the_watched_prefix_is_an_event(
    plain: Stack, full: Stack
) -> None:
    # No suffix: names of documents may have any, or none.
    for stack, filters in ((plain, []), (full, [{"Name": "prefix", "Value": "in/"}])):
        rules = stack["Bucket"]["NotificationConfiguration"]["QueueConfigurations"]
        assert [rule["Event"] for rule in rules] == ["s3:ObjectCreated:*", "s3:ObjectRestore:Completed"]
        for rule in rules:
            assert rule.get("Filter", {}).get("S3Key", {}).get("Rules", []) == filters


def test_the_queue_takes_the_largest_event_of_s3(plain: Stack) -> None:
    assert plain["Queue"]["MaximumMessageSize"] >= 64 * 1024


@pytest.mark.parametrize(
    ("prefix", "is_taken"),
    [
        ("", True),
        ("incoming/", True),
        ("a-b_c.d/2026/", True),
        ("/incoming/", False),
        *(
            (f"{prefix}/", False)
            for prefix in ("dt=2026", "in box", "a&b", "a+b", "für", "a%20", "a*", "${x}")
        ),
    ],
)
def test_a_watched_prefix_has_one_form_in_filter_and_policy_or_is_refused_with_a_reason(
    prefix: str, is_taken: bool
) -> None:
    parameter = decoded(TEMPLATE)["Parameters"]["WatchedPrefix"]
    assert bool(re.fullmatch(parameter["AllowedPattern"], prefix)) is is_taken
    # S3 encodes keys as forms do.
    assert not is_taken or quote_plus(prefix, safe="/") == prefix
    assert "dt=2026/" in parameter["ConstraintDescription"]


def test_messages_are_kept_as_long_as_sqs_can_and_an_alarm_comes_before_they_are_lost(full: Stack) -> None:
    longest_s = 14 * DAY_S
    assert (
        full["Queue"]["MessageRetentionPeriod"]
        == full["DeadLetterQueue"]["MessageRetentionPeriod"]
        == longest_s
    )
    assert resources(TEMPLATE, MessageRetentionSeconds=7200)["Queue"]["MessageRetentionPeriod"] == 7200
    alarm = full["RetentionAlarm"]
    part, age = alarm["Metrics"]
    assert (age["Id"], part["Expression"]) == ("age", f"age / {longest_s}")
    assert age["MetricStat"]["Metric"]["MetricName"] == "ApproximateAgeOfOldestMessage"
    assert age["MetricStat"]["Metric"]["Dimensions"] == [{"Name": "QueueName", "Value": "Queue.QueueName"}]
    assert (alarm["Threshold"], alarm["ComparisonOperator"]) == (0.75, "GreaterThanThreshold")
    assert (alarm["AlarmActions"], alarm["TreatMissingData"]) == (["the topic"], "ignore")


@pytest.mark.parametrize(
    ("alarm", "queue", "metric"),
    [
        ("DeadLetterAlarm", "DeadLetterQueue", "ApproximateNumberOfMessagesVisible"),
        ("OldestMessageAlarm", "Queue", "ApproximateAgeOfOldestMessage"),
    ],
)
def test_people_are_told_of_dead_letters_and_of_documents_that_wait_too_long(
    full: Stack, alarm: str, queue: str, metric: str
) -> None:
    about = full[alarm]
    assert (about["Namespace"], about["MetricName"]) == ("AWS/SQS", metric)
    assert about["Dimensions"] == [{"Name": "QueueName", "Value": f"{queue}.QueueName"}]
    assert about["ComparisonOperator"] == "GreaterThanThreshold"
    assert about["AlarmActions"] == ["the topic"]
    # SQS is silent about a queue that nobody touches, whatever is in it.
    assert about["TreatMissingData"] == "ignore"


# -- rights


def _consumer(stack: Stack) -> Any:
    return stack["ConsumerPolicy"]["PolicyDocument"]


@pytest.mark.parametrize(
    ("allowed", "action", "resource"),
    [
        (True, "s3:GetObject", f"{BUCKET}/in/a/scan.pdf"),
        (True, "s3:PutObject", f"{BUCKET}/in/a/scan.pdf.ocr.json"),
        (True, "s3:PutObject", f"{BUCKET}/in/a/scan.pdf.ocr/parts/0123456789abcdef-300/1-64.json.gz"),
        (True, "s3:DeleteObject", f"{BUCKET}/in/a/scan.pdf.ocr/parts/0123456789abcdef-300/1-64.json.gz"),
        (True, "s3:PutObject", f"{BUCKET}/in/a/scan.pdf.ocr.hocr"),
        (True, "s3:PutObject", f"{BUCKET}/in/a/scan.pdf.ocr/page-0001-table-1.csv"),
        (True, "s3:DeleteObject", f"{BUCKET}/in/a/scan.pdf.ocr/page-0001-table-1.csv"),
        (False, "s3:DeleteObject", f"{BUCKET}/in/a/scan.pdf.ocr.hocr"),
        (False, "s3:DeleteObject", f"{BUCKET}/in/a/scan.pdf.ocr.json"),
        (False, "s3:DeleteObject", f"{BUCKET}/in/a/scan.pdf"),
        (False, "s3:PutObjectTagging", f"{BUCKET}/in/a/scan.pdf"),
        (True, "sqs:DeleteMessage", "Queue.Arn"),
        (True, "sqs:GetQueueAttributes", "DeadLetterQueue.Arn"),
        (True, "sns:Publish", "Topic"),
        (False, "s3:PutObject", f"{BUCKET}/in/a/scan.pdf"),
        (False, "s3:PutObject", f"{BUCKET}/elsewhere/scan.pdf.ocr.json"),
        (False, "s3:GetObject", f"{BUCKET}/elsewhere/scan.pdf"),
        (False, "s3:GetObject", f"{BUCKET}-2/in/scan.pdf"),
        (False, "s3:ListBucket", f"{BUCKET}-2"),
        (False, "sqs:ReceiveMessage", "DeadLetterQueue.Arn"),
        (False, "sns:Publish", "another topic"),
        (False, "kms:Decrypt", "another key"),
    ],
)
def test_the_consumer_reads_and_writes_under_its_prefix_and_works_on_its_queue_alone(
    full: Stack, allowed: bool, action: str, resource: str
) -> None:
    assert may(_consumer(full), action, resource) is allowed


@pytest.mark.parametrize("name", OUTPUT_ENDINGS)
def test_the_consumer_may_write_every_output_and_remove_those_of_pages_that_are_gone(
    full: Stack, name: str
) -> None:
    endings = [ending for ending in ENDINGS if re.fullmatch(OUTPUT_ENDINGS[name], ending)]
    assert endings
    for key in (f"{BUCKET}/in/scan.pdf{ending}" for ending in endings):
        assert may(_consumer(full), "s3:PutObject", key)
        assert may(_consumer(full), "s3:DeleteObject", key) is (name in SEVERAL)


def test_the_consumer_reads_and_writes_objects_of_its_own_account_alone(full: Stack) -> None:
    for statement in _consumer(full)["Statement"]:
        if any(action.startswith("s3:") for action in listed(statement["Action"])):
            assert statement["Condition"] == {"StringEquals": {"aws:ResourceAccount": "111122223333"}}


def test_the_consumer_may_use_key_and_topic_only_if_there_are_any(plain: Stack, full: Stack) -> None:
    without = {action for action, _ in granted(_consumer(plain))}
    assert {(action, resource) for action, resource in granted(_consumer(full)) if action not in without} == {
        ("sns:Publish", "Topic"),
        ("kms:Decrypt", "Key.Arn"),
        ("kms:GenerateDataKey", "Key.Arn"),
    }


def _statements(stack: Stack, effect: str) -> list[Any]:
    """Statements of the policies of the bucket, the queues and the topic, each about its own."""
    found = []
    for name in ("BucketPolicy", "QueuePolicy", "DeadLetterQueuePolicy", "TopicPolicy"):
        (target,) = stack[name].get("Queues") or stack[name].get("Topics") or [stack[name]["Bucket"]]
        for statement in stack[name]["PolicyDocument"]["Statement"]:
            assert all(resource.startswith(target) for resource in listed(statement["Resource"]))
            found += [statement] * (statement["Effect"] == effect)
    return found


def test_only_s3_for_this_bucket_of_this_account_may_send_to_the_queue(full: Stack) -> None:
    (allowed,) = _statements(full, "Allow")
    assert (allowed["Action"], allowed["Resource"]) == ("sqs:SendMessage", "Queue.Arn")
    assert allowed["Principal"] == {"Service": "s3.amazonaws.com"}
    assert allowed["Condition"]["ArnLike"] == {"aws:SourceArn": BUCKET}
    assert allowed["Condition"]["StringEquals"] == {"aws:SourceAccount": "111122223333"}


def test_bucket_queues_and_topic_refuse_plain_http(full: Stack) -> None:
    denied = _statements(full, "Deny")
    assert {(s["Action"], str(s["Resource"])) for s in denied} == {
        ("s3:*", "['Bucket.Arn', 'Bucket.Arn/*']"),
        ("sqs:*", "Queue.Arn"),
        ("sqs:*", "DeadLetterQueue.Arn"),
        ("sns:Publish", "Topic"),  # SNS refuses sns:* here
    }
    for statement in denied:
        assert statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
        assert statement["Principal"] == "*"


def test_the_key_is_for_those_that_iam_lets_and_for_events_to_this_queue(full: Stack) -> None:
    statements = full["Key"]["KeyPolicy"]["Statement"]
    by_principal = {tuple(statement["Principal"].values()): statement for statement in statements}
    s3 = by_principal.pop(("s3.amazonaws.com",))
    assert set(s3["Action"]) == {"kms:GenerateDataKey", "kms:Decrypt"}
    assert s3["Condition"] == {"StringEquals": {"kms:EncryptionContext:aws:sqs:arn": QUEUE}}
    # Without it nobody could manage the key, and policies of roles would not count.
    account = by_principal.pop(("arn:aws:iam::111122223333:root",))
    assert (account["Effect"], account["Action"]) == ("Allow", "kms:*")
    assert not by_principal


def test_another_key_may_be_used_if_it_is_named_and_no_other() -> None:
    key = "arn:aws:kms:eu-central-1:111122223333:key/1234"
    policy = resources(TEMPLATE, BucketName="inbox", ResultKeyArn=key)["ConsumerPolicy"]["PolicyDocument"]
    of_kms = {each for each in granted(policy) if each[0].startswith("kms:")}
    assert of_kms == {("kms:Decrypt", key), ("kms:GenerateDataKey", key)}
    pattern = decoded(TEMPLATE)["Parameters"]["ResultKeyArn"]["AllowedPattern"]
    assert re.fullmatch(pattern, key)
    assert re.fullmatch(pattern, "")
    # IAM takes the ARN of an alias for nothing that exists.
    assert not re.fullmatch(pattern, key.replace("key/1234", "alias/results"))
