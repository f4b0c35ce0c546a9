"""Calls of services end: after their deadline, or a deadline after the last progress."""

import asyncio

import pytest
from botocore.exceptions import ClientError

from consumer.aws.client import service_call
from consumer.domain.errors import ServiceError, UnavailableError


async def test_a_call_that_takes_too_long_is_an_outage() -> None:
    with pytest.raises(UnavailableError, match="PUT it"):
        async with service_call("PUT it", 60):
            await asyncio.sleep(61)


async def test_a_transfer_takes_as_long_as_it_makes_progress() -> None:
    async def transfer() -> None:
        async with service_call("PUT it", 60) as postpone:
            for _ in range(10):
                await asyncio.sleep(59)
                postpone()
            await asyncio.Event().wait()

    started_at = asyncio.get_running_loop().time()
    with pytest.raises(UnavailableError):
        await transfer()
    assert asyncio.get_running_loop().time() - started_at == 650


async def test_progress_after_the_end_is_of_no_matter() -> None:
    async with service_call("PUT it", 60) as postpone:
        pass
    postpone()


async def test_a_refusal_has_the_id_by_which_aws_finds_the_request() -> None:
    answer = {
        "Error": {"Code": "AccessDenied", "Message": "No."},
        "ResponseMetadata": {"RequestId": "4442587FB7D0A2F9"},
    }
    with pytest.raises(ServiceError, match=r"^PUT it: AccessDenied No\. \(request 4442587FB7D0A2F9\)$"):
        async with service_call("PUT it"):
            raise ClientError(answer, "PutObject")  # type: ignore[arg-type] # its stubs want all fields
