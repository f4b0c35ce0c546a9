"""S3, SQS and SNS as AWS documents them, in memory, and what must hold of every effect on them.

Nothing here takes time or fails by itself: `network` lies in between. What must hold (I1 to I8) is written
down as it breaks, because the consumer may swallow an exception.
"""

import hashlib
import json
import random
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cached_property
from typing import Final
from urllib.parse import quote_plus

from consumer.domain import identity, keys
from consumer.domain.completion import Completion
from consumer.domain.errors import (
    BucketOcrError,
    Code,
    ConflictError,
    DocumentError,
    SourceChangedError,
    SourceGoneError,
)
from consumer.domain.events import parse
from consumer.domain.identity import NOT_READ_CODES, ResultHead
from consumer.domain.outputs import Listing
from consumer.domain.result import Source
from consumer.ports import ObjectInfo
from tests.fakes import BUCKET, confidence_of
from tests.fakes.virtual_time import EPOCH, VirtualClock

LEASE_S: Final = 30
LONGEST_HOLD_S: Final = 12 * 3600

#: Of a document that cannot be opened.
BROKEN: Final = b"broken"


class RefusedError(BucketOcrError):
    """SQS does not know the receipt (any more), or the message is not in flight."""


class Journal:
    """Events in order, violations of invariants, and counts of events."""

    def __init__(self, clock: VirtualClock) -> None:
        self.clock = clock
        self.moment = 0
        self.events: list[str] = []
        self.violations: list[str] = []
        self.counts: Counter[str] = Counter()

    def note(self, kind: str, text: str = "") -> None:
        self.moment += 1
        self.counts[kind] += 1
        self.events.append(f"{self.clock.seconds:10.3f}  {kind} {text}")

    def demand(self, holds: object, invariant: str, text: str) -> None:
        if not holds:
            self.violations.append(f"{invariant}: {text}")
            self.events.append(f"{self.clock.seconds:10.3f}  VIOLATION {invariant}: {text}")


@dataclass(frozen=True, eq=False)
class Stored:
    """An object, current or not. `moment`: of its upload."""

    key: str
    body: bytes
    metadata: Mapping[str, str]
    version_id: str | None
    last_modified: datetime
    moment: int
    content_type: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)

    @property
    def etag(self) -> str:
        return hashlib.md5(self.body).hexdigest()

    @property
    def identity(self) -> tuple[str, str | None]:
        return self.etag, self.version_id

    @property
    def is_document(self) -> bool:
        """Whether there must be a result."""
        named = self.key.endswith(".pdf") or self.body.startswith(b"%PDF-")
        return named and identity.SOURCE_ETAG not in self.metadata

    @property
    def of(self) -> tuple[str | None, str | None]:
        """Identity of the source that a result is of."""
        return self.metadata.get(identity.SOURCE_ETAG), self.metadata.get(identity.SOURCE_VERSION_ID)

    @property
    def fingerprint(self) -> str | None:
        """Of the engine that has read a result."""
        return self.metadata.get(identity.FINGERPRINT)

    @property
    def is_not_read(self) -> bool:
        return self.fingerprint == identity.NOT_READ

    @property
    def head(self) -> ObjectInfo:
        source = Source(
            bucket=BUCKET,
            key=self.key,
            version_id=self.version_id,
            etag=self.etag,
            size_bytes=len(self.body),
            content_type=None,
            last_modified=self.last_modified,
        )
        return ObjectInfo(source, self.metadata)


class FakeS3:
    """A bucket; if it has a queue, it sends an event of every upload there."""

    def __init__(self, journal: Journal, queue: "FakeSqs | None", *, versioned: bool) -> None:
        self.objects: dict[str, Stored] = {}
        #: All that were ever uploaded, by key.
        self.uploads: dict[str, list[Stored]] = {}
        self._journal = journal
        self._queue = queue
        self.versioned = versioned
        #: Why the bytes of objects cannot be had, by key.
        self.unreadable: dict[str, DocumentError] = {}
        self._unanswered_since: dict[str, int] = {}
        #: When a consumer's work last looked at a key.
        self._looks: dict[tuple[str, str], int] = {}
        #: Until when an object was the current one; and the last of those that got their results later.
        self._until: dict[tuple[str, tuple[str | None, str | None]], int] = {}
        self._answered: dict[str, int] = {}
        #: Keys and ETags of results that may be replaced although they are current.
        self._replaceable: set[tuple[str, str]] = set()
        #: Keys of sources of which an output was put by a consumer that had lost its lease.
        self.late: set[str] = set()
        #: Keys of sources whose results a client has deleted; that asks nobody to read them again.
        self.unasked: set[str] = set()

    def upload(
        self,
        key: str,
        body: bytes,
        metadata: Mapping[str, str] | None = None,
        content_type: str | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> Stored:
        self._journal.note("upload" if metadata is None else "result", f"{key} {body[:40]!r}")
        moment = self._journal.moment
        version_id = f"v{moment}" if self.versioned else None
        now = self._journal.clock.now()
        stored = Stored(key, body, metadata or {}, version_id, now, moment, content_type, tags or {})
        self.uploads.setdefault(key, []).append(stored)
        self._replace(key)
        self.objects[key] = stored
        self.unasked.discard(key)
        if self._queue is not None:
            if self._queue.is_forced(key.removesuffix(keys.RESULT_SUFFIX)):
                self._replaceable.add((key, stored.etag))
            self._queue.send(event_of(stored), [key])
        self._judge(key)
        return stored

    def put_new(
        self,
        key: str,
        body: bytes,
        metadata: Mapping[str, str],
        tags: Mapping[str, str],
    ) -> None:
        if key in self.objects:
            self._journal.note("conflict", key)
            raise ConflictError(key)
        self._journal.note("piece", key)
        self.upload(key, body, metadata, "application/gzip", tags)

    def delete_output(self, key: str) -> None:
        """Delete an object that a consumer has written."""
        there = self.objects.get(key)
        self._journal.demand(
            there is None or identity.SOURCE_ETAG in there.metadata, "promise 6", f"{key} is deleted"
        )
        self.objects.pop(key, None)

    def allow_replacing(self, source_key: str) -> None:
        """Let the result that is there be replaced by another of the same source and engine."""
        key = keys.result_key(source_key)
        if (result := self.objects.get(key)) is not None:
            self._replaceable.add((key, result.etag))

    def delete(self, key: str) -> None:
        if key in self.objects:
            self._journal.note("source deleted", key)
            self._replace(key)
            del self.objects[key]
            self._judge(key)

    def delete_result(self, source_key: str) -> None:
        """Delete a result, as a client."""
        key = keys.result_key(source_key)
        if key in self.objects:
            self._journal.note("result deleted", key)
            self._replace(key)
            del self.objects[key]
            self.unasked.add(source_key)
            self._judge(source_key)

    def _replace(self, key: str) -> None:
        if (there := self.objects.get(key)) is not None:
            self._until[key, there.identity] = self._journal.moment

    def head(self, reader: str, key: str) -> ObjectInfo | None:
        self._journal.moment += 1
        self._looks[reader, key] = self._journal.moment
        found = self.objects.get(key)
        return replace(found.head, unreadable=self.unreadable.get(key)) if found else None

    def get(self, source: Source) -> bytes:
        """Pinned by version, if it has one, and by ETag."""
        found = self.objects.get(source.key)
        if source.version_id is not None:
            uploads = self.uploads.get(source.key, ())
            found = next((s for s in uploads if s.version_id == source.version_id), None)
        if found is None:
            raise SourceGoneError(source.key)
        if found.etag != source.etag:
            raise SourceChangedError(source.key)
        return found.body

    def put_output(
        self,
        writer: str,
        key: str,
        body: bytes,
        metadata: Mapping[str, str],
        content_type: str,
        replaces: str | None,
    ) -> str:
        """Put another output than the result."""
        self._check_condition(writer, key, replaces)
        self._journal.note("output", key)
        source_key = key.rsplit(keys.OUTPUT_PREFIX, 1)[0]
        if self._queue is not None and not self._queue.is_held(writer.partition("/")[0], source_key):
            self._journal.note("late output", f"{key} by {writer}")
            self.late.add(source_key)
        return self.upload(key, body, metadata, content_type).etag

    def _check_condition(self, writer: str, key: str, replaces: str | None) -> None:
        there = self.objects.get(key)
        if (there.etag if there else None) != replaces:
            self._journal.note("conflict", f"{key} by {writer}")
            raise ConflictError(key)

    def put_result(
        self, writer: str, key: str, body: bytes, metadata: Mapping[str, str], replaces: str | None
    ) -> str:
        self._check_condition(writer, key, replaces)
        self._check_result(writer, key, body, metadata, self.objects.get(key))
        stored = self.upload(key, body, metadata)
        source_key = key.removesuffix(keys.RESULT_SUFFIX)
        if not self.objects[key].is_not_read:
            until = self._until.get((source_key, self.objects[key].of), 0)
            self._answered[source_key] = max(self._answered.get(source_key, 0), until)
        self._judge(source_key)
        return stored.etag

    def has_recorded_outputs(self, key: str) -> bool:
        """Whether the outputs of a source are there as its result records them."""
        result = self.objects.get(keys.result_key(key))
        head = ResultHead.from_metadata(result.metadata) if result else None
        listing = Listing.of(key, ((name, stored.etag) for name, stored in self.objects.items()))
        return head is None or not any(head.output_record.lacking((), listing))

    def check_outputs(self, keys_of_sources: Iterable[str]) -> None:
        """I9: the outputs that a current result records are there, or a message names the source.

        An object that is no document has no current result: what lies there is of former bytes.
        """
        assert self._queue is not None
        for key in keys_of_sources:
            source = self.objects.get(key)
            if self.has_recorded_outputs(key):
                self.late.discard(key)
            elif source and source.is_document and self.is_answered(key) and key not in self.late:
                covered = any(key in message.names for message in self._queue.there())
                self._journal.demand(covered, "I9", f"{key} has other outputs than its result records")

    def is_answered(self, key: str) -> bool:
        """Whether the object needs nothing now: it is not there, is no document, or its result is current."""
        source = self.objects.get(key)
        if source is None or not source.is_document:
            return True
        result = self.objects.get(keys.result_key(key))
        return result is not None and result.of == source.identity and not result.is_not_read

    def was_answered_since(self, key: str, moment: int) -> bool:
        """Whether the key, at some moment since then, needed nothing or got its result.

        A result may come a moment after its source was overwritten, which sent a message of its own.
        """
        last = max(self._unanswered_since.get(key, 0), self._answered.get(key, 0))
        return self.is_answered(key) or last > moment

    def _judge(self, key: str) -> None:
        """Note since when there is work to do for a key."""
        if self.is_answered(key):
            self._unanswered_since.pop(key, None)
            self.unasked.discard(key)
        else:
            self._unanswered_since.setdefault(key, self._journal.moment)
        self.check_coverage()

    def check_coverage(self) -> None:
        """I2: a source without its result has a message that names it."""
        if self._queue is None:
            return
        for key in self._unanswered_since.keys() - self.unasked:
            current = self.objects[key]
            # Of the very bytes that were there before, an older event may be the one whose work goes on.
            again = any(s.identity == current.identity and s is not current for s in self.uploads[key])
            since = 0 if again else current.moment
            covered = any(key in m.names and m.moment >= since for m in self._queue.there())
            self._journal.demand(covered, "I2", f"nobody will read {key} as it is now")

    def _check_result(
        self, writer: str, key: str, body: bytes, metadata: Mapping[str, str], there: Stored | None
    ) -> None:
        source_key = key.removesuffix(keys.RESULT_SUFFIX)
        new = Stored(key, body, metadata, None, EPOCH, 0)
        source = next((s for s in self.uploads[source_key] if s.identity == new.of), None)
        self._journal.demand(
            source and tells(body, source), "content", f"{key} is not the text of its source"
        )
        if there is None or identity.SOURCE_ETAG not in there.metadata:
            return
        if there.of == new.of:
            may = (
                there.is_not_read
                or there.fingerprint != new.fingerprint
                or (key, there.etag) in self._replaceable
                or completes(body, there.body)
            )
            self._journal.demand(may, "I4", f"{writer} replaces {key} of the same source and engine")
        else:
            looked = self._looks.get((writer, source_key), 0)
            ages = [self._age(source_key, of, looked) for of in (there.of, new.of)]
            self._journal.demand(
                ages[0] < ages[1], "I3", f"{writer} replaces {key} by that of an older source"
            )

    def _age(self, key: str, of: tuple[str | None, str | None], looked: int) -> int:
        """Moment of the newest upload of an identity that a writer could know of, or of its first."""
        moments = [s.moment for s in self.uploads[key] if s.identity == of]
        return max([moments[0], *(moment for moment in moments if moment <= looked)])


def completes(body: bytes, there: bytes) -> bool:
    """Whether a result is the one that is there, with other outputs."""
    # It names the source as it is now, which may be another upload of the same bytes.
    own = {"outputs", "warnings", "timing", "source"}
    new, old = json.loads(body), json.loads(there)
    return bool(new["outputs"]) and all(new[name] == old.get(name) for name in new.keys() - own)


def tells(body: bytes, source: Stored) -> bool:
    """Whether a result has the texts of its source, all by one engine."""
    result = json.loads(body)
    if result["error"] is not None:
        may_fail = BROKEN in source.body or not source.body.startswith(b"%PDF-")
        return may_fail or result["error"]["code"] in NOT_READ_CODES
    confidence = confidence_of(result["engine"]["fingerprint"])
    if any(line["confidence"] != confidence for line in result["detections"]):
        return False
    texts = [line["text"].encode() for line in result["detections"]]
    given_up = {
        warning["page_number"] for warning in result["warnings"] if warning["code"] == Code.RETRIES_EXHAUSTED
    }
    pages = enumerate(source.body.removeprefix(b"%PDF-").split(b"\f"), start=1)
    return texts == [text for number, text in pages if number not in given_up]


def event_of(stored: Stored) -> str:
    """Write the event as S3 does."""
    entry: dict[str, object] = {
        "key": quote_plus(stored.key, safe="/"),
        "size": len(stored.body),
        "eTag": stored.etag,
        "sequencer": f"{stored.moment:018X}",
    }
    if stored.version_id is not None:
        entry["versionId"] = stored.version_id
    record = {
        "eventVersion": "2.1",
        "eventSource": "aws:s3",
        "awsRegion": "eu-central-1",
        "eventTime": stored.last_modified.isoformat(),
        "eventName": "ObjectCreated:Put",
        "s3": {"s3SchemaVersion": "1.0", "bucket": {"name": BUCKET}, "object": entry},
    }
    return json.dumps({"Records": [record]})


@dataclass(eq=False)
class Queued:
    """A message, or SQS's second copy of one. `moment`: when it was sent. `by_consumer`: one has sent it.

    `kept_count`: receives before it was moved back from the dead letters, if those are still told.
    """

    message_id: str
    body: str
    names: frozenset[str]
    malformed: bool
    sent_at: float
    moment: int
    visible_at: float
    by_consumer: bool = False
    receive_count: int = 0
    kept_count: int = 0
    latest: "Delivery | None" = None
    deleted: bool = False
    dead: bool = False

    @cached_property
    def is_of_part(self) -> bool:
        return parse(self.body).is_of_part

    @cached_property
    def forced(self) -> frozenset[str]:
        """Keys of the sources that are to be read again."""
        return frozenset(job.key for job in parse(self.body).jobs if job.force)


@dataclass(eq=False)
class Delivery:
    """One receipt of a message.

    `settled`: its receiver has settled it; `lost`: its receiver knows that its lease is lost; `broken`: SQS
    has shown it to others in spite of the lease, as a standard queue may.
    """

    receipt: str
    message: Queued
    owner: str
    received_at: float
    moment: int
    settled: bool = False
    lost: bool = False
    broken: bool = False

    @property
    def is_latest(self) -> bool:
        return self.message.latest is self


@dataclass(eq=False)
class FakeSqs:
    """A standard queue with a dead-letter queue."""

    journal: Journal
    #: Chance; None: messages come at once, and in the order in which they can be seen.
    rng: random.Random | None
    max_receive_count: int | None
    messages: list[Queued] = field(default_factory=list)
    #: Ids of deleted messages; and for how many seconds messages were hidden when they were last given back.
    deleted: list[str] = field(default_factory=list)
    returned: dict[str, int] = field(default_factory=dict)
    deliveries: dict[str, Delivery] = field(default_factory=dict)
    bucket: FakeS3 | None = None

    def send(
        self,
        body: str,
        names: Iterable[str],
        *,
        malformed: bool = False,
        message_id: str | None = None,
        delay_s: int = 0,
        by_consumer: bool = False,
    ) -> Queued:
        now = self.journal.clock.seconds
        # Usually at once, sometimes late.
        visible_at = now + delay_s + (self.rng.choice((0.0, 0.1, 1.0, 8.0)) if self.rng else 0.0)
        message_id = message_id or f"m{len(self.messages)}"
        moment = self.journal.moment
        message = Queued(message_id, body, frozenset(names), malformed, now, moment, visible_at, by_consumer)
        self.messages.append(message)
        for key in message.forced:
            assert self.bucket is not None
            self.bucket.allow_replacing(key)
        if by_consumer:
            self.journal.note("sent again", message_id)
        return message

    def sent_again(self) -> list[Queued]:
        """The messages that consumers have sent."""
        return [message for message in self.messages if message.by_consumer]

    def there(self) -> list[Queued]:
        """All messages that are not deleted, dead letters too."""
        return [message for message in self.messages if not message.deleted]

    def is_forced(self, key: str) -> bool:
        """Whether a message asks for a source to be read again although its result is current."""
        return any(key in message.forced for message in self.there())

    def is_held(self, owner: str, key: str) -> bool:
        """Whether a consumer holds the lease of a message that names the source."""
        now = self.journal.clock.seconds
        held = [each for each in self.waiting() if each.latest and each.latest.owner == owner]
        return any(key in message.names and message.visible_at > now for message in held)

    def waiting(self) -> list[Queued]:
        """The messages of the queue, visible or not."""
        return [message for message in self.messages if not message.deleted and not message.dead]

    def next_visible_at(self) -> float:
        return min((message.visible_at for message in self.waiting()), default=float("inf"))

    def receive(self, owner: str, hold_s: int) -> Delivery | None:
        """Hand out any of the messages that can be seen; AWS promises no order."""
        now = self.journal.clock.seconds
        visible = [message for message in self.waiting() if message.visible_at <= now]
        for message in visible:
            if self.max_receive_count is not None and message.receive_count >= self.max_receive_count:
                message.dead = True
                self.journal.note("dead letter", message.message_id)
        if not (living := [message for message in visible if not message.dead]):
            return None
        message = self.rng.choice(living) if self.rng else min(living, key=lambda message: message.visible_at)
        message.receive_count += 1
        message.visible_at = now + hold_s
        self.journal.note("receive", f"{message.message_id} #{message.receive_count} by {owner}")
        if message.receive_count > 1:
            self.journal.note("redelivery", message.message_id)
        receipt = f"{message.message_id}/{self.journal.moment}"
        message.latest = Delivery(receipt, message, owner, now, self.journal.moment)
        self.deliveries[receipt] = message.latest
        return message.latest

    def delete(self, receipt: str) -> None:
        """Delete the message; with an older receipt this succeeds and does nothing."""
        delivery = self.deliveries[receipt]
        message = delivery.message
        if not delivery.is_latest or message.dead:
            self.journal.note("stale delete", receipt)
            return
        self.journal.note("delete", receipt)
        if message.deleted:
            return
        assert self.bucket is not None
        again = self._sent_again_since(delivery.moment)
        kept = not message.malformed or any(m.body == message.body for m in again)
        self.journal.demand(kept, "I1", f"{receipt} is malformed and was deleted")
        for key in message.names:
            answered = self.bucket.was_answered_since(key, delivery.moment)
            left = again
            if message.is_of_part:
                # The rest of its document is asked for by messages that were there before.
                left = [m for m in self.there() if m is not message]
                # Nor does one ask for the whole of a document whose result was deleted.
                answered = answered or key in self.bucket.unasked
            kept = answered or any(key in m.names for m in left)
            self.journal.demand(kept, "I1", f"{receipt} was deleted without a result of {key}")
        message.deleted = True
        self.deleted.append(message.message_id)
        self.bucket.check_coverage()

    def _sent_again_since(self, moment: int) -> list[Queued]:
        """Messages that consumers have sent since then, for work that they left; these answer for it (I2)."""
        return [message for message in self.messages if message.by_consumer and message.moment >= moment]

    def change_visibility(self, receipt: str, hold_s: int) -> None:
        """Hide the message for so long; raises RefusedError."""
        delivery = self.deliveries[receipt]
        message, now = delivery.message, self.journal.clock.seconds
        over = now - delivery.received_at + hold_s > LONGEST_HOLD_S
        gone = message.deleted or message.dead or not delivery.is_latest or message.visible_at <= now
        if over or gone:
            self.journal.note("refused", receipt)
            raise RefusedError(receipt)
        self.journal.note("visibility", f"{receipt} {hold_s}")
        message.visible_at = now + hold_s

    def retry(self, receipt: str, delay_s: int) -> None:
        """Release a message; raises RefusedError."""
        self.change_visibility(receipt, delay_s)
        self.returned[self.deliveries[receipt].message.message_id] = delay_s

    def renew(self, receipt: str, hold_s: int) -> None:
        """Renew a lease; raises RefusedError."""
        delivery = self.deliveries[receipt]
        ours = not delivery.settled and not delivery.lost
        self.journal.demand(ours, "I7", f"{receipt} is renewed though it is settled or lost")
        self.journal.demand(hold_s <= LEASE_S, "I6", f"{receipt} is hidden for {hold_s} s")
        self.change_visibility(receipt, hold_s)

    def settling(self, receipt: str, how: str) -> None:
        """Note that the receiver is about to settle the message."""
        delivery = self.deliveries[receipt]
        message = delivery.message
        delivery.settled = True
        self.journal.demand(not delivery.lost, "I8", f"{how} of {receipt}, which was lost")
        if how == "delete" and not delivery.broken:
            held = delivery.is_latest and message.visible_at > self.journal.clock.seconds
            # One that was postponed is not held; its copy does what the delete may take away.
            again = any(other.body == message.body for other in self._sent_again_since(delivery.moment))
            self.journal.demand(held or again, "I8", f"{receipt} is deleted and may be in other hands")

    def lose(self, receipt: str) -> None:
        """Note that the receiver knows that its lease is lost."""
        self.deliveries[receipt].lost = True
        self.journal.note("lease lost", receipt)

    def reappear(self, message: Queued) -> None:
        """Let others see a message that is in flight."""
        if message.latest is not None and message.visible_at > self.journal.clock.seconds:
            message.latest.broken = True
            message.visible_at = self.journal.clock.seconds
            self.journal.note("reappears", message.message_id)

    def copy(self, message: Queued) -> None:
        """Deliver a message twice; it may have been deleted."""
        self.journal.note("copy", message.message_id)
        again = self.send(
            message.body, message.names, malformed=message.malformed, message_id=message.message_id
        )
        again.moment = message.moment

    def redrive(self, *, keeps_count: bool = False) -> None:
        """Move the dead letters back, as an operator does.

        `keeps_count`: consumers see the old count, as on LocalStack.
        """
        for message in self.there():
            if message.dead and not message.malformed:
                message.dead = False
                message.kept_count = message.receive_count if keeps_count else 0
                message.receive_count = 0
                message.visible_at = self.journal.clock.seconds

    def check_orphans(self, owner: str) -> None:
        """I6: messages that a dead consumer held come back within a lease."""
        latest = self.journal.clock.seconds + LEASE_S + 1
        for delivery in self.deliveries.values():
            if delivery.owner == owner and delivery.is_latest and not delivery.settled:
                back = delivery.message.visible_at <= latest
                self.journal.demand(back, "I6", f"{delivery.receipt} stays hidden after {owner} died")


class Cloud:
    """All that consumers share. `notifies`: the bucket sends an event of every upload to the queue."""

    def __init__(
        self,
        clock: VirtualClock,
        *,
        rng: random.Random | None = None,
        versioned: bool = False,
        max_receive_count: int | None = None,
        notifies: bool = False,
    ) -> None:
        self.clock = clock
        self.journal = Journal(clock)
        self.sqs = FakeSqs(self.journal, rng, max_receive_count)
        self.s3 = FakeS3(self.journal, self.sqs if notifies else None, versioned=versioned)
        self.sqs.bucket = self.s3
        #: Keys of sources of which a put of a result or of another output is on its way.
        self.puts: Counter[str] = Counter()
        self.announced: list[Completion] = []

    def announce(self, completion: Completion) -> None:
        """Tell the subscribers of a topic."""
        key = completion.source.key
        of = completion.source.etag, completion.source.version_id
        # A client may have deleted it since.
        stored = any(result.of == of for result in self.s3.uploads.get(keys.result_key(key), ()))
        self.journal.demand(stored, "announce", f"{key} was announced and has had no result")
        self.announced.append(completion)

    def was_announced(self, source: Stored) -> bool:
        """Whether this very object was announced."""
        announced = {(each.source.key, (each.source.etag, each.source.version_id)) for each in self.announced}
        return (source.key, source.identity) in announced
