"""A message in flight: what it asks for, and what has become of it."""

from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Final

from consumer.clock import Clock, Watchdog
from consumer.domain import events
from consumer.domain.events import Job, Notification
from consumer.domain.settle import Outcome
from consumer.ports import Message
from consumer.service.jobs import OWN_OUTPUT, JobReport
from consumer.service.waiting_room import Aside

#: A message of several documents ends as the worst of them; what may still be done comes before what nobody
#: can do.
_SEVERITY: Final = (
    Outcome.DONE,
    Outcome.RENEWED,
    Outcome.PASSED_ON,
    Outcome.MALFORMED,
    Outcome.TRANSIENT,
    Outcome.HOST_FAILURE,
    Outcome.BUG,
)


@dataclass
class MessageContext:
    """A message in flight. `reports` come as jobs end, so they are there however the work ends.

    `aside`: see `waiting_room`. `has_slot`: whether it has its slot.
    """

    message: Message
    notification: Notification
    watchdog: Watchdog
    reports: list[JobReport] = field(default_factory=list)
    log_fields: dict[str, Any] = field(default_factory=dict)
    aside: Aside = nullcontext
    has_slot: bool = False

    def queued_at(self, job: Job) -> datetime:
        """When the document of a job came; the message of a part is younger."""
        return (job.part and job.part.queued_at) or self.message.sent_at

    def waited_s(self, clock: Clock) -> float:
        """Seconds since its first document came."""
        came_at = [self.queued_at(job) for job in self.notification.jobs] or [self.message.sent_at]
        return (clock.now() - min(came_at)).total_seconds()

    @property
    def is_cut_short(self) -> bool:
        """Whether a job ended early because it was cancelled."""
        return any(report.outcome is Outcome.RELEASED for report in self.reports)

    @property
    def outcome(self) -> Outcome:
        """How work that came to its end has ended."""
        outcomes = [Outcome.MALFORMED if self.notification.malformed else Outcome.DONE]
        outcomes += [report.outcome for report in self.reports]
        return max(outcomes, key=_SEVERITY.index)

    @property
    def ignored_as(self) -> str:
        """Why a message without work was sent: for an `own_output`, or as another `event`; else empty."""
        if any(report.cause != OWN_OUTPUT for report in self.reports):
            return ""
        own = self.reports or {events.OWN_OUTPUT, events.OWN_PIECE} & set(self.notification.ignored)
        return OWN_OUTPUT if own else "event"

    def cause(self, outcome: Outcome) -> str:
        """One word for why the work has ended so; empty if that is not known."""
        causes = (report.cause for report in self.reports if report.outcome is outcome)
        return next(causes, "")

    def complete_reports(self, outcome: Outcome, reason: str) -> None:
        """Report the jobs that were not begun or were cut short: with `outcome`, for `reason`."""
        self.reports = [
            replace(report, outcome=outcome, reason=reason) if report.outcome is Outcome.RELEASED else report
            for report in self.reports
        ]
        for job in self.notification.jobs[len(self.reports) :]:
            log_fields = {"bucket": job.bucket, "key": job.key}
            self.reports.append(JobReport(job, outcome, reason, log_fields))

    @property
    def bodies(self) -> tuple[str, ...]:
        """Bodies of messages that ask for what is left to do; a source that is done costs two HEADs."""
        left = [report.continuation for report in self.reports if report.outcome is not Outcome.DONE]
        if self.notification.malformed or not left or not all(left):
            return (self.message.body,)
        return tuple(body for continuation in left for body in continuation)
