"""The doctor's judgements of a bucket's encryption and policy."""

import json
from typing import Any

import pytest

from consumer.doctor import protection
from consumer.doctor.checks import Finding, Level
from consumer.settings import Settings

PLAIN = Settings(queue_url="q")
HEADER = {"StringNotEquals": {"s3:x-amz-server-side-encryption": "aws:kms"}}


def encryption(options: Settings = PLAIN, /, **default: str) -> Finding:
    rule = {"ApplyServerSideEncryptionByDefault": default, "BucketKeyEnabled": True}
    return protection.encryption("inbox", {"ServerSideEncryptionConfiguration": {"Rules": [rule]}}, options)


def test_a_key_of_kms_is_named_with_the_rights_that_it_takes() -> None:
    own = encryption(SSEAlgorithm="aws:kms", KMSMasterKeyID="arn:aws:kms:eu-central-1:1:key/2")
    assert own.level is Level.OK
    assert "arn:aws:kms:eu-central-1:1:key/2: kms:Decrypt and kms:GenerateDataKey" in own.message
    assert "alias/aws/s3" in encryption(SSEAlgorithm="aws:kms:dsse").message
    assert encryption(SSEAlgorithm="AES256").message == "needs no rights to a key"


def test_the_key_that_the_settings_ask_for_counts_before_that_of_the_bucket() -> None:
    own = Settings(queue_url="q", sse="aws:kms", sse_kms_key_id="alias/results")
    assert "is encrypted by aws:kms with alias/results: kms:Decrypt" in encryption(own).message
    assert "with alias/results" in encryption(own, SSEAlgorithm="aws:kms", KMSMasterKeyID="other").message
    # Of sources that are there.
    of_sources = encryption(Settings(queue_url="q", sse="AES256"), SSEAlgorithm="aws:kms", KMSMasterKeyID="k")
    assert "with k: kms:Decrypt" in of_sources.message


def findings(sse: str | None = None, /, **changes: Any) -> list[tuple[Level, str]]:
    statement = {"Effect": "Deny", "Principal": "*", "Action": "s3:PutObject", "Sid": "Sealed"} | changes
    found = protection.policy("inbox", json.dumps({"Statement": [statement]}), sse)
    return [(finding.level, finding.message) for finding in found]


def test_a_policy_that_denies_puts_without_a_header_is_a_warning() -> None:
    ((level, message),) = findings(Condition=HEADER)
    assert level is Level.WARNING
    assert message == "its policy denies puts by their encryption header (statement Sealed); results lack it"
    ((_, message),) = findings("aws:kms", Condition=HEADER)
    assert message.endswith("results have aws:kms")
    assert len(findings(Condition={"Null": {"S3:X-Amz-Server-Side-Encryption": "true"}})) == 1


@pytest.mark.parametrize(
    ("action", "denied"),
    [("s3:*", "s3:GetObject, s3:PutObject, s3:DeleteObject, s3:ListBucket"), (["S3:Put*"], "s3:PutObject")],
)
def test_a_policy_that_denies_what_a_consumer_does_is_a_warning_that_names_it(
    action: Any, denied: str
) -> None:
    ((level, message),) = findings(Action=action)
    assert (level, message) == (Level.WARNING, f"its policy denies {denied} (statement Sealed)")


@pytest.mark.parametrize(
    "changes",
    [
        {"Effect": "Allow"},
        {"Action": "s3:PutBucketPolicy"},
        {"Action": "s3:*", "Condition": {"Bool": {"aws:SecureTransport": "false"}}},
    ],
)
def test_other_statements_are_no_matter(changes: dict[str, Any]) -> None:
    assert findings(**changes) == []
