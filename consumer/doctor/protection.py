"""Judgements of a bucket's encryption and policy: what may keep a consumer from reading and writing there."""

import json
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Any, Final

from consumer.doctor.checks import Finding, Level, listed
from consumer.settings import Settings

#: Without a key of KMS nothing more is needed.
_KEYLESS: Final = {"AES256", None}

_HEADER: Final = "s3:x-amz-server-side-encryption"

_ACTIONS: Final = ("s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:ListBucket")

_WRITE: Final = "run `bucket-ocr doctor --write` with the consumer's role to prove that it can"


def encryption(bucket: str, configuration: Mapping[str, Any], options: Settings) -> Finding:
    """Judge the result of GetBucketEncryption, and what the settings ask for."""
    subject = f"s3://{bucket}"
    rules = configuration.get("ServerSideEncryptionConfiguration", {}).get("Rules", [])
    defaults = [rule.get("ApplyServerSideEncryptionByDefault", {}) for rule in rules]
    if options.sse is not None:
        key = {"KMSMasterKeyID": options.sse_kms_key_id} if options.sse_kms_key_id else {}
        # Sources may have been encrypted by the default.
        defaults = [{"SSEAlgorithm": options.sse, **key}, *defaults]
    for default in defaults:
        if (algorithm := default.get("SSEAlgorithm")) not in _KEYLESS:
            key = default.get("KMSMasterKeyID", "alias/aws/s3")
            message = (
                f"is encrypted by {algorithm} with {key}: kms:Decrypt and kms:GenerateDataKey are needed"
            )
            return Finding("encryption", Level.OK, subject, f"{message}; {_WRITE}")
    return Finding("encryption", Level.OK, subject, "needs no rights to a key")


def policy(bucket: str, document: str, sse: str | None) -> Iterator[Finding]:
    """Judge the statements of a bucket's policy that deny what a consumer does.

    `sse`: the encryption that its puts ask for. Whom a statement is about cannot be told here, so each is a
    warning, if it is not about plain HTTP.
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
            has = f"have {sse}" if sse else "lack it"
            message = f"its policy denies puts by their encryption header (statement {name}); results {has}"
            remedy = (
                f"see that it takes BUCKET_OCR_SSE and BUCKET_OCR_SSE_KMS_KEY_ID: {_WRITE}"
                if sse
                else "set BUCKET_OCR_SSE, and BUCKET_OCR_SSE_KMS_KEY_ID, to what it asks for"
            )
        else:
            message = f"its policy denies {', '.join(denied)} (statement {name})"
            remedy = f"see that it is not about the consumer's role: {_WRITE}"
        yield Finding("bucket policy", Level.WARNING, subject, message, remedy)


def _denied(statement: Mapping[str, Any]) -> list[str]:
    patterns = [pattern.lower() for pattern in listed(statement.get("Action"))]
    return [name for name in _ACTIONS if any(fnmatchcase(name.lower(), pattern) for pattern in patterns)]
