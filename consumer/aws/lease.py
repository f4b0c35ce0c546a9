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

from consumer.domain.lease import LeaseSchedule, Lost, Overdue
from consumer.metrics import Metrics
from consumer.ports import Message

if TYPE_CHECKING:
    from types_boto3_sqs import SQSClient

#: What SQS says of a message that is not ours any more. Its words are in two dialects.
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

    def __init__(
        self, client: "SQSClient", queue_url: str, lease_s: int, stall_s: float, metrics: Metrics
    ) -> None:
        self._client = client
        self._queue_url = queue_url
        self._lease_s = lease_s
        self._stall_s = stall_s
        self._metrics = metrics

    @asynccontextmanager
    async def hold(self, message: Message) -> AsyncIterator["SqsLease"]:
        """Keep the message hidden from others until the context ends; see `ports.LeaseKeeper`."""
        lease = SqsLease(LeaseSchedule(message.received_at, time.monotonic(), self._lease_s, self._stall_s))
        threading.Thread(
            target=self._keep, args=(message, lease), name=f"lease {message.message_id}", daemon=True
        ).start()
        lease.watch()
        try:
            yield lease
        finally:
            lease.release()
        # A beat under way must end before anybody else touches the visibility: it would overwrite it.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(lease.term.ends_at - time.monotonic()):
                await lease.ended.wait()
        if not lease.ended.is_set() or lease.term.is_over(time.monotonic()):
            # The beat hangs, or we were suspended for a while and did not see it end.
            lease.lost.set()
        if lease.lost.is_set():
            self._metrics.lease_lost()

    def _keep(self, message: Message, lease: "SqsLease") -> None:
        end = None
        while end is None and not lease.released.wait(max(0.0, lease.term.beat_at - time.monotonic())):
            end = self._beat(message, lease.term)
        match end:
            case Lost(reason=reason):
                log.warning("lease.lost", message_id=message.message_id, reason=reason)
                lease.tell(lease.lost)
            case Overdue(reason=reason):
                lease.reason = reason
                lease.tell(lease.overdue)
        lease.tell(lease.ended)

    def _beat(self, message: Message, term: LeaseSchedule) -> Lost | Overdue | None:
        """Do what is due; returns why that was the last beat, if it was."""
        asked_at = time.monotonic()
        due = term.beat(asked_at)
        if isinstance(due, Lost | Overdue):
            return due
        try:
            self._client.change_message_visibility(
                QueueUrl=self._queue_url, ReceiptHandle=message.receipt, VisibilityTimeout=due.hold_s
            )
        except ClientError as error:
            code = error.response.get("Error", {}).get("Code", "")
            if code in _LOST:
                return Lost(code)
            self._failed(message, error)
        except Exception as error:  # noqa: BLE001 - whatever it is, the thread must live to see the end
            self._failed(message, error)
        else:
            self._metrics.renewed((term.ends_at - asked_at) / self._lease_s)
            term.renewed(asked_at, due.hold_s)
        return None

    def _failed(self, message: Message, error: Exception) -> None:
        self._metrics.renewal_failed()
        log.warning("lease.renewal_failed", message_id=message.message_id, error=str(error))


class SqsLease:
    """One held message; made in the loop that it tells of what happens."""

    def __init__(self, term: LeaseSchedule) -> None:
        self._loop = asyncio.get_running_loop()
        self.term = term
        self.released = threading.Event()
        self._watcher: asyncio.TimerHandle | None = None
        self.lost = asyncio.Event()
        self.overdue = asyncio.Event()
        self.reason = ""
        self.ended = asyncio.Event()

    def progress(self) -> None:
        """Say that the work has come a step further."""
        self.term.progress(time.monotonic())

    def watch(self) -> None:
        """Notice the end of the term also while a beat hangs."""
        if (left_s := self.term.ends_at - time.monotonic()) > 0:
            self._watcher = self._loop.call_later(left_s, self.watch)
        else:
            self.lost.set()

    def release(self) -> None:
        """Have no other beat begun."""
        self.released.set()
        if self._watcher is not None:
            self._watcher.cancel()

    def tell(self, event: asyncio.Event) -> None:
        """Set an event of the loop; called in the lease's thread."""
        # A loop that has been closed meanwhile has nobody left to tell.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(event.set)
