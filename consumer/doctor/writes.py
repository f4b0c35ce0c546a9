"""Proofs that the consumer may write: each leaves nothing behind. For `doctor --write` only."""

import json
import secrets
from collections.abc import AsyncIterator, Mapping
from typing import Any, Final

from consumer.doctor.checks import Finding, Level
from consumer.doctor.inspect import AwsInspector, code
from consumer.domain.errors import ServiceError, SettingsError, UnavailableError
from consumer.domain.keys import result_key
from consumer.domain.parts import folder

_REMEDY: Final = (
    "allow {} to this role, in its policies, in that of the bucket, and for the key that encrypts it"
)

#: Answers to a put on the condition that an object is there which is not: it would have been written.
_MISSED: Final = {"404", "NoSuchKey", "412", "PreconditionFailed"}


async def bucket(
    inspector: AwsInspector, name: str, prefix: str, encryption: Mapping[str, str]
) -> AsyncIterator[Finding]:
    """Write and remove an own output under `prefix`, and prove that a result could be written beside it.

    `encryption`: arguments of puts. A consumer may not remove results, so the result is put on a condition
    that does not hold.
    """
    source = f"{prefix}bucket-ocr-doctor-{secrets.token_hex(4)}.pdf"
    part = {"Bucket": name, "Key": f"{folder(source)}proof"}
    tagging = "bucket-ocr=part"
    yield (
        refused := await _proof(
            inspector,
            f"s3://{name}/{part['Key']}",
            "s3:PutObject",
            "put_object",
            Body=b"",
            Tagging=tagging,
            **part,
            **encryption,
        )
    )
    if refused.level is Level.OK:
        yield await _proof(
            inspector, f"s3://{name}/{part['Key']}", "s3:DeleteObject", "delete_object", **part
        )
    result = {"Bucket": name, "Key": result_key(source), "IfMatch": '"never"', **encryption}
    yield await _proof(
        inspector, f"s3://{name}/{result['Key']}", "s3:PutObject", "put_object", Body=b"", **result
    )


async def queue(inspector: AwsInspector, url: str) -> Finding:
    """Send a test event, as S3 sends one when a notification is set; a consumer deletes it."""
    body = json.dumps({"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "bucket-ocr doctor"})
    return await _proof(inspector, url, "sqs:SendMessage", "send_message", QueueUrl=url, MessageBody=body)


async def _proof(
    inspector: AwsInspector, subject: str, permission: str, operation: str, **parameters: Any
) -> Finding:
    try:
        await inspector.ask(subject, permission, operation, **parameters)
    except (ServiceError, SettingsError) as error:
        is_refused = isinstance(error, ServiceError) and not isinstance(error, UnavailableError)
        if not (is_refused and _is_missed(error, parameters)):
            remedy = (
                _REMEDY.format(permission)
                if is_refused
                else "see AWS_REGION, AWS_ENDPOINT_URL and the network"
            )
            return Finding("write", Level.FAULT, subject, f"{permission} fails: {error}", remedy)
    return Finding("write", Level.OK, subject, f"{permission} is allowed")


def _is_missed(error: Exception, parameters: Mapping[str, Any]) -> bool:
    return isinstance(error, ServiceError) and "IfMatch" in parameters and code(error) in _MISSED
