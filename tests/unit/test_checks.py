"""What is judged of policies and rules as AWS tells them, in all the forms it allows."""

import json
from typing import Any

import pytest

from consumer.doctor import checks
from consumer.doctor.checks import Level

URL = "https://sqs.eu-central-1.amazonaws.com/123456789012/bucket-ocr"
ARN = "arn:aws:sqs:eu-central-1:123456789012:bucket-ocr"


def allowing(**changes: Any) -> dict[str, Any]:
    statement = {
        "Effect": "Allow",
        "Principal": {"Service": "s3.amazonaws.com"},
        "Action": "sqs:SendMessage",
        "Resource": ARN,
        "Condition": {"ArnLike": {"aws:SourceArn": "arn:aws:s3:::inbox"}},
    }
    return statement | changes


def attributes(*statements: dict[str, Any], **others: str) -> dict[str, str]:
    policy = {"Version": "2012-10-17", "Statement": list(statements)}
    return {"QueueArn": ARN, "Policy": json.dumps(policy)} | others


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"Action": ["sqs:ReceiveMessage", "SQS:SendMessage"]},
        {"Action": "sqs:*"},
        {"Principal": "*"},
        {"Principal": {"AWS": "*"}},
        {"Principal": {"Service": ["sns.amazonaws.com", "s3.amazonaws.com"]}},
        {"Resource": ["arn:aws:sqs:eu-central-1:123456789012:*"]},
        {"Condition": {"ArnEquals": {"AWS:SourceArn": ["arn:aws:s3:::other", "arn:aws:s3:::inbox"]}}},
        {"Condition": {"StringLike": {"aws:sourcearn": "arn:aws:s3:*:*:in*"}}},
        {"Condition": {"StringEquals": {"aws:SourceAccount": "123456789012"}}},
        {"Condition": {}},
    ],
)
def test_a_policy_that_lets_s3_send_is_known_in_every_form(changes: dict[str, Any]) -> None:
    assert checks.policy(URL, attributes(allowing(**changes)), "inbox").level is Level.OK


@pytest.mark.parametrize(
    "changes",
    [
        {"Effect": "Deny"},
        {"Action": "sqs:ReceiveMessage"},
        {"Principal": {"Service": "sns.amazonaws.com"}},
        {"Resource": f"{ARN}-other"},
        {"Condition": {"ArnLike": {"aws:SourceArn": "arn:aws:s3:::inbox-other"}}},
    ],
)
def test_one_that_does_not_is_a_fault(changes: dict[str, Any]) -> None:
    finding = checks.policy(URL, attributes(allowing(**changes)), "inbox")
    assert (finding.level, '"aws:SourceArn": "arn:aws:s3:::inbox"' in finding.remedy) == (Level.FAULT, True)


def test_no_policy_at_all_is_a_fault_and_names_no_bucket() -> None:
    assert checks.policy(URL, {"QueueArn": ARN}, "inbox").level is Level.FAULT
    assert checks.buckets({"QueueArn": ARN}) == []


def test_buckets_are_those_that_the_policy_names_and_no_patterns() -> None:
    sources = ["arn:aws:s3:::b", "arn:aws:s3:::a", "arn:aws:s3:::c-*", "arn:aws:events:::rule"]
    condition = {"ArnLike": {"aws:SourceArn": sources}}
    assert checks.buckets(attributes(allowing(Condition=condition))) == ["a", "b"]


@pytest.mark.parametrize(
    ("url", "region"),
    [
        (URL, "eu-central-1"),
        ("https://sqs.us-gov-west-1.amazonaws.com/123456789012/q", "us-gov-west-1"),
        ("http://127.0.0.1:4566/queue/us-east-1/000000000000/q", "us-east-1"),
        ("http://sqs.ap-southeast-2.localhost.localstack.cloud:4566/000000000000/q", "ap-southeast-2"),
        ("https://queue.example.com/123456789012/not-a-region-1", None),
    ],
)
def test_a_queue_s_url_names_its_region_or_not(url: str, region: str | None) -> None:
    assert checks.region_of(url) == region
    if region is not None:
        assert checks.region(url, "eu-west-1").remedy == f"export AWS_REGION={region}"


def test_no_region_is_a_fault() -> None:
    assert checks.region(URL, None).level is Level.FAULT


def test_a_bucket_in_another_region_cannot_tell_the_queue() -> None:
    misplaced = checks.placed("inbox", "eu-west-1", URL)
    assert misplaced is not None
    assert "is in eu-west-1, the queue in eu-central-1" in misplaced.message
    assert checks.placed("inbox", "eu-central-1", URL) is None
    assert checks.placed("inbox", None, URL) is None


@pytest.mark.parametrize(
    ("named", "word"), [({"FifoQueue": "true"}, "FIFO"), ({"KmsMasterKeyId": "alias/aws/sqs"}, "dropped")]
)
def test_a_queue_that_s3_cannot_send_to_is_a_fault(named: dict[str, str], word: str) -> None:
    first, *_ = checks.queue(URL, named)
    assert (first.level, word in first.message) == (Level.FAULT, True)


def redrive(count: int, dead_letters: dict[str, str] | None) -> list[checks.Finding]:
    policy = {"deadLetterTargetArn": f"{ARN}-dead-letter", "maxReceiveCount": count}
    queue = {"RedrivePolicy": json.dumps(policy), "MessageRetentionPeriod": "345600"}
    return list(checks.redrive(URL, queue, dead_letters))


def test_what_becomes_of_messages_that_fail() -> None:
    good = {"MessageRetentionPeriod": "1209600", "ApproximateNumberOfMessages": "0"}
    assert [finding.level for finding in redrive(10, good)] == [Level.OK]
    (few, _) = redrive(1, good)
    assert (few.level, "after 1 receive(s)" in few.message) == (Level.WARNING, True)
    (gone,) = redrive(10, None)
    assert (gone.level, gone.message.startswith("does not exist")) == (Level.FAULT, True)
    short, full = redrive(10, {"MessageRetentionPeriod": "345600", "ApproximateNumberOfMessages": "3"})
    assert "no longer than the queue" in short.message
    assert "holds 3 message(s)" in full.message


@pytest.mark.parametrize(
    "configuration",
    [
        {"EventBridgeConfiguration": {}},
        {
            "TopicConfigurations": [
                {"TopicArn": "arn:aws:sns:eu-central-1:1:t", "Events": ["s3:ObjectCreated:*"]}
            ]
        },
    ],
)
def test_a_way_round_cannot_be_seen_and_is_a_warning(configuration: dict[str, Any]) -> None:
    (finding,) = checks.notification("inbox", "", configuration, ARN)
    assert (finding.level, "whether that tells the queue is not looked at" in finding.message) == (
        Level.WARNING,
        True,
    )


def test_rules_with_suffixes_say_which_documents_are_missed() -> None:
    def rule(suffix: str) -> dict[str, Any]:
        rules = [{"Name": "Suffix", "Value": suffix}]
        return {"QueueArn": ARN, "Events": ["s3:ObjectCreated:*"], "Filter": {"Key": {"FilterRules": rules}}}

    told, missed = checks.notification("inbox", "", {"QueueConfigurations": [rule(".pdf")]}, ARN)
    assert (told.level, missed.level) == (Level.OK, Level.WARNING)
    assert "only if their names end in .pdf" in missed.message
    assert "png" in missed.remedy
