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

from consumer.cli import exits
from consumer.cli.uris import location, shown
from consumer.domain import formats, keys
from consumer.domain.identity import ResultHead
from consumer.domain.result import Status
from consumer.ports import ObjectStore

#: Between two looks at a result that is not there yet.
_MIN_PAUSE_S = 0.5


@dataclass(frozen=True, slots=True)
class _Upload:
    path: Path
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


async def _submit(targets: dict[Path, str], bucket: str, *, wait_s: float | None, as_json: bool) -> int:
    from consumer.app import object_store

    # On a terminal the bar and the outcomes share one console, which keeps them apart.
    console = Console(stderr=not sys.stdout.isatty(), highlight=False)
    async with object_store() as store:
        with Progress(console=console, disable=not console.is_terminal, transient=True) as bar:
            printer = _Printer(console if sys.stdout.isatty() else None, as_json=as_json)
            uploads = []
            for path, key in bar.track(targets.items(), description="uploading"):
                found = _format(path)
                content_type = found.value if found else "application/octet-stream"
                etag = await store.upload(path, bucket, key, content_type)
                uploads.append(_Upload(path, bucket, key, etag))
            if wait_s is None:
                for upload in uploads:
                    printer.line(upload, "uploaded")
                return 0
            # A look at each result costs a request: with many, each is looked at less often.
            pause_s = max(_MIN_PAUSE_S, len(uploads) / 100)
            reading = bar.add_task("reading", total=len(uploads))
            statuses: list[Status] = []
            try:
                async with asyncio.timeout(wait_s), asyncio.TaskGroup() as group:

                    async def follow(upload: _Upload) -> None:
                        status = await _status(store, upload, pause_s)
                        statuses.append(status)
                        printer.line(upload, status.value)
                        bar.advance(reading)

                    for upload in uploads:
                        group.create_task(follow(upload), name=upload.key)
            except TimeoutError:
                missing = len(uploads) - len(statuses)
                typer.echo(f"bucket-ocr: no result of {missing} document(s) after {wait_s:g} s", err=True)
                return exits.TIMED_OUT
    return exits.FAILED if Status.FAILURE in statuses else 0


async def _status(store: ObjectStore, upload: _Upload, pause_s: float) -> Status:
    """Wait until the result is one of the bytes that were uploaded."""
    while True:
        head = await store.head(upload.bucket, keys.result_key(upload.key))
        result = head and ResultHead.from_metadata(head.source.etag, head.metadata)
        if result and result.source_etag == upload.etag:
            return result.status
        await asyncio.sleep(pause_s)


def _format(path: Path) -> formats.Format | None:
    with path.open("rb") as file:
        return formats.sniff(file.read(formats.SNIFF_BYTES))


@dataclass(frozen=True, slots=True)
class _Printer:
    """Prints outcomes to standard output, through the `console` of a progress bar if that is there too."""

    console: Console | None
    as_json: bool

    def line(self, upload: _Upload, outcome: str) -> None:
        uri = f"s3://{upload.bucket}/{upload.key}"
        if self.as_json:
            facts = {"source": uri, "result": keys.result_key(uri), "etag": upload.etag, "status": outcome}
            text = json.dumps(facts)
        else:
            text = f"{outcome:<8} {shown(uri)}"
        if self.console is None:
            typer.echo(text)
        else:
            self.console.print(text, markup=False, soft_wrap=True)
