"""Judgements of queue and bucket: whether uploads reach the consumer, and failures the dead-letter queue.

All input has AWS's own form; nothing here makes a request.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import Any, Final
from urllib.parse import quote_plus, unquote_plus

from consumer.domain import formats, keys

#: Attributes of a queue, as GetQueueAttributes returns them.
Attributes = Mapping[str, str]

_S3: Final = "s3.amazonaws.com"
_SEND: Final = "sqs:SendMessage"

#: Consumers that are killed use receives up, too.
_FEW_RECEIVES: Final = 3

_REGION: Final = re.compile(r"(?<=[/.])[a-z]{2}(?:-[a-z]+)+-\d(?=[/.])")

#: Characters of a notification's filter that S3 wants encoded.
#: https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-how-to-filtering.html
_RAW: Final = re.compile(r"[^A-Za-z0-9/._*!'()%+-]")

#: All ways of creating an object.
_CREATED: Final = "s3:ObjectCreated:*"

#: An archived object can be read again.
_RESTORED: Final = ("s3:ObjectRestore:Completed", "s3:ObjectRestore:*")

_STORAGE: Final = "infra/storage.yaml sets it up"

#: SQS keeps no message longer.
_LONGEST_RETENTION_S: Final = 14 * 24 * 3600


class Level(StrEnum):
    """Severity of a finding: because of a fault documents are not read, or are lost."""

    OK = "ok"
    WARNING = "warning"
    FAULT = "fault"


@dataclass(frozen=True, slots=True)
class Finding:
    """Result of `check` for `subject`. `remedy`: the operator's next step; empty if nothing is wrong."""

    check: str
    level: Level
    subject: str
    message: str
    remedy: str = ""


def region_of(queue_url: str) -> str | None:
    """Region in a queue's URL; None if it has none."""
    match = _REGION.search(queue_url)
    return match[0] if match else None


def region(queue_url: str, configured: str | None) -> Finding:
    """Judge whether requests go to the region of the queue."""
    expected = region_of(queue_url)
    if configured is not None and expected in (None, configured):
        return Finding("region", Level.OK, "AWS_REGION", f"is {configured}")
    message = "is not set" if configured is None else f"is {configured}, and the queue is in {expected}"
    return Finding("region", Level.FAULT, "AWS_REGION", message, f"export AWS_REGION={expected or '…'}")


def queue(queue_url: str, attributes: Attributes) -> Iterator[Finding]:
    """Judge the queue by its attributes."""
    if attributes.get("FifoQueue") == "true":
        message = "is a FIFO queue, to which S3 sends nothing"
        yield Finding("queue", Level.FAULT, queue_url, message, f"use a standard queue: {_STORAGE}")
    if attributes.get("KmsMasterKeyId") == "alias/aws/sqs":
        message = "is encrypted with the key alias/aws/sqs, which S3 may not use: its events are dropped"
        remedy = _set(queue_url, "KmsMasterKeyId=,SqsManagedSseEnabled=true")
        yield Finding("queue", Level.FAULT, queue_url, message, remedy)
    if (kept_s := _retention_s(attributes)) < _LONGEST_RETENTION_S:
        message = f"forgets messages after {kept_s / 86_400:.3g} days, and their documents get no result"
        remedy = _set(queue_url, f"MessageRetentionPeriod={_LONGEST_RETENTION_S}")
        yield Finding("retention", Level.WARNING, queue_url, message, remedy)
    waiting = attributes.get("ApproximateNumberOfMessages", "?")
    leased = attributes.get("ApproximateNumberOfMessagesNotVisible", "?")
    delayed = attributes.get("ApproximateNumberOfMessagesDelayed", "?")
    message = f"is there: {waiting} message(s) waiting, {leased} in flight, {delayed} delayed"
    yield Finding("queue", Level.OK, queue_url, message)


def dead_letter_arn(attributes: Attributes) -> str | None:
    """ARN of the dead-letter queue; None if the queue has none."""
    return _redrive(attributes).get("deadLetterTargetArn")


def no_dead_letters(queue_url: str) -> Finding:
    """Describe the fault of a queue without a dead-letter queue."""
    message = "has no dead-letter queue: failing messages are retried for days, and then vanish"
    remedy = _set_policy(queue_url, "ARN of a queue for them")
    return Finding("redrive", Level.FAULT, queue_url, message, remedy)


def redrive(queue_url: str, attributes: Attributes, arn: str, dead_letters: Attributes) -> Iterator[Finding]:
    """Judge the redrive policy. `arn`, `dead_letters`: the dead-letter queue and its attributes."""
    count = int(_redrive(attributes).get("maxReceiveCount", 0))
    if count < _FEW_RECEIVES:
        message = f"moves messages there after {count} receive(s), and a consumer that is killed uses one up"
        yield Finding("redrive", Level.WARNING, queue_url, message, _set_policy(queue_url, arn))
    if _retention_s(dead_letters) < _LONGEST_RETENTION_S:
        message = "could keep messages longer, and their age counts from their arrival on the queue"
        remedy = f"set its MessageRetentionPeriod to {_LONGEST_RETENTION_S}"
        yield Finding("redrive", Level.WARNING, arn, message, remedy)
    if (dead := dead_letters.get("ApproximateNumberOfMessages", "0")) != "0":
        message = f"holds {dead} message(s) that failed for good"
        yield Finding(
            "redrive", Level.WARNING, arn, message, "bucket-ocr dlq list; dlq redrive, when the cause is gone"
        )
    else:
        yield Finding("redrive", Level.OK, arn, f"takes messages after {count} receives, and is empty")


def _retention_s(attributes: Attributes) -> int:
    return int(attributes.get("MessageRetentionPeriod", _LONGEST_RETENTION_S))


def _redrive(attributes: Attributes) -> Mapping[str, Any]:
    policy: dict[str, Any] = json.loads(attributes.get("RedrivePolicy", "{}"))
    return policy


def _set_policy(queue_url: str, arn: str) -> str:
    policy = {"deadLetterTargetArn": arn, "maxReceiveCount": "10"}
    attributes = json.dumps({"RedrivePolicy": json.dumps(policy)})
    return _set(queue_url, f"'{attributes}'")


def _set(queue_url: str, attributes: str) -> str:
    return f"aws sqs set-queue-attributes --queue-url {queue_url} --attributes {attributes}"


def buckets(attributes: Attributes) -> list[str]:
    """Names of the buckets that the queue's policy admits by name."""
    patterns = {pattern for statement in _admitting(attributes) for pattern in _sources(statement)}
    names = [pattern.rpartition(":::")[2] for pattern in patterns if ":s3:::" in pattern]
    return sorted(name for name in names if name and not set("*?") & set(name))


def policy(queue_url: str, attributes: Attributes, bucket: str) -> Finding:
    """Judge whether S3 may send the bucket's events to the queue."""
    queue_arn = attributes.get("QueueArn", "")
    bucket_arn = f"arn:{queue_arn.split(':')[1] if queue_arn else 'aws'}:s3:::{bucket}"
    for statement in _admitting(attributes):
        patterns = _sources(statement)
        if not patterns or any(fnmatchcase(bucket_arn, pattern) for pattern in patterns):
            return Finding("policy", Level.OK, queue_url, f"takes events of {bucket}")
    statement = {
        "Effect": "Allow",
        "Principal": {"Service": _S3},
        "Action": _SEND,
        "Resource": queue_arn,
        "Condition": {"ArnLike": {"aws:SourceArn": bucket_arn}},
    }
    message = f"has no policy that lets S3 send the events of {bucket}"
    remedy = f"add to the Policy of the queue, by aws sqs set-queue-attributes: {json.dumps(statement)}"
    return Finding("policy", Level.FAULT, queue_url, message, remedy)


def _admitting(attributes: Attributes) -> Iterator[Mapping[str, Any]]:
    """Yield the statements that let S3 send to the queue, under any conditions."""
    queue_arn = attributes.get("QueueArn", "")
    document: Any = json.loads(attributes.get("Policy") or "{}")
    for statement in listed(document.get("Statement")):
        principal = statement.get("Principal", {})
        # "*" is short for {"AWS": "*"}.
        principals = principal.values() if isinstance(principal, dict) else [principal]
        if (
            statement.get("Effect") == "Allow"
            and {_S3, "*"} & {name for names in principals for name in listed(names)}
            and any(fnmatchcase(_SEND.lower(), action.lower()) for action in listed(statement.get("Action")))
            and any(fnmatchcase(queue_arn, pattern) for pattern in listed(statement.get("Resource")))
        ):
            yield statement


def _sources(statement: Mapping[str, Any]) -> list[str]:
    """Patterns for the ARN of the sender in the statement's conditions; none: any sender."""
    return [
        pattern
        for values in statement.get("Condition", {}).values()
        for name, value in values.items()
        if name.lower() == "aws:sourcearn"
        for pattern in listed(value)
    ]


def listed(value: Any) -> list[Any]:
    """Return a list; policies allow a single value in its place."""
    return value if isinstance(value, list) else [] if value is None else [value]


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule of a bucket's notification, with a queue or topic as its target.

    `prefix`, `suffix`: of keys, as S3 compares them. `raw`: filters that it compares with no key.
    """

    name: str
    target: str
    events: Sequence[str]
    prefix: str = ""
    suffix: str = ""
    raw: Sequence[str] = ()

    @classmethod
    def all_of(cls, configuration: Mapping[str, Any]) -> Iterator["Rule"]:
        """Yield the rules in a result of GetBucketNotificationConfiguration."""
        for kind, target in (("QueueConfigurations", "QueueArn"), ("TopicConfigurations", "TopicArn")):
            for rule in configuration.get(kind, ()):
                filters = rule.get("Filter", {}).get("Key", {}).get("FilterRules", ())
                values = {each["Name"].lower(): each["Value"] for each in filters}
                raw = [value for value in values.values() if _RAW.search(value)]
                decoded = {name: unquote_plus(value) for name, value in values.items()}
                yield cls(rule.get("Id", "?"), rule[target], rule.get("Events", ()), **decoded, raw=raw)


def notification(bucket: str, prefix: str, configuration: Mapping[str, Any], arn: str) -> Iterator[Finding]:
    """Judge whether uploads under `prefix` cause messages on the queue of this ARN."""
    subject = f"s3://{bucket}/{prefix}"
    every = [rule for rule in Rule.all_of(configuration) if rule.target == arn]
    yield from _raw_filters(subject, every)
    rules = [rule for rule in every if not rule.raw]
    covering = [rule for rule in rules if prefix.startswith(rule.prefix)]
    if not covering:
        if every == rules:
            yield _no_rule(subject, configuration, arn, [rule.prefix for rule in rules])
    elif not any(_CREATED in rule.events for rule in covering):
        events = ", ".join(sorted({event for rule in covering for event in rule.events}))
        message = f"sends events for {events} only: other uploads (multipart ones, copies) are missed"
        yield Finding("notification", Level.FAULT, subject, message, f"make the event of the rule {_CREATED}")
    else:
        yield Finding("notification", Level.OK, subject, "sends an event for every upload")
        if not any(event in _RESTORED for rule in covering for event in rule.events):
            message = "sends no event when an archived object has been restored, which then is not read"
            remedy = f"add the event {_RESTORED[0]}, unless you archive no documents"
            yield Finding("restores", Level.WARNING, subject, message, remedy)
    yield from _suffixes(subject, covering)


def _raw_filters(subject: str, rules: Sequence[Rule]) -> Iterator[Finding]:
    """Judge the filters that are not encoded as S3 wants them: it compares them with encoded keys."""
    for rule in rules:
        for value in rule.raw:
            message = f"its rule {rule.name} for {value!r} sends nothing: S3 compares encoded keys with it"
            encoded = quote_plus(unquote_plus(value), safe="/")
            yield Finding("notification", Level.FAULT, subject, message, f"make its filter {encoded}")


def _no_rule(subject: str, configuration: Mapping[str, Any], arn: str, prefixes: Sequence[str]) -> Finding:
    topics = [rule.target for rule in Rule.all_of(configuration) if ":sns:" in rule.target]
    if topics or "EventBridgeConfiguration" in configuration:
        through = ", ".join(topics) or "EventBridge"
        message = f"sends events to {through}, not to this queue: the doctor does not follow them from there"
        remedy = "upload something, and see if it is read"
        return Finding("notification", Level.WARNING, subject, message, remedy)
    uploads = f"events for uploads under {', '.join(map(repr, prefixes))} only"
    message = f"sends {uploads if prefixes else 'no events to this queue'}"
    rule = json.dumps({"QueueArn": arn, "Events": [_CREATED, _RESTORED[0]]})
    remedy = (
        "add to the QueueConfigurations that aws s3api get-bucket-notification-configuration gives, and put "
        f"all of them back, because a put replaces all: {rule}"
    )
    return Finding("notification", Level.FAULT, subject, message, remedy)


def _suffixes(subject: str, rules: Sequence[Rule]) -> Iterator[Finding]:
    """Judge which keys pass the rules' suffixes."""
    result = keys.result_key("a.pdf")
    for rule in rules:
        if rule.suffix and result.endswith(rule.suffix):
            message = f"its rule {rule.name} is for keys that end in {rule.suffix!r}: results, not documents"
            remedy = "remove the suffix, or make it one of documents; send events for results to other queues"
            yield Finding("results", Level.FAULT, subject, message, remedy)
    suffixes = sorted(rule.suffix for rule in rules)
    if "" in suffixes:
        message = "results come back as events, each of which costs a receive and a delete, and no more"
        remedy = "nothing is wrong; rules with suffixes (.pdf, .PDF, .png, …, one each) would save that"
        yield Finding("results", Level.WARNING, subject, message, remedy)
    elif suffixes:
        missing = [name for name in sorted(formats.EXTENSIONS) if not f".{name}".endswith(tuple(suffixes))]
        message = f"only keys that end in {', '.join(suffixes)} cause events (capitals matter)"
        level, remedy = (Level.WARNING, f"add rules for {', '.join(missing)}") if missing else (Level.OK, "")
        yield Finding("results", level, subject, message, remedy)


def bucket_region(bucket: str, region: str | None, queue_url: str) -> Iterator[Finding]:
    """Judge whether bucket and queue are in the same region, if both are known."""
    expected = region_of(queue_url)
    if region is not None and expected is not None and region != expected:
        message = f"is in {region}, the queue in {expected}: S3 sends events only to queues of its own region"
        yield Finding("notification", Level.FAULT, f"s3://{bucket}", message, f"use a queue in {region}")
