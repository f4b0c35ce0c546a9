"""Uploads of sources, as clients make them: large ones in several parts, some of them at the same time."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from consumer.aws.client import service_call
from consumer.aws.upload import Stream, crc32, put_object
from consumer.domain.body import Body, SlicedBody
from consumer.domain.errors import ServiceError
from consumer.ports import NewObject

if TYPE_CHECKING:
    from types_aiobotocore_s3 import S3Client

#: S3 takes so many parts.
_MOST_PARTS: Final = 10_000

#: A request ends after so long without a chunk that the connection took.
_CHUNK_DEADLINE_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class ClientUploads:
    """Uploads to S3. `slots`: for requests at the same time, of all uploads; each reads chunk by chunk.

    `report` is told of parts that stay after an upload that has failed. `part_bytes`: what is larger is sent
    in parts of so many bytes, or larger ones if it has too many.
    """

    client: "S3Client"
    report: Callable[[str], None]
    slots: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(8))
    part_bytes: int = 32 * 1024 * 1024

    async def upload(self, new: NewObject, check: Callable[[], None], sent: Callable[[int], None]) -> str:
        """Upload an object; returns its ETag. Raises ServiceError, and what `check` and the body raise.

        `check` is called before a large object is there, after a small one; if it raises, nothing of the
        large one stays. `sent` is called with the bytes of every request that is done.
        """
        if new.body.size_bytes > self.part_bytes:
            return await self._upload_parts(new, check, sent)
        async with self.slots, service_call(f"PUT s3://{new.bucket}/{new.key}", _CHUNK_DEADLINE_S) as mark:
            etag = await put_object(self.client, new, mark, {})
        check()
        sent(new.body.size_bytes)
        return etag

    async def _upload_parts(
        self, new: NewObject, check: Callable[[], None], sent: Callable[[int], None]
    ) -> str:
        uri = f"s3://{new.bucket}/{new.key}"
        place = {"Bucket": new.bucket, "Key": new.key}
        async with service_call(f"CreateMultipartUpload {uri}"):
            begun = await self.client.create_multipart_upload(
                Bucket=new.bucket, Key=new.key, ContentType=new.content_type, ChecksumAlgorithm="CRC32"
            )
        upload: Any = {**place, "UploadId": begun["UploadId"]}
        total_bytes = new.body.size_bytes
        part_bytes = max(self.part_bytes, -(-total_bytes // _MOST_PARTS))
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [
                    group.create_task(
                        self._part(upload, number, SlicedBody(new.body, start, size_bytes), sent)
                    )
                    for number, start in enumerate(range(0, total_bytes, part_bytes), 1)
                    if (size_bytes := min(part_bytes, total_bytes - start))
                ]
            check()
            # S3 may take minutes to join the parts.
            async with service_call(f"CompleteMultipartUpload {uri}", 600):
                parts: Any = {"Parts": [task.result() for task in tasks]}
                done = await self.client.complete_multipart_upload(**upload, MultipartUpload=parts)
        except BaseException as error:  # noqa: BLE001 - it is raised again
            # Else its parts are paid for until somebody looks for them.
            try:
                async with service_call(f"AbortMultipartUpload {uri}"):
                    await self.client.abort_multipart_upload(**upload)
            except ServiceError as problem:
                self.report(f"{problem}: parts stay, and are paid for until they are removed")
            raise (error.exceptions[0] if isinstance(error, ExceptionGroup) else error) from None
        return done["ETag"].strip('"')

    async def _part(
        self, upload: Any, number: int, body: Body, sent: Callable[[int], None]
    ) -> dict[str, object]:
        what = f"PUT s3://{upload['Bucket']}/{upload['Key']} part {number}"
        async with self.slots, service_call(what, _CHUNK_DEADLINE_S) as mark:
            checksum = await asyncio.to_thread(crc32, body)
            stream: Any = Stream(body, mark)
            response = await self.client.upload_part(
                **upload, PartNumber=number, Body=stream, ChecksumCRC32=checksum
            )
        sent(body.size_bytes)
        return {"PartNumber": number, "ETag": response["ETag"], "ChecksumCRC32": checksum}
