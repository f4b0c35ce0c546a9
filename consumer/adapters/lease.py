"""Leases on messages, kept by threads with a synchronous client of their own.

A beat on the event loop would stop with the loop, and one through the downloads' connections would
wait behind them. Every message has its own thread, so that one slow beat delays no other.
"""

import asyncio
import contextlib
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

import structlog
from botocore.exceptions import ClientError

from consumer.ports import Message

if TYPE_CHECKING:
    from types_boto3_sqs import SQSClient

#: SQS hides a message for at most 12 hours from its receipt, however often that is renewed; a renewal
#: that asks for more is refused whole.
MAX_HOLD_S: Final = 12 * 3600 - 60

_LOST: Final = {
    "InvalidParameterValue",
    "ReceiptHandleIsInvalid",
    "MessageNotInflight",
    "AWS.SimpleQueueService.MessageNotInflight",
}

log = structlog.get_logger(__name__)


class SqsLeases:
    """Keeps leases of `lease_s` seconds, renewed every third of it while the work makes progress.

    `stall_s`: the longest time without progress before the work is given up.
    """

    def __init__(self, client: "SQSClient", queue_url: str, lease_s: int, stall_s: float) -> None:
        self._client = client
        self._queue_url = queue_url
        self._lease_s = lease_s
        self._stall_s = stall_s

    @asynccontextmanager
    async def hold(self, message: Message) -> AsyncIterator["SqsLease"]:
        """Keep the message hidden from others until the context ends; see `ports.LeaseKeeper`."""
        lease = SqsLease(asyncio.get_running_loop(), message.received_at + self._lease_s)
        thread = threading.Thread(
            target=self._keep, args=(message, lease), name=f"lease {message.message_id}", daemon=True
        )
        thread.start()
        try:
            yield lease
        finally:
            lease.released.set()
            # A beat under way must end before anybody else touches the visibility: it would overwrite it.
            await asyncio.shield(asyncio.to_thread(thread.join))

    def _keep(self, message: Message, lease: "SqsLease") -> None:
        # A lease that cannot be renewed is lost when it ends, not at the beat after that.
        while not lease.released.wait(min(self._lease_s / 3, max(0.0, lease.deadline - time.monotonic()))):
            if time.monotonic() - lease.last_progress > self._stall_s:
                reason: str | None = f"no progress in {self._stall_s:.0f} s"
            else:
                reason = self._renew(message, lease)
            if reason is not None:
                log.warning("lease.lost", message_id=message.message_id, reason=reason)
                lease.lose()
                return

    def _renew(self, message: Message, lease: "SqsLease") -> str | None:
        """Ask for another lease; returns why it is lost, if it is."""
        asked_at = time.monotonic()
        remaining_s = int(MAX_HOLD_S - (asked_at - message.received_at))
        if remaining_s <= 0:
            return "a message can be held for 12 hours at most"
        hold_s = min(self._lease_s, remaining_s)
        try:
            self._client.change_message_visibility(
                QueueUrl=self._queue_url, ReceiptHandle=message.receipt, VisibilityTimeout=hold_s
            )
        except ClientError as error:
            code = error.response.get("Error", {}).get("Code", "")
            if code in _LOST:
                return code
            log.warning("lease.renewal_failed", message_id=message.message_id, error=str(error))
        except Exception as error:  # noqa: BLE001 - whatever it is, the thread must live to see the deadline
            log.warning("lease.renewal_failed", message_id=message.message_id, error=str(error))
        else:
            lease.deadline = asked_at + hold_s
        return None if time.monotonic() < lease.deadline else "it could not be renewed in time"


class SqsLease:
    """One held message. `deadline` and `last_progress` are monotonic seconds."""

    def __init__(self, loop: asyncio.AbstractEventLoop, deadline: float) -> None:
        self._loop = loop
        self.deadline = deadline
        self.last_progress = time.monotonic()
        self.released = threading.Event()
        self.lost = asyncio.Event()

    def progress(self) -> None:
        """Say that the work has come a step further."""
        self.last_progress = time.monotonic()

    def lose(self) -> None:
        """Give the message up; called in the lease's thread."""
        # A loop that has been closed meanwhile has nobody left to tell.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self.lost.set)
