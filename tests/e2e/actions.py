"""The actions of IAM that recorded calls need."""

from collections.abc import Iterator

from tests.e2e.proxy import Call


def arn(call: Call) -> str:
    """Name the resource of a call."""
    if call.operation == "DeleteObjects":
        return f"arn:aws:s3:::{call.place}/{call.parameters['Keys'][0]}"
    if call.service == "s3":
        return f"arn:aws:s3:::{call.place}" + (f"/{call.key}" if call.key else "")
    return f"arn:aws:{call.service}:us-east-1:000000000000:{call.place}"


def needed(call: Call) -> Iterator[str]:
    """Actions that a call needs.

    https://docs.aws.amazon.com/AmazonS3/latest/userguide/using-with-s3-policy-actions.html
    """
    match call.operation:
        case "HeadObject" | "GetObject":
            yield "s3:GetObjectVersion" if "versionId" in call.parameters else "s3:GetObject"
        case "PutObject":
            yield "s3:PutObject"
            if "If-Match" in call.headers:
                yield "s3:GetObject"
            if "x-amz-tagging" in call.headers:
                yield "s3:PutObjectTagging"
        case "DeleteObjects":
            yield "s3:DeleteObject"
        case "HeadBucket" | "ListObjectsV2":
            yield "s3:ListBucket"
        case "SendMessageBatch" | "DeleteMessageBatch" | "ChangeMessageVisibilityBatch":
            yield f"sqs:{call.operation.removesuffix('Batch')}"
        case operation:
            yield f"{call.service}:{operation}"
