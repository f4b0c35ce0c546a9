"""The configuration and the translation of errors that all AWS clients share.

Credentials, region and endpoint are botocore's own business (`AWS_REGION`, `AWS_PROFILE`,
`AWS_ENDPOINT_URL`, …).
"""

import asyncio
import contextlib
import functools
import os
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from http import HTTPStatus
from typing import Any, Final, Literal

import aiohttp
from aiobotocore.config import AioConfig
from aiobotocore.session import get_session
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    NoCredentialsError,
    NoRegionError,
    PartialCredentialsError,
)
from botocore.parsers import ResponseParserError

from consumer.domain.errors import (
    CredentialsError,
    ForbiddenError,
    ServiceError,
    SettingsError,
    UnavailableError,
)
from consumer.metrics import NO_ANSWER, Metrics

_COMMON: Final[dict[str, Any]] = {
    # Standard retries have back-off with jitter, and a budget so that an outage is not answered by a storm.
    "retries": {"mode": "standard", "total_max_attempts": 4},
    # Over HTTP botocore would read a whole body for its signature, on the event loop. A checksum is signed.
    "s3": {"payload_signing_enabled": False},
}


#: Codes that say how things are, and no error: an object that is not there, or is another by now.
_ANSWERS: Final = {
    "HeadObject": {"404"},
    "GetObject": {"NoSuchKey", "NoSuchVersion", "PreconditionFailed", "412"},
    "PutObject": {"PreconditionFailed", "412", "NoSuchKey", "404"},
}

#: Of rights, credentials and keys: S3 answers 400 if a key of KMS is disabled, or a token has expired.
_FORBIDDEN: Final = {HTTPStatus.BAD_REQUEST, HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}


def region() -> str | None:
    """Return `AWS_REGION`, which botocore, unlike other SDKs, does not read; None: its own rules."""
    return os.environ.get("AWS_REGION")


def configured_region() -> str | None:
    """Return the region that requests go to, however it is configured; None if it is not."""
    return region() or _session().get_config_variable("region")


def error_code(error: ClientError) -> str:
    """The service's own code, such as `NoSuchKey`; of a HEAD, which has no body, the HTTP status."""
    return str(error.response.get("Error", {}).get("Code", ""))


def described(error: ClientError) -> str:
    """A service's refusal: its code, its words, and the id by which AWS finds the request in its own logs."""
    words = [error_code(error), error.response.get("Error", {}).get("Message", "")]
    if request_id := error.response.get("ResponseMetadata", {}).get("RequestId"):
        words.append(f"(request {request_id})")
    return " ".join(filter(None, words))


#: Errors of a client, beside a service's own refusal, in a request or while a response is read.
UNREACHABLE: Final = (
    BotoCoreError,
    ResponseParserError,
    aiohttp.ClientError,
    # Connections, time-outs, and the files that credentials are read from.
    OSError,
)


@contextmanager
def translate_errors(what: str) -> Iterator[None]:
    """Turn a client's errors into a ServiceError; `what` names the operation and the object.

    An outage becomes an UnavailableError, a refusal a ForbiddenError, missing credentials a CredentialsError,
    a missing region a SettingsError.
    """
    try:
        yield
    except ClientError as error:
        raise _kind(error)(f"{what}: {described(error)}") from error
    except NoRegionError as error:
        raise SettingsError("AWS_REGION is not set") from error
    except (NoCredentialsError, PartialCredentialsError) as error:
        raise CredentialsError(f"{what}: {error}") from error
    except UNREACHABLE as error:
        raise UnavailableError(f"{what}: {str(error) or type(error).__name__}") from error


@asynccontextmanager
async def service_call(what: str, deadline_s: float = 60.0) -> AsyncIterator[Callable[[], None]]:
    """Do as `translate_errors`, and raise UnavailableError after `deadline_s`.

    The client's own time-outs begin anew with every byte that comes, and with every try. The context gives a
    function with which a transfer begins the deadline anew.
    """
    loop = asyncio.get_running_loop()
    with translate_errors(what):
        async with asyncio.timeout(deadline_s) as timeout:

            def postpone() -> None:
                # A request that has failed may still be taking a chunk.
                with contextlib.suppress(RuntimeError):
                    timeout.reschedule(loop.time() + deadline_s)

            yield postpone


def _kind(error: ClientError) -> type[ServiceError]:
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR or "Throttl" in error_code(error):
        return UnavailableError
    return ForbiddenError if status in _FORBIDDEN else ServiceError


#: One for the life of the process: each one loads the services' models, and fetches credentials, anew.
_session = functools.cache(get_session)


@asynccontextmanager
async def client(
    service: Literal["s3", "sns", "sqs"],
    *,
    connections: int,
    read_timeout_s: float,
    region_name: str | None = None,
    metrics: Metrics | None = None,
) -> AsyncIterator[Any]:
    """Open a client for so many requests at the same time; raises SettingsError if it refuses that.

    `region_name`: None for the one that is configured. `metrics`: counts errors.
    """
    config = AioConfig(
        connect_timeout=5, read_timeout=read_timeout_s, max_pool_connections=connections, **_COMMON
    )
    async with AsyncExitStack() as stack:
        try:
            with translate_errors(service):
                made = _session().create_client(service, region_name=region_name or region(), config=config)
                opened = await stack.enter_async_context(made)
        except ValueError as error:
            raise SettingsError(f"{service}: {error}") from error
        if metrics is not None:
            count_errors(opened, metrics)
        yield opened


def count_errors(client: Any, metrics: Metrics) -> None:
    """Count the errors of a client's requests, each try: the SDK hides those after which it succeeds."""
    service = client.meta.service_model.service_name

    def count(event_name: str, parsed_response: Any, exception: Any, **_: Any) -> None:
        operation = event_name.rpartition(".")[2]
        code = NO_ANSWER if exception is not None else (parsed_response or {}).get("Error", {}).get("Code")
        if code and code not in _ANSWERS.get(operation, ()):
            metrics.count_aws_error(service, operation, str(code))

    client.meta.events.register(f"response-received.{service}", count)
