"""The doctor's judgements of policies and rules in all forms that AWS allows, and its list of checks."""

import json
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from consumer.doctor import checks
from consumer.doctor.checks import Finding, Level
from consumer.doctor.examine import Context, check_engine, check_queue, check_region, examine
from consumer.doctor.inspect import AwsInspector
from consumer.settings import Settings

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
def test_a_policy_that_lets_s3_send_is_recognised_in_every_form(changes: dict[str, Any]) -> None:
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
def test_a_policy_that_does_not_let_s3_send_is_a_fault(changes: dict[str, Any]) -> None:
    finding = checks.policy(URL, attributes(allowing(**changes)), "inbox")
    assert (finding.level, '"aws:SourceArn": "arn:aws:s3:::inbox"' in finding.remedy) == (Level.FAULT, True)


def test_no_policy_at_all_is_a_fault_and_names_no_bucket() -> None:
    assert checks.policy(URL, {"QueueArn": ARN}, "inbox").level is Level.FAULT
    assert checks.buckets({"QueueArn": ARN}) == []


def test_buckets_are_the_names_in_the_policy_and_no_patterns() -> None:
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
def test_the_region_is_taken_from_the_url_of_the_queue(url: str, region: str | None) -> None:
    assert checks.region_of(url) == region
    if region is not None:
        assert checks.region(url, "eu-west-1").remedy == f"export AWS_REGION={region}"


def test_no_region_is_a_fault() -> None:
    assert checks.region(URL, None).level is Level.FAULT


def test_a_bucket_in_another_region_is_a_fault() -> None:
    (misplaced,) = checks.bucket_region("inbox", "eu-west-1", URL)
    assert (misplaced.level, "is in eu-west-1, the queue in eu-central-1" in misplaced.message) == (
        Level.FAULT,
        True,
    )
    assert not list(checks.bucket_region("inbox", "eu-central-1", URL))
    assert not list(checks.bucket_region("inbox", None, URL))


@pytest.mark.parametrize(
    ("changes", "word"), [({"FifoQueue": "true"}, "FIFO"), ({"KmsMasterKeyId": "alias/aws/sqs"}, "dropped")]
)
def test_a_queue_that_s3_cannot_send_to_is_a_fault(changes: dict[str, str], word: str) -> None:
    first, *_ = checks.queue(URL, changes)
    assert (first.level, word in first.message) == (Level.FAULT, True)


def redrive(count: int, dead_letters: dict[str, str]) -> list[Finding]:
    policy = {"deadLetterTargetArn": f"{ARN}-dead-letter", "maxReceiveCount": count}
    queue = {"RedrivePolicy": json.dumps(policy), "MessageRetentionPeriod": "345600"}
    return list(checks.redrive(URL, queue, f"{ARN}-dead-letter", dead_letters))


def test_messages_that_fail_need_a_dead_letter_queue_that_keeps_them() -> None:
    good = {"MessageRetentionPeriod": "1209600", "ApproximateNumberOfMessages": "0"}
    assert [finding.level for finding in redrive(10, good)] == [Level.OK]
    (few, _) = redrive(1, good)
    assert (few.level, "after 1 receive(s)" in few.message) == (Level.WARNING, True)
    short, full = redrive(10, {"MessageRetentionPeriod": "345600", "ApproximateNumberOfMessages": "3"})
    assert "could keep messages longer" in short.message
    assert "holds 3 message(s)" in full.message


def retention(**attributes: str) -> list[tuple[Level, str]]:
    return [(each.level, each.remedy) for each in checks.queue(URL, attributes) if each.check == "retention"]


def test_a_queue_that_could_keep_messages_longer_is_a_warning_with_the_command() -> None:
    ((level, remedy),) = retention(MessageRetentionPeriod="345600")
    assert (level, "MessageRetentionPeriod=1209600" in remedy) == (Level.WARNING, True)
    assert retention(MessageRetentionPeriod="1209600") == []


class WithoutDeadLetters(AwsInspector):
    """AWS with a queue whose dead-letter queue was deleted."""

    async def look_up(
        self, missing: Finding, permission: str, operation: str, **parameters: Any
    ) -> dict[str, Any] | Finding:
        del permission, operation
        policy = {"deadLetterTargetArn": f"{ARN}-gone", "maxReceiveCount": 10}
        found = {"Attributes": attributes() | {"RedrivePolicy": json.dumps(policy)}}
        return found if parameters["QueueUrl"] == URL else missing


async def test_a_dead_letter_queue_that_is_missing_is_a_fault() -> None:
    context = Context(Settings(queue_url=URL), None, "", WithoutDeadLetters(AsyncExitStack()))
    (finding,) = [finding for finding in await check_queue(context) if finding.check == "redrive"]
    assert (finding.level, finding.subject) == (Level.FAULT, f"{ARN}-gone")
    assert (finding.message, finding.remedy.startswith("create it")) == ("does not exist", True)


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
def test_events_by_another_way_are_a_warning(configuration: dict[str, Any]) -> None:
    (finding,) = checks.notification("inbox", "", configuration, ARN)
    assert (finding.level, "the doctor does not follow them" in finding.message) == (
        Level.WARNING,
        True,
    )


def test_rules_with_suffixes_leave_documents_out() -> None:
    def rule(suffix: str) -> dict[str, Any]:
        rules = [{"Name": "Suffix", "Value": suffix}]
        return {"QueueArn": ARN, "Events": ["s3:ObjectCreated:*"], "Filter": {"Key": {"FilterRules": rules}}}

    rules = {"QueueConfigurations": [rule(".pdf"), rule("jpeg")]}
    ok, _, missed = checks.notification("inbox", "", rules, ARN)
    assert (ok.level, missed.level) == (Level.OK, Level.WARNING)
    assert "only keys that end in .pdf, jpeg" in missed.message
    assert missed.remedy == "add rules for bmp, dib, jfif, jpe, jpg, png, tif, tiff, webp"


@pytest.mark.parametrize("event", ["s3:ObjectRestore:Completed", "s3:ObjectRestore:*"])
def test_restores_that_cause_no_event_are_a_warning(event: str) -> None:
    def warned(*events: str) -> bool:
        rules = {"QueueConfigurations": [{"QueueArn": ARN, "Events": [each]} for each in events]}
        found = checks.notification("inbox", "", rules, ARN)
        return ("restores", Level.WARNING) in [(finding.check, finding.level) for finding in found]

    assert warned("s3:ObjectCreated:*")
    assert not warned("s3:ObjectCreated:*", event)


def filtered(value: str) -> dict[str, Any]:
    filters = {"Key": {"FilterRules": [{"Name": "Prefix", "Value": value}]}}
    rule = {"Id": "ours", "QueueArn": ARN, "Events": ["s3:ObjectCreated:*"], "Filter": filters}
    return {"QueueConfigurations": [rule]}


@pytest.mark.parametrize(
    ("value", "prefix"),
    [
        ("dt%3D2026/", "dt=2026/"),
        ("in+box/", "in box/"),
        ("f%C3%BCr/", "für/"),
        ("a%2Bb/", "a+b/"),
        ("in/", "in/"),
    ],
)
def test_an_encoded_filter_is_compared_with_the_prefix_that_it_means(value: str, prefix: str) -> None:
    first, *_ = checks.notification("inbox", prefix, filtered(value), ARN)
    assert (first.level, first.message) == (Level.OK, "sends an event for every upload")
    others = checks.notification("inbox", f"not-{prefix}", filtered(value), ARN)
    assert next(others).level is Level.FAULT


@pytest.mark.parametrize(
    ("value", "encoded"), [("dt=2026/", "dt%3D2026/"), ("in box/", "in+box/"), ("ü", "%C3%BC")]
)
def test_a_filter_that_s3_compares_with_no_key_is_a_fault_that_tells_the_encoded_one(
    value: str, encoded: str
) -> None:
    (fault,) = checks.notification("inbox", value, filtered(value), ARN)
    assert (fault.level, fault.remedy) == (Level.FAULT, f"make its filter {encoded}")
    assert repr(value) in fault.message


async def engine_findings(languages: str = "auto") -> dict[str, Finding]:
    options = Settings(queue_url=URL, engine="rapidocr", languages=languages)
    findings = [finding async for finding in examine(options, None, "", [check_engine])]
    return {finding.check: finding for finding in findings}


async def test_the_languages_that_are_read_are_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    shipped = (await engine_findings())["languages"]
    assert (shipped.level, shipped.subject) == (Level.OK, "the network of rapidocr for text")
    latin = "and most languages in Latin letters, but not Vietnamese and Pali"
    assert f"reads Chinese, Japanese and English (zh ja en), {latin};" in shipped.message

    monkeypatch.setenv("PADDLE_PDX_CACHE_HOME", str(tmp_path))
    name = "eslav_PP-OCRv5_rec_mobile"
    missing = await engine_findings("ru,en")
    assert missing.keys() == {"engine", "models"}
    assert missing["models"].level is Level.FAULT
    assert missing["models"].message == f"{name} is missing: no such folder"
    assert missing["models"].remedy == "run `bucket-ocr models pull`"

    folder = tmp_path / "rapidocr" / name
    folder.mkdir(parents=True)
    (folder / "inference.onnx").write_bytes(b"x")
    present = await engine_findings("ru,en")
    assert {finding.level for finding in present.values()} == {Level.OK}
    assert present["languages"].subject == name
    assert "reads Russian, Belarusian and Ukrainian (ru be uk en)" in present["languages"].message


async def test_a_check_is_added_by_one_entry_in_the_list() -> None:
    async def toy(context: Context) -> list[Finding]:
        return [Finding("toy", Level.WARNING, context.prefix, "is a toy")]

    options = Settings(queue_url=URL)
    findings = [finding async for finding in examine(options, None, "scans/", [check_region, toy])]
    assert [finding.check for finding in findings] == ["region", "toy"]
    assert findings[1].subject == "scans/"
