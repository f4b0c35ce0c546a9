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

from consumer import app
from consumer.cli.uris import location
from consumer.domain import formats, keys
from consumer.domain.identity import ResultHead
from consumer.domain.result import Status
from consumer.ports import ObjectStore

EXIT_FAILED = 1
EXIT_TIMED_OUT = 124

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
    for target_key in targets.values():
        if keys.is_own_output(target_key) or keys.is_too_long(target_key):
            raise typer.BadParameter(f"s3://{bucket}/{target_key} is not a name that a source may have")
    printer = _Printer(as_json=as_json)
    sys.exit(asyncio.run(_submit(targets, bucket, printer, wait_s=timeout if wait else None)))


async def _submit(targets: dict[Path, str], bucket: str, printer: "_Printer", wait_s: float | None) -> int:
    console = Console(stderr=True)
    async with app.object_store() as store:
        with Progress(console=console, disable=not console.is_terminal, transient=True) as bar:
            uploads = []
            for path, key in bar.track(targets.items(), description="uploading"):
                etag = await store.upload(path, bucket, key, _content_type(path))
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
                return EXIT_TIMED_OUT
    return EXIT_FAILED if Status.FAILURE in statuses else 0


async def _status(store: ObjectStore, upload: _Upload, pause_s: float) -> Status:
    """Wait until the result is one of the bytes that were uploaded."""
    while True:
        head = await store.head(upload.bucket, keys.result_key(upload.key))
        result = head and ResultHead.from_metadata(head.source.etag, head.metadata)
        if result and result.source_etag == upload.etag:
            return result.status
        await asyncio.sleep(pause_s)


def _content_type(path: Path) -> str:
    with path.open("rb") as file:
        found = formats.sniff(file.read(formats.SNIFF_BYTES))
    return found.value if found else "application/octet-stream"


@dataclass(frozen=True, slots=True)
class _Printer:
    as_json: bool

    def line(self, upload: _Upload, outcome: str) -> None:
        uri = f"s3://{upload.bucket}/{upload.key}"
        if self.as_json:
            facts = {"source": uri, "result": keys.result_key(uri), "etag": upload.etag, "status": outcome}
            typer.echo(json.dumps(facts, ensure_ascii=False))
        else:
            typer.echo(f"{outcome:<8} {uri}")
