"""All that must be right for documents to be read, looked at in turn; a fault does not end that."""

import asyncio
import json
import os
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Final

from consumer import settings
from consumer.aws import client as aws
from consumer.doctor import checks
from consumer.doctor.checks import Finding, Level
from consumer.doctor.inspect import AwsInspector, LookupDenied, cloud
from consumer.domain.errors import SettingsError
from consumer.processes.layout import ProcessLayout
from consumer.settings import Settings

#: With less, documents wait for each other's pages.
_LEAST_ROOM_BYTES: Final = 1024**3

_MODELS_DEADLINE_S: Final = 120.0


async def examine(options: Settings, bucket: str | None, prefix: str) -> AsyncIterator[Finding]:
    """Look at everything; `bucket`: whose uploads shall be read, None for those that the queue admits.

    Raises UnavailableError where a service does not answer, SettingsError where none can be asked.
    """
    for finding in _settings():
        yield finding
    folder = options.work_dir or Path(tempfile.gettempdir())
    try:
        layout = ProcessLayout.of(options, folder)
    except SettingsError as error:
        name, _, rest = str(error).partition(":")
        yield Finding("engine", Level.FAULT, name, rest.strip())
    else:
        yield _engine(layout)
        if layout.engine.name == "pp-structurev3":
            async for finding in _models():
                yield finding
    yield _work_folder(folder)
    async with cloud() as there:
        yield checks.region(options.queue_url, aws.configured_region())
        async for finding in _queue(options.queue_url, there, bucket, prefix):
            yield finding
        if options.completion_topic_arn is not None:
            yield await _topic(options.completion_topic_arn, there)


def _settings() -> Iterator[Finding]:
    unknown = settings.unknown()
    for name in unknown:
        yield Finding("settings", Level.WARNING, name, "is no setting, and does nothing", "see .env.example")
    if not unknown:
        yield Finding("settings", Level.OK, "BUCKET_OCR_*", "can be understood")


def _engine(layout: ProcessLayout) -> Finding:
    capacity = layout.capacity
    message = (
        f"{len(capacity.engines)} engine process(es) on {', '.join(capacity.devices)}, "
        f"{capacity.renderers} for rendering, {capacity.slots} messages at once"
    )
    return Finding("engine", Level.OK, layout.engine.name, message)


def _work_folder(folder: Path) -> Finding:
    free_bytes = shutil.disk_usage(folder).free
    if not os.access(folder, os.W_OK):
        message = "cannot be written to"
        return Finding(
            "work folder", Level.FAULT, str(folder), message, "set BUCKET_OCR_WORK_DIR to one that can"
        )
    if free_bytes < _LEAST_ROOM_BYTES:
        message = f"has room for {free_bytes >> 20} MiB only"
        return Finding(
            "work folder", Level.WARNING, str(folder), message, "make room, or set BUCKET_OCR_WORK_DIR"
        )
    return Finding("work folder", Level.OK, str(folder), f"has room for {free_bytes >> 30} GiB")


async def _models() -> AsyncIterator[Finding]:
    """Judge the model files of PP-StructureV3, by the command that knows them."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-m", "consumer", "models", "list", "--json"),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(_MODELS_DEADLINE_S):
        listed, error = await process.communicate()
    if process.returncode:
        yield Finding("models", Level.FAULT, "configuration", error.decode().strip())
        return
    models = json.loads(listed)
    wrong = [model for model in models if model["state"] != "present"]
    for model in wrong:
        remedy = "bucket-ocr models pull"
        yield Finding("models", Level.FAULT, model["folder"], f"{model['name']} is {model['state']}", remedy)
    if not wrong:
        yield Finding(
            "models", Level.OK, f"{len(models)} models", "are there; `bucket-ocr models verify` reads them"
        )


async def _queue(url: str, there: AwsInspector, bucket: str | None, prefix: str) -> AsyncIterator[Finding]:
    attributes = await there.queue(url)
    if isinstance(attributes, LookupDenied):
        remedy = "see BUCKET_OCR_QUEUE_URL, AWS_REGION and the account"
        yield _refused("queue", url, attributes, "sqs:GetQueueAttributes", remedy)
        return
    for finding in checks.queue(url, attributes):
        yield finding
    dead_letters = None
    if (arn := checks.dead_letter_arn(attributes)) is not None:
        # In the same account and region, or SQS would not have it.
        dead_letters = await there.queue(f"{url.rpartition('/')[0]}/{arn.rpartition(':')[2]}")
    if isinstance(dead_letters, LookupDenied) and not dead_letters.is_missing:
        yield _refused("redrive", arn or "", dead_letters, "sqs:GetQueueAttributes", "")
    else:
        known = None if isinstance(dead_letters, LookupDenied) else dead_letters
        for finding in checks.redrive(url, attributes, known):
            yield finding
    watched = [bucket] if bucket is not None else checks.buckets(attributes)
    if not watched:
        message = "has a policy that names no bucket"
        yield Finding("policy", Level.FAULT, url, message, "name yours: bucket-ocr doctor s3://bucket/prefix")
    for each in watched:
        yield checks.policy(url, attributes, each)
        async for finding in _bucket(each, prefix, there, url, attributes.get("QueueArn", "")):
            yield finding


async def _bucket(
    bucket: str, prefix: str, there: AwsInspector, queue_url: str, queue_arn: str
) -> AsyncIterator[Finding]:
    region = await there.region(bucket)
    if isinstance(region, LookupDenied):
        remedy = "create it, or see its name"
        yield _refused("notification", f"s3://{bucket}", region, "s3:ListBucket", remedy)
        return
    if (misplaced := checks.placed(bucket, region, queue_url)) is not None:
        yield misplaced
    configuration = await there.notification(bucket)
    if isinstance(configuration, LookupDenied):
        yield _refused("notification", f"s3://{bucket}", configuration, "s3:GetBucketNotification", "")
        return
    for finding in checks.notification(bucket, prefix, configuration, queue_arn):
        yield finding


async def _topic(arn: str, there: AwsInspector) -> Finding:
    answer = await there.topic(arn)
    if isinstance(answer, LookupDenied):
        remedy = "see BUCKET_OCR_COMPLETION_TOPIC_ARN: without the topic no message is ever finished"
        return _refused("topic", arn, answer, "sns:GetTopicAttributes", remedy)
    return Finding("topic", Level.OK, arn, "is there")


def _refused(check: str, subject: str, refusal: LookupDenied, permission: str, remedy: str) -> Finding:
    if refusal.is_missing:
        return Finding(check, Level.FAULT, subject, "does not exist", remedy)
    message = f"may not be looked at, so nothing is known of it ({refusal.reason})"
    return Finding(check, Level.WARNING, subject, message, f"allow {permission} to whoever runs this")
