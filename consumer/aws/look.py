"""Describes objects: by a HEAD, or by a listing; and tells if their bytes cannot be had."""

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from botocore.exceptions import ClientError

from consumer.aws.client import described, error_code, service_call
from consumer.domain.errors import Code, DocumentError, ForbiddenError, UnavailableError
from consumer.domain.result import Source
from consumer.ports import ObjectInfo

if TYPE_CHECKING:
    from types_aiobotocore_s3 import S3Client
    from types_aiobotocore_s3.type_defs import HeadObjectOutputTypeDef

#: Codes of an object that does not exist.
MISSING: Final = {"404", "NoSuchKey", "NoSuchVersion", "NotFound"}

_ARCHIVES: Final = {"GLACIER", "DEEP_ARCHIVE"}

#: In the header `x-amz-restore`: the object was restored, and its copy has not expired.
_RESTORED: Final = 'ongoing-request="false"'


async def head(client: "S3Client", bucket: str, key: str) -> ObjectInfo | None:
    """Describe an object as it is now; None if there is none."""
    async with service_call(f"HEAD s3://{bucket}/{key}"):
        try:
            answer = await client.head_object(Bucket=bucket, Key=key)
        except ClientError as error:
            if error_code(error) in MISSING:
                return None
            if error_code(error) == "400":
                return await _without_key(client, bucket, key)
            if error_code(error) == "403":
                raise ForbiddenError(
                    f"HEAD s3://{bucket}/{key}: {described(error)}: allow s3:GetObject on it, and "
                    "s3:ListBucket on the bucket, or S3 says the same of an object that does not exist"
                ) from error
            raise
    version_id = answer.get("VersionId")
    source = Source(
        bucket=bucket,
        key=key,
        version_id=None if version_id in (None, "null") else version_id,
        etag=answer["ETag"].strip('"'),
        size_bytes=answer["ContentLength"],
        content_type=answer.get("ContentType"),
        last_modified=answer["LastModified"],
    )
    metadata = {name.lower(): value for name, value in answer["Metadata"].items()}
    return ObjectInfo(source, metadata, unreadable(answer))


def unreadable(head: "HeadObjectOutputTypeDef") -> DocumentError | None:
    """Tell from the answer to a HEAD why the object cannot be read; None if it can.

    An object of Intelligent-Tiering that is in an archive tier says so in a header of its own, which it loses
    when it is restored.
    """
    place = head.get("ArchiveStatus") or head.get("StorageClass", "")
    is_archived = "ArchiveStatus" in head or place in _ARCHIVES
    if not is_archived or _RESTORED in head.get("Restore", ""):
        return None
    remedy = "restore it (aws s3api restore-object); it is read when it has been"
    return DocumentError(Code.ARCHIVED, f"the object is archived ({place}): {remedy}")


async def _without_key(client: "S3Client", bucket: str, key: str) -> ObjectInfo | None:
    """Describe an object of which a HEAD was refused by 400: one with a key of the client's own (SSE-C).

    Returns None if it is gone; raises ServiceError if the refusal had another reason, which a HEAD does not
    tell.
    """
    async with service_call(f"GET s3://{bucket}/{key}"):
        try:
            response = await client.get_object(Bucket=bucket, Key=key, Range="bytes=0-0")
        except ClientError as error:
            if error_code(error) != "InvalidRequest":
                raise
        else:
            async with response["Body"]:
                raise UnavailableError(f"HEAD s3://{bucket}/{key}: 400, and it can be read")
    message = "the object is encrypted with a key of the client's own (SSE-C): upload it without one"
    found = await find(client, bucket, key)
    return found and replace(found, unreadable=DocumentError(Code.KEY_REQUIRED, message))


async def find(client: "S3Client", bucket: str, key: str) -> ObjectInfo | None:
    """Describe an object by a listing, which tells no version and no metadata; None if there is none."""
    async with service_call(f"LIST s3://{bucket}/{key}"):
        page = await client.list_objects_v2(Bucket=bucket, Prefix=key, MaxKeys=1)
    # Of all keys that begin so, this one comes first.
    for item in page.get("Contents", []):
        if item["Key"] == key:
            source = Source(
                bucket=bucket,
                key=key,
                version_id=None,
                etag=item["ETag"].strip('"'),
                size_bytes=item["Size"],
                content_type=None,
                last_modified=item["LastModified"],
            )
            return ObjectInfo(source, {})
    return None
