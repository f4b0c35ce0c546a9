"""State of queue, bucket and topic, as AWS reports it."""

from contextlib import AsyncExitStack
from typing import Any, Final

from botocore.exceptions import ClientError

from consumer.aws import client as aws
from consumer.doctor.checks import Finding, Level
from consumer.domain.errors import BucketOcrError, ServiceError, SettingsError, UnavailableError

_MISSING: Final = {
    "404",
    "NoSuchBucket",
    "NotFound",
    "QueueDoesNotExist",
    "AWS.SimpleQueueService.NonExistentQueue",
    "ServerSideEncryptionConfigurationNotFoundError",
    "NoSuchBucketPolicy",
}


class AwsInspector:
    """Asks AWS with the caller's credentials.

    Clients open when first needed, and `stack` closes them.
    """

    def __init__(self, stack: AsyncExitStack) -> None:
        self._stack = stack
        self._clients: dict[str, Any] = {}
        #: Why a service cannot be asked: it is asked once, because that takes long.
        self._silent: dict[str, BucketOcrError] = {}

    async def look_up(
        self, missing: Finding, permission: str, operation: str, **parameters: Any
    ) -> dict[str, Any] | Finding:
        """Return the response to an operation, which needs `permission`, such as `sqs:GetQueueAttributes`.

        Returns `missing` if its subject does not exist, a warning if access is denied, a fault if the service
        cannot be asked.
        """
        try:
            return await self.ask(missing.subject, permission, operation, **parameters)
        except ServiceError as error:
            if isinstance(error, UnavailableError):
                return _unreachable(missing, error)
            if code(error) in _MISSING:
                return missing
            message = f"could not be checked: access denied ({error})"
            remedy = f"allow {permission} to the doctor's credentials"
            return Finding(missing.check, Level.WARNING, missing.subject, message, remedy)
        except SettingsError as error:
            return _unreachable(missing, error)

    async def ask(self, subject: str, permission: str, operation: str, **parameters: Any) -> dict[str, Any]:
        """Return the response to an operation.

        Raises ServiceError if it is refused, UnavailableError if the service does not answer, SettingsError
        if it cannot be asked.
        """
        service: Any = permission.partition(":")[0]
        if service in self._silent:
            raise self._silent[service]
        try:
            if service not in self._clients:
                client = aws.client(service, connections=2, read_timeout_s=10)
                self._clients[service] = await self._stack.enter_async_context(client)
            async with aws.service_call(f"{permission} {subject}"):
                response: dict[str, Any] = await getattr(self._clients[service], operation)(**parameters)
                return response
        except (UnavailableError, SettingsError) as error:
            self._silent[service] = error
            raise


def code(error: ServiceError) -> str:
    """The code by which a service refused; empty if it did not answer."""
    return aws.error_code(error.__cause__) if isinstance(error.__cause__, ClientError) else ""


def _unreachable(missing: Finding, error: BucketOcrError) -> Finding:
    remedy = "see AWS_REGION, AWS_ENDPOINT_URL, credentials, and the network; then run the doctor again"
    return Finding(missing.check, Level.FAULT, missing.subject, f"could not be asked: {error}", remedy)
