"""The doctor's checks of this machine and of AWS, one after the other; a fault does not end them.

A check is a coroutine from a `Context` to findings, and an entry of `CHECKS`.
"""

import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from consumer import settings
from consumer.aws import client as aws
from consumer.aws.s3 import encryption_headers
from consumer.doctor import checks, gpu, protection, writes
from consumer.doctor.checks import Attributes, Finding, Level
from consumer.doctor.inspect import AwsInspector
from consumer.domain.errors import HostError, SettingsError
from consumer.domain.languages import ALSO_IN_WHEEL, SHIPPED, group_of
from consumer.engines import EngineSpec
from consumer.models import manifest
from consumer.models.model import Model
from consumer.processes.layout import ProcessLayout
from consumer.processes.slot import running_slots
from consumer.settings import Settings

#: With less, documents wait for each other's pages.
_MIN_FREE_BYTES: Final = 1024**3


@dataclass(frozen=True, slots=True)
class Context:
    """Input of a check.

    `bucket`: the one whose uploads are to be read; None for all that the queue's policy names. `prefix`: the
    start of the keys of those uploads. `writes`: whether to prove that the caller may write.
    """

    options: Settings
    bucket: str | None
    prefix: str
    inspector: AwsInspector
    writes: bool = False

    @property
    def work_dir(self) -> Path:
        """Folder of downloads and page images."""
        return self.options.work_dir or Path(tempfile.gettempdir())


Check = Callable[[Context], Awaitable[Iterable[Finding]]]


async def check_settings(_: Context) -> Iterable[Finding]:
    """Look for misspelt names."""
    ok = Finding("settings", Level.OK, "BUCKET_OCR_*", "are all known")
    message, remedy = "is no setting, and does nothing", "see .env.example"
    return [Finding("settings", Level.WARNING, name, message, remedy) for name in settings.unknown()] or [ok]


async def check_engine(context: Context) -> Iterable[Finding]:
    """Look for the engine, its devices and their wheels, and its models if they are separate files."""
    try:
        layout = ProcessLayout.of(context.options, context.work_dir)
    except SettingsError as error:
        name, _, problem = str(error).partition(":")
        return [Finding("engine", Level.FAULT, name, problem.strip())]
    capacity = layout.capacity
    devices = ", ".join(capacity.devices)
    message = (
        f"{len(capacity.engines)} engine process(es) on {devices}, {capacity.renderers} for rendering, "
        f"{capacity.max_in_flight} messages at once"
    )
    findings = [Finding("engine", Level.OK, layout.engine.name, message)]
    findings += gpu.wheels(layout.engine, context.options.device, on_gpu=capacity.devices != ["cpu"])
    return findings + _models(layout.engine, context.options)


def _models(engine: EngineSpec, options: Settings) -> list[Finding]:
    """Look for the model files that the engine needs, without reading them."""
    try:
        needed = engine.models(options)
    except SettingsError as error:
        return [Finding("models", Level.FAULT, "configuration", str(error))]
    faults = [
        Finding(
            "models", Level.FAULT, str(model.folder), f"{model.name} is {condition}", manifest.remedy(model)
        )
        for model, condition in manifest.unusable(needed)
    ]
    if faults:
        return faults
    message = "are there; `bucket-ocr models verify` reads them"
    present = [Finding("models", Level.OK, f"{len(needed)} models", message)] if needed else []
    return [*present, _languages(engine, needed)]


def _languages(engine: EngineSpec, needed: Sequence[Model]) -> Finding:
    """Describe the languages that the engine reads."""
    roles = {model.role: model.name for model in needed}
    name = roles.get("text_recognition") or roles.get("recognition")
    group = SHIPPED if name is None else group_of(name)
    subject = name or f"the network of {engine.name} for text"
    reads = (
        "reads languages that are not known here"
        if group is None
        else f"reads {group.title} ({' '.join(group.codes)})"
    )
    if name is None:
        reads += f", and {ALSO_IN_WHEEL}"
    return Finding("languages", Level.OK, subject, f"{reads}; BUCKET_OCR_LANGUAGES chooses others")


async def check_sandbox(context: Context) -> Iterable[Finding]:
    """Start a render process, and see which walls stand round it."""
    mode = f"{settings.PREFIX}SANDBOX={context.options.sandbox}"
    try:
        slot = ProcessLayout.of(context.options, context.work_dir).renderers[0]
    except SettingsError:
        # The check of the engine tells of it.
        return []
    try:
        async with running_slots([slot]):
            walls = slot.process.walls if slot.process is not None else {}
    except (SettingsError, HostError) as error:
        return [Finding("sandbox", Level.FAULT, mode, f"a render process cannot be started: {error}")]
    if not walls:
        remedy = "set it to auto: a document that takes a process over may do what that may"
        return [Finding("sandbox", Level.WARNING, mode, "no walls round child processes", remedy)]
    missing = [f"{wall} does not stand: {why}" for wall, why in walls.items() if why]
    if missing:
        remedy = "infra/security.md says what is lost, and what a kernel and a runtime must allow"
        return [Finding("sandbox", Level.WARNING, mode, "; ".join(missing), remedy)]
    return [Finding("sandbox", Level.OK, mode, f"child processes are behind {', '.join(walls)}")]


async def check_work_dir(context: Context) -> Iterable[Finding]:
    """Look at access to the work folder, and at its free space."""
    folder = context.work_dir
    free_bytes = shutil.disk_usage(folder).free
    level, message, remedy = Level.OK, f"has {free_bytes >> 20:,} MiB of free space", ""
    if not os.access(folder, os.W_OK):
        level, message = Level.FAULT, "cannot be written to"
        remedy = "set BUCKET_OCR_WORK_DIR to a folder that can"
    elif free_bytes < _MIN_FREE_BYTES:
        level, remedy = Level.WARNING, "free some, or set BUCKET_OCR_WORK_DIR"
    return [Finding("work folder", level, str(folder), message, remedy)]


async def check_region(context: Context) -> Iterable[Finding]:
    """Compare the configured region with the queue's."""
    return [checks.region(context.options.queue_url, aws.configured_region())]


async def check_queue(context: Context) -> Iterable[Finding]:
    """Look at the queue, its dead-letter queue and policy, and at the notifications of its buckets."""
    url = context.options.queue_url
    remedy = "see BUCKET_OCR_QUEUE_URL, AWS_REGION and the account"
    attributes = await _attributes(context, url, _missing("queue", url, remedy))
    if isinstance(attributes, Finding):
        return [attributes]
    findings = [*checks.queue(url, attributes), *await _redrive(context, attributes)]
    buckets = [context.bucket] if context.bucket is not None else checks.buckets(attributes)
    if not buckets:
        remedy = "name yours: bucket-ocr doctor s3://bucket/prefix"
        findings.append(Finding("policy", Level.FAULT, url, "has a policy that names no bucket", remedy))
    for bucket in buckets:
        findings.append(checks.policy(url, attributes, bucket))
        findings += await _bucket(context, bucket, attributes.get("QueueArn", ""))
    if context.writes:
        findings.append(await writes.queue(context.inspector, url))
    return findings


async def _redrive(context: Context, attributes: Attributes) -> Iterable[Finding]:
    url, arn = context.options.queue_url, checks.dead_letter_arn(attributes)
    if arn is None:
        return [checks.no_dead_letters(url)]
    remedy = "create it, or correct the RedrivePolicy: until then failing messages are retried for days"
    # SQS accepts only one in the same account and region.
    dead_letter_url = f"{url.rpartition('/')[0]}/{arn.rpartition(':')[2]}"
    dead_letters = await _attributes(context, dead_letter_url, _missing("redrive", arn, remedy))
    if isinstance(dead_letters, Finding):
        return [dead_letters]
    return checks.redrive(url, attributes, arn, dead_letters)


async def _attributes(context: Context, queue_url: str, missing: Finding) -> Attributes | Finding:
    names = {"QueueUrl": queue_url, "AttributeNames": ["All"]}
    look_up = context.inspector.look_up
    response = await look_up(missing, "sqs:GetQueueAttributes", "get_queue_attributes", **names)
    return response if isinstance(response, Finding) else response.get("Attributes", {})


async def _bucket(context: Context, bucket: str, queue_arn: str) -> Iterable[Finding]:
    """Look at the bucket itself, its notifications, encryption and policy."""
    missing = _missing("notification", f"s3://{bucket}", "create it, or correct its name")
    look_up = context.inspector.look_up
    head = await look_up(missing, "s3:ListBucket", "head_bucket", Bucket=bucket)
    if isinstance(head, Finding):
        return [head]
    findings = list(checks.bucket_region(bucket, head.get("BucketRegion"), context.options.queue_url))
    operation = "get_bucket_notification_configuration"
    configuration = await look_up(missing, "s3:GetBucketNotification", operation, Bucket=bucket)
    if isinstance(configuration, Finding):
        findings.append(configuration)
    else:
        findings += checks.notification(bucket, context.prefix, configuration, queue_arn)
    findings += await _protection(context, bucket)
    if context.writes:
        encryption = encryption_headers(context.options.sse, context.options.sse_kms_key_id)
        proofs = writes.bucket(context.inspector, bucket, context.prefix, encryption)
        findings += [each async for each in proofs]
    return findings


async def _protection(context: Context, bucket: str) -> Iterable[Finding]:
    look_up, subject = context.inspector.look_up, f"s3://{bucket}"
    none = Finding("encryption", Level.OK, subject, "has no default but that of S3")
    permission = "s3:GetEncryptionConfiguration"
    encryption = await look_up(none, permission, "get_bucket_encryption", Bucket=bucket)
    if not isinstance(encryption, Finding):
        encryption = protection.encryption(bucket, encryption, context.options)
    open_to_all = Finding("bucket policy", Level.OK, subject, "has no policy")
    policy = await look_up(open_to_all, "s3:GetBucketPolicy", "get_bucket_policy", Bucket=bucket)
    if isinstance(policy, Finding):
        return [encryption, policy]
    return [encryption, *protection.policy(bucket, policy["Policy"], context.options.sse)]


async def check_topic(context: Context) -> Iterable[Finding]:
    """Look for the topic of completions, if there is one in the settings."""
    if (arn := context.options.completion_topic_arn) is None:
        return []
    remedy = "see BUCKET_OCR_COMPLETION_TOPIC_ARN: without the topic, messages of finished documents stay"
    missing = _missing("topic", arn, remedy)
    operation = "get_topic_attributes"
    topic = await context.inspector.look_up(missing, "sns:GetTopicAttributes", operation, TopicArn=arn)
    return [topic if isinstance(topic, Finding) else Finding("topic", Level.OK, arn, "is there")]


def _missing(check: str, subject: str, remedy: str) -> Finding:
    return Finding(check, Level.FAULT, subject, "does not exist", remedy)


#: Those of this machine come first; a service that cannot be asked is a finding.
CHECKS: Final[Sequence[Check]] = (
    check_settings,
    check_engine,
    check_sandbox,
    check_work_dir,
    check_region,
    check_queue,
    check_topic,
)


async def examine(
    options: Settings,
    bucket: str | None,
    prefix: str,
    checks: Sequence[Check] = CHECKS,
    *,
    writes: bool = False,
) -> AsyncIterator[Finding]:
    """Run the checks in turn; see `Context` for `bucket`, `prefix` and `writes`."""
    async with AsyncExitStack() as stack:
        context = Context(options, bucket, prefix, AwsInspector(stack), writes)
        for check in checks:
            for finding in await check(context):
                yield finding
