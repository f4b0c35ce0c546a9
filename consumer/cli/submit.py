"""`bucket-ocr submit`: upload documents, and wait for their results."""

import asyncio
import json
import sys
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
            etags = {}
            for path, key in bar.track(targets.items(), description="uploading"):
                content_type = _format(path) or "application/octet-stream"
                etags[key] = await store.upload(path, bucket, key, content_type)
            if wait_s is None:
                for key, etag in etags.items():
                    _show(bucket, key, etag, "uploaded", as_json=as_json)
                return ExitStatus.DONE
            return await _follow(store, bucket, etags, wait_s, bar, as_json=as_json)


async def _follow(  # noqa: PLR0913 - a function so that the one above stays readable
    store: ObjectStore, bucket: str, etags: dict[str, str], wait_s: float, bar: Progress, *, as_json: bool
) -> ExitStatus:
    """Print each outcome as it comes, for at most `wait_s` seconds. `etags`: of the uploads, by key."""
    # With many documents each is asked for less often: about 100 requests a second in all.
    pause_s = max(_MIN_PAUSE_S, len(etags) / 100)
    task = bar.add_task("reading", total=len(etags))
    statuses: list[Status] = []

    async def follow(key: str, etag: str) -> None:
        while True:
            result = await inventory.result_head(store, bucket, key)
            # Not one of older bytes.
            if result is not None and result.source_etag == etag:
                break
            await asyncio.sleep(pause_s)
        statuses.append(result.status)
        _show(bucket, key, etag, result.status.value, as_json=as_json)
        bar.advance(task)

    try:
        async with asyncio.timeout(wait_s), asyncio.TaskGroup() as group:
            for key, etag in etags.items():
                group.create_task(follow(key, etag), name=key)
    except TimeoutError:
        missing = len(etags) - len(statuses)
        typer.echo(f"bucket-ocr: no result of {missing} document(s) after {wait_s:g} s", err=True)
        return ExitStatus.TIMED_OUT
    return ExitStatus.FAILED if Status.FAILURE in statuses else ExitStatus.DONE


def _format(path: Path) -> formats.Format | None:
    with path.open("rb") as file:
        return formats.sniff(file.read(formats.SNIFF_BYTES))


def _show(bucket: str, key: str, etag: str, outcome: str, *, as_json: bool) -> None:
    uri = f"s3://{bucket}/{key}"
    facts = {"source": uri, "result": keys.result_key(uri), "etag": etag, "status": outcome}
    line = json.dumps(facts) if as_json else f"{outcome:<8} {shown(uri)}"
    # Without the file, typer would write past the bar.
    typer.echo(line, file=sys.stdout)
