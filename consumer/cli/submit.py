"""`bucket-ocr submit`: upload documents, and wait for their results."""

import asyncio
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress

from consumer.cli.exits import ExitStatus
from consumer.cli.uris import location, shown
from consumer.domain import formats, keys
from consumer.domain.result import Status
from consumer.ports import ObjectStore
from consumer.service import inventory

#: Shortest pause between two requests for the same result.
_MIN_PAUSE_S = 0.5


@dataclass(frozen=True, slots=True)
class _Upload:
    bucket: str
    key: str
    etag: str


def submit(
    files: Annotated[list[Path], typer.Argument(help="Documents to upload.", exists=True, dir_okay=False)],
    target: Annotated[str, typer.Argument(help="s3://bucket/prefix/, or s3://bucket/key for one file.")],
    wait: Annotated[bool, typer.Option("--wait", help="Print each outcome as it comes.")] = False,
    timeout: Annotated[float, typer.Option(help="With --wait: give up after so many seconds.", min=0)] = 600,
    as_json: Annotated[bool, typer.Option("--json", help="Outcomes as JSON lines.")] = False,
) -> None:
    """Upload documents; with --wait, wait until each has its result.

    A target that ends with / (or names only a bucket) is a folder: each file keeps its name there.
    """
    bucket, key = location(target)
    if key and not key.endswith("/") and len(files) > 1:
        raise typer.BadParameter(f"{target} names one object: end it with / to upload {len(files)} files")
    targets = {path: key + path.name if not key or key.endswith("/") else key for path in files}
    if len(set(targets.values())) < len(files):
        raise typer.BadParameter("two files have the same name: upload them to different prefixes")
    for path, target_key in targets.items():
        if not _may_be_a_source(target_key):
            raise typer.BadParameter(f"{shown(target_key)} is not a name that a source may have")
        if wait and not formats.has_source_extension(target_key) and _format(path) is None:
            raise typer.BadParameter(f"{path} is none of the formats that are read: it would get no result")
    sys.exit(asyncio.run(_submit(targets, bucket, wait_s=timeout if wait else None, as_json=as_json)))


def _may_be_a_source(key: str) -> bool:
    try:
        return not keys.is_own_output(key) and not keys.is_too_long(key)
    except UnicodeEncodeError:
        return False


async def _submit(
    targets: dict[Path, str], bucket: str, *, wait_s: float | None, as_json: bool
) -> ExitStatus:
    from consumer.app import object_store

    console = Console(stderr=True, highlight=False, soft_wrap=True)
    is_hidden = not console.is_terminal
    # On a terminal the outcomes are printed above the bar; elsewhere they stay on standard output.
    bar = Progress(console=console, disable=is_hidden, transient=True, redirect_stdout=sys.stdout.isatty())
    async with object_store() as store:
        with bar:
            uploads = []
            for path, key in bar.track(targets.items(), description="uploading"):
                etag = await store.upload(path, bucket, key, _format(path) or "application/octet-stream")
                uploads.append(_Upload(bucket, key, etag))
            if wait_s is None:
                for upload in uploads:
                    _show(upload, "uploaded", as_json=as_json)
                return ExitStatus.DONE
            return await _follow(store, uploads, wait_s, bar, as_json=as_json)


async def _follow(
    store: ObjectStore, uploads: list[_Upload], wait_s: float, bar: Progress, *, as_json: bool
) -> ExitStatus:
    """Print each outcome as it comes, for at most `wait_s` seconds."""
    # With many documents each is asked for less often: about 100 requests a second in all.
    pause_s = max(_MIN_PAUSE_S, len(uploads) / 100)
    task = bar.add_task("reading", total=len(uploads))
    statuses: list[Status] = []

    async def follow(upload: _Upload) -> None:
        status = await _status(store, upload, pause_s)
        statuses.append(status)
        _show(upload, status.value, as_json=as_json)
        bar.advance(task)

    try:
        async with asyncio.timeout(wait_s), asyncio.TaskGroup() as group:
            for upload in uploads:
                group.create_task(follow(upload), name=upload.key)
    except TimeoutError:
        missing = len(uploads) - len(statuses)
        typer.echo(f"bucket-ocr: no result of {missing} document(s) after {wait_s:g} s", err=True)
        return ExitStatus.TIMED_OUT
    return ExitStatus.FAILED if Status.FAILURE in statuses else ExitStatus.DONE


async def _status(store: ObjectStore, upload: _Upload, pause_s: float) -> Status:
    """Wait until the result is one of the uploaded bytes."""
    while True:
        result = await inventory.result_head(store, upload.bucket, upload.key)
        if result is not None and result.source_etag == upload.etag:
            return result.status
        await asyncio.sleep(pause_s)


def _format(path: Path) -> formats.Format | None:
    with path.open("rb") as file:
        return formats.sniff(file.read(formats.SNIFF_BYTES))


def _show(upload: _Upload, outcome: str, *, as_json: bool) -> None:
    uri = f"s3://{upload.bucket}/{upload.key}"
    facts = {"source": uri, "result": keys.result_key(uri), "etag": upload.etag, "status": outcome}
    line = json.dumps(facts) if as_json else f"{outcome:<8} {shown(uri)}"
    # Without the file, typer would write past the bar.
    typer.echo(line, file=sys.stdout)
