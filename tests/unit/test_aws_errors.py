"""Errors of requests are counted by service, operation and code, each try."""

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest
from aiohttp import web
from botocore.exceptions import NoCredentialsError, PartialCredentialsError

from consumer import cli
from consumer.aws import client as aws
from consumer.domain.errors import CredentialsError, ForbiddenError, ServiceError
from consumer.metrics import Metrics
from tests.e2e.stack import free_port

DENIED = "<Error><Code>AccessDenied</Code><Message>No.</Message></Error>"


@pytest.fixture
def answers() -> list[web.Response]:
    """What the server answers, one after the other."""
    return []


@pytest.fixture
async def url(answers: list[web.Response]) -> AsyncIterator[str]:
    """Address of a service that gives these answers."""

    async def answer(_: web.Request) -> web.Response:
        return answers.pop(0)

    app, port = web.Application(), free_port()
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    yield f"http://127.0.0.1:{port}"
    await runner.cleanup()


@pytest.fixture(autouse=True)
def _account(url: str) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            patch.setenv(name, "test")
        patch.setenv("AWS_REGION", "eu-central-1")
        patch.setenv("AWS_ENDPOINT_URL", url)
        yield


def counted(metrics: Metrics) -> dict[tuple[str, str, str], float]:
    """Series that are not 0."""
    families = [each for each in metrics.registry.collect() if each.name == "bucket_ocr_aws_errors"]
    samples = [sample for family in families for sample in family.samples if sample.value]
    return {(s.labels["service"], s.labels["operation"], s.labels["code"]): s.value for s in samples}


async def test_a_try_that_is_refused_counts_also_if_the_next_succeeds(answers: list[web.Response]) -> None:
    metrics = Metrics()
    answers += [web.Response(status=503, text="<Error><Code>SlowDown</Code></Error>"), web.Response(text="x")]
    async with aws.client("s3", connections=1, read_timeout_s=60, metrics=metrics) as client:
        async with asyncio.timeout(300):
            await client.get_object(Bucket="b", Key="k")
        answers.append(web.Response(status=403, text=DENIED))
        with pytest.raises(ServiceError):
            async with aws.service_call("PUT it"):
                await client.put_object(Bucket="b", Key="k")
    assert counted(metrics) == {("s3", "GetObject", "SlowDown"): 1, ("s3", "PutObject", "AccessDenied"): 1}


async def test_an_object_that_is_not_there_is_an_answer_and_no_error(answers: list[web.Response]) -> None:
    metrics = Metrics()
    answers.append(web.Response(status=404))
    async with aws.client("s3", connections=1, read_timeout_s=60, metrics=metrics) as client:
        with pytest.raises(ServiceError):
            async with aws.service_call("HEAD it"):
                await client.head_object(Bucket="b", Key="k")
    assert counted(metrics) == {}


async def test_a_service_that_does_not_answer_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{free_port()}")
    metrics = Metrics()
    async with aws.client("sqs", connections=1, read_timeout_s=60, metrics=metrics) as client:
        with pytest.raises(ServiceError):
            async with aws.service_call("receive"):
                await client.receive_message(QueueUrl="http://q/1/q")
    assert counted(metrics).keys() == {("sqs", "ReceiveMessage", "no_answer")}


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (403, "AccessDenied", ForbiddenError),
        (400, "KMS.DisabledException", ForbiddenError),
        (400, "ExpiredToken", ForbiddenError),
        (404, "NoSuchBucket", ServiceError),
    ],
)
async def test_what_rights_and_keys_forbid_is_told_from_what_is_missing(
    answers: list[web.Response], status: int, code: str, kind: type[ServiceError]
) -> None:
    text = f"<Error><Code>{code}</Code><Message>No.</Message></Error>"
    answers.append(web.Response(status=status, text=text))
    async with aws.client("s3", connections=1, read_timeout_s=60) as client:
        with pytest.raises(ServiceError, match=code) as raised:
            async with asyncio.timeout(300), aws.service_call("PUT it"):
                await client.put_object(Bucket="b", Key="k")
    assert type(raised.value) is kind


@pytest.mark.parametrize(
    "error", [NoCredentialsError(), PartialCredentialsError(provider="env", cred_var="AWS_SECRET_ACCESS_KEY")]
)
def test_missing_credentials_are_told_from_an_outage_with_their_own_remedy(error: Exception) -> None:
    with pytest.raises(CredentialsError) as raised, aws.translate_errors("HEAD it"):
        raise error
    assert "AWS_PROFILE" in cli._remedy(raised.value)
