"""State of queue, bucket and topic, as AWS reports it. Nothing is received, written or changed."""

from contextlib import AsyncExitStack
from typing import Any, Final

from botocore.exceptions import ClientError

from consumer.aws import client as aws
from consumer.doctor.checks import Finding, Level
from consumer.domain.errors import ServiceError, UnavailableError

_MISSING: Final = {
    "404",
    "NoSuchBucket",
    "NotFound",
    "QueueDoesNotExist",
    "AWS.SimpleQueueService.NonExistentQueue",
}


class AwsInspector:
    """Looks things up with the caller's credentials.

    Clients open when first needed, and `stack` closes them.
    """

    def __init__(self, stack: AsyncExitStack) -> None:
        self._stack = stack
        self._clients: dict[str, Any] = {}

    async def look_up(
        self, missing: Finding, permission: str, operation: str, **parameters: Any
    ) -> dict[str, Any] | Finding:
        """Return the response to an operation, which needs `permission`, such as `sqs:GetQueueAttributes`.

        Returns `missing` if its subject does not exist, a warning if access is denied. Raises
        UnavailableError if the service does not answer, SettingsError if it cannot be asked.
        """
        service: Any = permission.partition(":")[0]
        if service not in self._clients:
            client = aws.client(service, connections=2, read_timeout_s=10)
            self._clients[service] = await self._stack.enter_async_context(client)
        try:
            async with aws.service_call(f"{permission} {missing.subject}"):
                response: dict[str, Any] = await getattr(self._clients[service], operation)(**parameters)
                return response
        except UnavailableError:
            raise
        except ServiceError as error:
            cause = error.__cause__
            if isinstance(cause, ClientError) and aws.error_code(cause) in _MISSING:
                return missing
            message = f"could not be checked: access denied ({error})"
            remedy = f"allow {permission} to the doctor's credentials"
            return Finding(missing.check, Level.WARNING, missing.subject, message, remedy)
