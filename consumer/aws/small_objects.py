"""Objects of S3 that are known to be small: read whole, and deleted many at once."""

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from botocore.exceptions import ClientError

from consumer.aws.client import error_code, service_call
from consumer.domain.errors import ServiceError

if TYPE_CHECKING:
    from types_aiobotocore_s3 import S3Client
    from types_aiobotocore_s3.type_defs import ObjectIdentifierTypeDef

#: S3 deletes so many objects in a request.
_DELETED_AT_ONCE: Final = 1000

#: Control characters, and two that are none at all; a carriage return would be read as a line feed.
_NOT_IN_XML: Final = re.compile("[\x00-\x1f\ufffe\uffff]")


async def read_object(client: "S3Client", bucket: str, key: str) -> bytes | None:
    """Return a whole object; None if there is none."""
    async with service_call(f"GET s3://{bucket}/{key}"):
        try:
            response = await client.get_object(Bucket=bucket, Key=key)
        except ClientError as error:
            if error_code(error) == "NoSuchKey":
                return None
            raise
        async with response["Body"] as body:
            return await body.read()


async def delete_objects(client: "S3Client", bucket: str, keys: Sequence[str]) -> None:
    """Delete objects; those that do not exist are no error."""
    # The request for many is XML, which has no such characters.
    for key in filter(_NOT_IN_XML.search, keys):
        async with service_call(f"DELETE s3://{bucket}/{key}"):
            await client.delete_object(Bucket=bucket, Key=key)
    keys = [key for key in keys if not _NOT_IN_XML.search(key)]
    for start in range(0, len(keys), _DELETED_AT_ONCE):
        objects: list[ObjectIdentifierTypeDef] = [
            {"Key": key} for key in keys[start : start + _DELETED_AT_ONCE]
        ]
        what = f"DELETE s3://{bucket}/{keys[start]} and others"
        async with service_call(what):
            answer = await client.delete_objects(Bucket=bucket, Delete={"Objects": objects, "Quiet": True})
        if errors := answer.get("Errors"):
            raise ServiceError(f"{what}: {errors[0].get('Code')} {errors[0].get('Message')}")
