"""Judgements of a bucket's encryption and policy: what may keep a consumer from reading and writing there."""

import json
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Any, Final

from consumer.doctor.checks import Finding, Level, listed

#: Without a key of KMS nothing more is needed.
_KEYLESS: Final = {"AES256", None}

_HEADER: Final = "s3:x-amz-server-side-encryption"

_ACTIONS: Final = ("s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:ListBucket")

_WRITE: Final = "run `bucket-ocr doctor --write` with the consumer's role to prove that it can"


def encryption(bucket: str, configuration: Mapping[str, Any]) -> Finding:
    """Judge the result of GetBucketEncryption."""
    subject = f"s3://{bucket}"
    rules = configuration.get("ServerSideEncryptionConfiguration", {}).get("Rules", [])
    defaults = [rule.get("ApplyServerSideEncryptionByDefault", {}) for rule in rules]
    for default in defaults:
        if (algorithm := default.get("SSEAlgorithm")) not in _KEYLESS:
            key = default.get("KMSMasterKeyID", "alias/aws/s3")
            message = (
                f"is encrypted by {algorithm} with {key}: kms:Decrypt and kms:GenerateDataKey are needed"
            )
            return Finding("encryption", Level.OK, subject, f"{message}; {_WRITE}")
    return Finding("encryption", Level.OK, subject, "needs no rights to a key")


def policy(bucket: str, document: str) -> Iterator[Finding]:
    """Judge the statements of a bucket's policy that deny what a consumer does.

    Whom a statement is about cannot be told here, so each is a warning, if it is not about plain HTTP.
    """
    subject = f"s3://{bucket}"
    for statement in listed(json.loads(document).get("Statement")):
        if statement.get("Effect") != "Deny" or not (denied := _denied(statement)):
            continue
        conditions = {
            name: value for each in statement.get("Condition", {}).values() for name, value in each.items()
        }
        name = statement.get("Sid", "without a Sid")
        if set(map(str.lower, conditions)) == {"aws:securetransport"}:
            continue
        if any(key.lower().startswith(_HEADER) for key in conditions):
            message = (
                f"its policy denies puts by their encryption header (statement {name}), which results lack"
            )
            remedy = "except the consumer's role: S3 encrypts by the bucket's default without the header"
        else:
            message = f"its policy denies {', '.join(denied)} (statement {name})"
            remedy = f"see that it is not about the consumer's role: {_WRITE}"
        yield Finding("bucket policy", Level.WARNING, subject, message, remedy)


def _denied(statement: Mapping[str, Any]) -> list[str]:
    patterns = [pattern.lower() for pattern in listed(statement.get("Action"))]
    return [name for name in _ACTIONS if any(fnmatchcase(name.lower(), pattern) for pattern in patterns)]
