"""Clients of the local cloud for adapters that run in the test's own process."""

import contextlib
import uuid
from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING, Any

import pytest
from aiobotocore.session import AioSession, get_session
from local_cloud import LocalCloud

from consumer.aws.s3 import S3Store

if TYPE_CHECKING:
    from types_aiobotocore_sqs import SQSClient as AsyncSqsClient
    from types_boto3_s3 import S3Client
    from types_boto3_sqs import SQSClient


@pytest.fixture(scope="session")
def session() -> AioSession:
    """One for all, since it keeps the descriptions of the services, which take a while to load."""
    return get_session()


@pytest.fixture(scope="session")
def connection(cloud: LocalCloud) -> dict[str, Any]:
    environment = cloud.environment()
    return {
        "endpoint_url": cloud.endpoint_url,
        "region_name": environment["AWS_REGION"],
        "aws_access_key_id": environment["AWS_ACCESS_KEY_ID"],
        "aws_secret_access_key": environment["AWS_SECRET_ACCESS_KEY"],
    }


@pytest.fixture(scope="session")
def s3(cloud: LocalCloud) -> Iterator["S3Client"]:
    with contextlib.closing(cloud.client("s3")) as client:
        yield client


@pytest.fixture(scope="session")
def sqs(cloud: LocalCloud) -> Iterator["SQSClient"]:
    with contextlib.closing(cloud.client("sqs")) as client:
        yield client


@pytest.fixture
def bucket(s3: "S3Client") -> str:
    name = f"contract-{uuid.uuid4().hex}"
    s3.create_bucket(Bucket=name)
    return name


@pytest.fixture
def queue_url(sqs: "SQSClient") -> str:
    return sqs.create_queue(QueueName=f"contract-{uuid.uuid4().hex}")["QueueUrl"]


@pytest.fixture
async def store(session: AioSession, connection: dict[str, Any]) -> AsyncIterator[S3Store]:
    async with session.create_client("s3", **connection) as client:
        yield S3Store(client)


@pytest.fixture
async def async_sqs(session: AioSession, connection: dict[str, Any]) -> AsyncIterator["AsyncSqsClient"]:
    async with session.create_client("sqs", **connection) as client:
        yield client
