"""Leases on messages, renewed by threads with a synchronous client of their own.

A renewal on the event loop would stop with the loop, and one through the downloads' connections would wait
behind them. Every message has its own thread, so that one slow renewal delays no other; it starts when the
first renewal is due, and most messages are settled by then.
"""

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import KW_ONLY, dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Final

import structlog
from botocore.exceptions import ClientError

from consumer.aws.client import described, error_code
from consumer.aws.late_threads import LateThreads
from consumer.clock import Clock, Watchdog
from consumer.domain.lease import LeaseSchedule, Lost, Overdue
from consumer.metrics import Metrics
from consumer.ports import Message

if TYPE_CHECKING:
    from types_boto3_sqs import SQSClient

#: The codes of SQS for a message that is not ours any more, in its two dialects.
_LOST: Final = {
    "InvalidParameterValue",
    "ReceiptHandleIsInvalid",
    "MessageNotInflight",
    "AWS.SimpleQueueService.MessageNotInflight",
}

log = structlog.get_logger(__name__)


@dataclass(eq=False, slots=True)
class SqsLeases:
    """Keeps leases of `lease_s` seconds, renewed every third of it while the work makes progress.

    `stall_s`: the longest time without progress before the work is ended.
    """

    client: "SQSClient"
    queue_url: str
    lease_s: int
    stall_s: float
    _: KW_ONLY
    clock: Clock
    metrics: Metrics
    _threads: LateThreads = field(init=False)

    def __post_init__(self) -> None:
        self._threads = LateThreads(self.clock)

    @asynccontextmanager
    async def hold(self, message: Message, watchdog: Watchdog) -> AsyncIterator["SqsLease"]:
        """Keep the message hidden from others until the context ends; see `ports.LeaseKeeper`."""
        schedule = LeaseSchedule(message.received_at, self.lease_s, self.stall_s)
        lease = SqsLease(schedule, self.clock)
        keep = partial(self._keep, message, lease, watchdog)
        thread = self._threads.start_at(schedule.renewal_due_at, keep)
        lease.watch_end()
        try:
            yield lease
        finally:
            lease.release()
            if self._threads.cancel(thread):
                lease.ended.set()
        # A renewal in flight must end before anything else touches the visibility: it would overwrite it.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(schedule.ends_at - self.clock.monotonic()):
                await lease.ended.wait()
        if not lease.ended.is_set() or schedule.is_over(self.clock.monotonic()):
            # The renewal hangs, or the process was suspended for a while and did not see the end.
            lease.lost.set()
        if lease.lost.is_set():
            self.metrics.leases_lost.inc()

    def _keep(self, message: Message, lease: "SqsLease", watchdog: Watchdog) -> None:
        """Renew the lease until it is released, lost or overdue; runs in a thread."""
        end = None
        schedule = lease.schedule
        while end is None and not lease.released.wait(
            max(0.0, schedule.renewal_due_at - self.clock.monotonic())
        ):
            end = self._renew(message, schedule, watchdog)
        match end:
            case Lost(reason=reason):
                log.warning("lease.lost", message_id=message.message_id, reason=reason)
                lease.set_event(lease.lost)
            case Overdue(reason=reason):
                lease.reason = reason
                lease.set_event(lease.overdue)
        lease.set_event(lease.ended)

    def _renew(self, message: Message, schedule: LeaseSchedule, watchdog: Watchdog) -> Lost | Overdue | None:
        """Do what is due; returns why that was the last renewal, None if it was not."""
        asked_at = self.clock.monotonic()
        due = schedule.decide(asked_at, watchdog.seconds_since_progress)
        if isinstance(due, Lost | Overdue):
            return due
        try:
            self.client.change_message_visibility(
                QueueUrl=self.queue_url, ReceiptHandle=message.receipt, VisibilityTimeout=due.hold_s
            )
        except Exception as error:  # noqa: BLE001 - whatever it is, the thread must live to see the end
            if isinstance(error, ClientError) and (code := error_code(error)) in _LOST:
                return Lost(code)
            self.metrics.count_renewal(None)
            text = described(error) if isinstance(error, ClientError) else str(error)
            log.warning("lease.renewal_failed", message_id=message.message_id, error=text)
        else:
            self.metrics.count_renewal((schedule.ends_at - asked_at) / self.lease_s)
            schedule.renewed(asked_at, due.hold_s)
        return None


@dataclass(eq=False)
class SqsLease:
    """One held message; made in the loop whose events it sets."""

    schedule: LeaseSchedule
    clock: Clock
    reason: str = ""
    released: threading.Event = field(default_factory=threading.Event)
    lost: asyncio.Event = field(default_factory=asyncio.Event)
    overdue: asyncio.Event = field(default_factory=asyncio.Event)
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    _watcher: asyncio.TimerHandle | None = None
    _loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.get_running_loop)

    def watch_end(self) -> None:
        """Notice the end of the lease also while a renewal hangs."""
        if (left_s := self.schedule.ends_at - self.clock.monotonic()) > 0:
            self._watcher = self._loop.call_later(left_s, self.watch_end)
        else:
            self.lost.set()

    def release(self) -> None:
        """Begin no other renewal."""
        self.released.set()
        if self._watcher is not None:
            self._watcher.cancel()

    def set_event(self, event: asyncio.Event) -> None:
        """Set an event of the loop; called in the lease's thread."""
        # In a loop that has been closed meanwhile nothing waits any more.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(event.set)
