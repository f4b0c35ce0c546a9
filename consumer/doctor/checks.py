"""Whether queue and bucket are set up so that uploads reach the consumer: what is said of them, judged.

All that is judged comes as AWS tells it; nothing here asks.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import Any, Final

from consumer.domain import formats, keys

_S3: Final = "s3.amazonaws.com"
_SEND: Final = "sqs:SendMessage"

#: Receives are burned by consumers that are stopped, too.
_FEW_RECEIVES: Final = 3

_REGION: Final = re.compile(r"(?<=[/.])[a-z]{2}(?:-[a-z]+)+-\d(?=[/.])")

#: All ways in which an object comes to be.
_CREATED: Final = "s3:ObjectCreated:*"

_STORAGE: Final = "infra/storage.yaml sets it up"


class Level(StrEnum):
    """How bad it is: a fault keeps documents from being read, or loses sight of them."""

    OK = "ok"
    WARNING = "warning"
    FAULT = "fault"


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found when `check` was made of `subject`; `remedy` is what to do, empty where all is well."""

    check: str
    level: Level
    subject: str
    message: str
    remedy: str = ""


def region_of(queue_url: str) -> str | None:
    """Region that a queue's URL names; None where it names none."""
    found = _REGION.search(queue_url)
    return found[0] if found else None


def region(queue_url: str, ours: str | None) -> Finding:
    """Judge whether requests go to the region of the queue. `ours`: the one that is configured."""
    theirs = region_of(queue_url)
    if ours is None:
        return Finding(
            "region", Level.FAULT, "AWS_REGION", "is not set", f"export AWS_REGION={theirs or '…'}"
        )
    if theirs is not None and theirs != ours:
        message = f"is {ours}, and the queue is in {theirs}"
        return Finding("region", Level.FAULT, "AWS_REGION", message, f"export AWS_REGION={theirs}")
    return Finding("region", Level.OK, "AWS_REGION", f"is {ours}")


def queue(queue_url: str, attributes: Mapping[str, str]) -> Iterator[Finding]:
    """Judge the queue by its attributes."""
    if attributes.get("FifoQueue") == "true":
        message = "is a FIFO queue, to which S3 sends nothing"
        yield Finding("queue", Level.FAULT, queue_url, message, f"use a standard queue: {_STORAGE}")
    if attributes.get("KmsMasterKeyId") == "alias/aws/sqs":
        message = "is encrypted with the key alias/aws/sqs, which S3 may not use: its events are dropped"
        remedy = (
            f"aws sqs set-queue-attributes --queue-url {queue_url} "
            "--attributes KmsMasterKeyId=,SqsManagedSseEnabled=true"
        )
        yield Finding("queue", Level.FAULT, queue_url, message, remedy)
    waiting = attributes.get("ApproximateNumberOfMessages", "?")
    held = attributes.get("ApproximateNumberOfMessagesNotVisible", "?")
    yield Finding("queue", Level.OK, queue_url, f"is there: {waiting} message(s) waiting, {held} in work")


def dead_letter_arn(attributes: Mapping[str, str]) -> str | None:
    """ARN of the queue that takes what is given up; None where there is none."""
    arn = _redrive(attributes).get("deadLetterTargetArn")
    return arn if isinstance(arn, str) else None


def redrive(
    queue_url: str, attributes: Mapping[str, str], dead_letters: Mapping[str, str] | None
) -> Iterator[Finding]:
    """Judge what becomes of messages that fail. `dead_letters`: attributes of their queue, if it is there."""
    arn = dead_letter_arn(attributes)
    if arn is None:
        message = "has no dead-letter queue: what fails is tried for days, and then gone without a trace"
        policy = {"deadLetterTargetArn": "ARN of a queue for them", "maxReceiveCount": "10"}
        yield Finding("redrive", Level.FAULT, queue_url, message, _set_policy(queue_url, policy))
        return
    if dead_letters is None:
        message = "does not exist, so messages that fail are not given up"
        yield Finding("redrive", Level.FAULT, arn, message, "create it, or name another in the RedrivePolicy")
        return
    count = int(_redrive(attributes).get("maxReceiveCount", 0))
    if count < _FEW_RECEIVES:
        message = f"gives messages up after {count} receive(s), and a consumer that is stopped uses one up"
        policy = {"deadLetterTargetArn": arn, "maxReceiveCount": "10"}
        yield Finding("redrive", Level.WARNING, queue_url, message, _set_policy(queue_url, policy))
    kept_s = int(dead_letters.get("MessageRetentionPeriod", 0))
    if kept_s <= int(attributes.get("MessageRetentionPeriod", 0)):
        message = "keeps messages no longer than the queue, and their age counts from their first arrival"
        yield Finding("redrive", Level.WARNING, arn, message, "set its MessageRetentionPeriod to 1209600")
    if (given_up := dead_letters.get("ApproximateNumberOfMessages", "0")) != "0":
        message = f"holds {given_up} message(s) that were given up"
        yield Finding("redrive", Level.WARNING, arn, message, "redrive them when the cause is gone")
    else:
        yield Finding("redrive", Level.OK, arn, f"takes messages after {count} receives, and is empty")


def _redrive(attributes: Mapping[str, str]) -> Mapping[str, Any]:
    policy: Any = json.loads(attributes.get("RedrivePolicy", "{}"))
    return policy if isinstance(policy, dict) else {}


def _set_policy(queue_url: str, policy: Mapping[str, str]) -> str:
    attributes = json.dumps({"RedrivePolicy": json.dumps(policy)})
    return f"aws sqs set-queue-attributes --queue-url {queue_url} --attributes '{attributes}'"


def buckets(attributes: Mapping[str, str]) -> list[str]:
    """Names of the buckets that the queue's policy admits by name."""
    patterns = {pattern for statement in _admitting(attributes) for pattern in _sources(statement) or ()}
    names = [pattern.rpartition(":::")[2] for pattern in patterns if ":s3:::" in pattern]
    return sorted(name for name in names if name and not set("*?") & set(name))


def policy(queue_url: str, attributes: Mapping[str, str], bucket: str) -> Finding:
    """Judge whether S3 may send the bucket's events to the queue."""
    queue_arn = attributes.get("QueueArn", "")
    bucket_arn = f"arn:{queue_arn.split(':')[1] if queue_arn else 'aws'}:s3:::{bucket}"
    for statement in _admitting(attributes):
        patterns = _sources(statement)
        if patterns is None or any(fnmatchcase(bucket_arn, pattern) for pattern in patterns):
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


def _admitting(attributes: Mapping[str, str]) -> Iterator[Mapping[str, Any]]:
    """Statements that let S3 send to the queue, whatever their conditions."""
    document: Any = json.loads(attributes.get("Policy") or "{}")
    for statement in _listed(document.get("Statement")):
        principal = statement.get("Principal", {})
        who = ["*"] if principal == "*" else _listed(principal.get("Service")) + _listed(principal.get("AWS"))
        if (
            statement.get("Effect") == "Allow"
            and {_S3, "*"} & set(who)
            and any(fnmatchcase(_SEND.lower(), action.lower()) for action in _listed(statement.get("Action")))
            and any(
                fnmatchcase(attributes.get("QueueArn", ""), each)
                for each in _listed(statement.get("Resource"))
            )
        ):
            yield statement


def _sources(statement: Mapping[str, Any]) -> list[str] | None:
    """ARNs that the statement's conditions ask of the sender; None where they ask for none."""
    patterns = [
        pattern
        for values in statement.get("Condition", {}).values()
        for name, value in values.items()
        if name.lower() == "aws:sourcearn"
        for pattern in _listed(value)
    ]
    return patterns or None


def _listed(value: Any) -> list[Any]:
    """A policy may have a list of one without its brackets."""
    if value is None:
        return []
    return value if isinstance(value, list) else [value]


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule of a bucket's notification that sends to some queue or topic."""

    name: str
    target: str
    events: Sequence[str]
    prefix: str
    suffix: str

    @classmethod
    def all_of(cls, configuration: Mapping[str, Any]) -> Iterator["Rule"]:
        """The rules of a notification configuration, as GetBucketNotificationConfiguration tells it."""
        for kind, target in (("QueueConfigurations", "QueueArn"), ("TopicConfigurations", "TopicArn")):
            for rule in configuration.get(kind, ()):
                filters = rule.get("Filter", {}).get("Key", {}).get("FilterRules", ())
                named = {each["Name"].lower(): each["Value"] for each in filters}
                yield cls(
                    rule.get("Id", "?"),
                    rule[target],
                    rule.get("Events", ()),
                    named.get("prefix", ""),
                    named.get("suffix", ""),
                )

    @property
    def takes_all_uploads(self) -> bool:
        """Whether no way of uploading is left out."""
        return _CREATED in self.events


def notification(
    bucket: str, prefix: str, configuration: Mapping[str, Any], queue_arn: str
) -> Iterator[Finding]:
    """Judge whether uploads under `prefix` are told to the queue."""
    where = f"s3://{bucket}/{prefix}"
    rules = [rule for rule in Rule.all_of(configuration) if rule.target == queue_arn]
    covering = [rule for rule in rules if prefix.startswith(rule.prefix)]
    if not covering:
        yield _untold(where, configuration, queue_arn, [rule.prefix for rule in rules])
    elif not any(rule.takes_all_uploads for rule in covering):
        events = ", ".join(sorted({event for rule in covering for event in rule.events}))
        message = f"tells of {events} only: uploads of other kinds (multipart ones, copies) are missed"
        yield Finding("notification", Level.FAULT, where, message, f"make the event of the rule {_CREATED}")
    else:
        yield Finding("notification", Level.OK, where, "tells the queue of every upload")
    yield from _suffixes(where, covering)


def _untold(where: str, configuration: Mapping[str, Any], queue_arn: str, prefixes: Sequence[str]) -> Finding:
    topics = [rule.target for rule in Rule.all_of(configuration) if ":sns:" in rule.target]
    if topics or "EventBridgeConfiguration" in configuration:
        through = ", ".join(topics) or "EventBridge"
        message = f"tells {through}, and not this queue: whether that tells the queue is not looked at"
        return Finding(
            "notification", Level.WARNING, where, message, "upload something, and see if it is read"
        )
    rule = {"QueueArn": queue_arn, "Events": [_CREATED]}
    message = "tells this queue of no upload"
    if prefixes:
        message = f"tells this queue of uploads under {', '.join(map(repr, prefixes))} only"
    remedy = (
        "add to the QueueConfigurations that aws s3api get-bucket-notification-configuration gives, and put "
        f"all of them back, because a put replaces all: {json.dumps(rule)}"
    )
    return Finding("notification", Level.FAULT, where, message, remedy)


def _suffixes(where: str, rules: Iterable[Rule]) -> Iterator[Finding]:
    """Judge what the rules' suffixes let through."""
    result = keys.result_key("a.pdf")
    rules = list(rules)
    for rule in rules:
        if rule.suffix and result.endswith(rule.suffix):
            message = f"its rule {rule.name} is for keys that end in {rule.suffix!r}: results, not documents"
            remedy = "take the suffix away, or make it that of documents; tell other queues of results"
            yield Finding("results", Level.FAULT, where, message, remedy)
    if any(not rule.suffix for rule in rules):
        message = "results come back as events, each of which costs a receive and a delete, and no more"
        remedy = "nothing is wrong; rules with suffixes (.pdf, .PDF, .png, …, one each) would save that"
        yield Finding("results", Level.WARNING, where, message, remedy)
    elif rules:
        seen = ", ".join(sorted(rule.suffix for rule in rules))
        message = f"documents are seen only if their names end in {seen} (capitals matter)"
        missing = [each for each in sorted(formats.EXTENSIONS) if each not in seen]
        level = Level.WARNING if missing else Level.OK
        yield Finding(
            "results", level, where, message, f"add rules for {', '.join(missing)}" if missing else ""
        )


def placed(bucket: str, bucket_region: str | None, queue_url: str) -> Finding | None:
    """Judge whether bucket and queue are in the same region; None where that is not known."""
    theirs = region_of(queue_url)
    if bucket_region is None or theirs is None or bucket_region == theirs:
        return None
    message = f"is in {bucket_region}, the queue in {theirs}: S3 tells only queues of its own region"
    return Finding("notification", Level.FAULT, f"s3://{bucket}", message, f"use a queue in {bucket_region}")
