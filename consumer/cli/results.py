"""`bucket-ocr get` and `bucket-ocr status`: results of documents."""

import asyncio
import json
import sys
from collections import Counter
from typing import Annotated

import typer
from pydantic import ValidationError

from consumer.cli.exits import ExitStatus
from consumer.cli.uris import location, shown
from consumer.domain import keys
from consumer.domain.result import ResultDocument
from consumer.service import inventory
from consumer.service.inventory import State

_COLOURS = {State.DONE: "green", State.PARTIAL: "yellow", State.FAILED: "red", State.STALE: "magenta"}


def get(
    source: Annotated[str, typer.Argument(help="s3://bucket/key of the source.")],
    text: Annotated[bool, typer.Option("--text", help="The text, a form feed between pages.")] = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="The markdown of all pages.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="The whole result document (default).")] = False,
) -> None:
    """Print the result of a source. Exit status 1 if there is none, or if the document failed."""
    if text + markdown + as_json > 1:
        raise typer.BadParameter("choose one of --text, --markdown and --json")
    bucket, key = location(source)
    if not key:
        raise typer.BadParameter(f"{source} names no object")
    body = asyncio.run(_read_result(bucket, key))
    if body is None:
        typer.echo(f"bucket-ocr: {source} has no result (yet): see `bucket-ocr status {source}`", err=True)
        sys.exit(ExitStatus.FAILED)
    try:
        document = ResultDocument.model_validate_json(body)
    except ValidationError as error:
        typer.echo(f"bucket-ocr: {keys.result_key(source)} is no result document", err=True)
        raise typer.Exit(ExitStatus.FAILED) from error
    if text:
        typer.echo(_text(document))
    elif markdown:
        typer.echo("\n\n".join(page.markdown for page in document.pages))
    else:
        typer.echo(body.decode())
    if document.error is not None:
        typer.echo(f"bucket-ocr: {document.error.code.value}: {document.error.message}", err=True)
        sys.exit(ExitStatus.FAILED)


async def _read_result(bucket: str, key: str) -> bytes | None:
    from consumer.app import object_store

    async with object_store() as store:
        return await store.read(bucket, keys.result_key(key))


def _text(document: ResultDocument) -> str:
    pages = {page.page_number: list[str]() for page in document.pages}
    for line in document.detections:
        pages[line.page_number].append(line.text)
    return "\f".join("\n".join(lines) + "\n" for lines in pages.values()).rstrip("\n")


def status(
    target: Annotated[str, typer.Argument(help="s3://bucket/key or s3://bucket/prefix.")],
    as_json: Annotated[bool, typer.Option("--json", help="JSON lines, the totals last.")] = False,
) -> None:
    """Show the state of each source's result.

    States: pending, done, partial, failed, or stale (the source has changed since). Sources are the
    objects whose keys start with the given key and have a document's extension. Exit status 1 if a document
    failed or none was found.
    """
    bucket, prefix = location(target)
    totals = asyncio.run(_status(bucket, prefix, as_json=as_json))
    if not totals:
        typer.echo(f"bucket-ocr: there is no document at {target}", err=True)
    if not totals or totals[State.FAILED]:
        sys.exit(ExitStatus.FAILED)


async def _status(bucket: str, prefix: str, *, as_json: bool) -> Counter[State]:
    from consumer.app import object_store

    totals: Counter[State] = Counter()
    async with object_store(connections=inventory.PARALLEL_HEADS) as store:
        async for key, state in inventory.states(store, bucket, prefix):
            totals[state] += 1
            uri = f"s3://{bucket}/{key}"
            if as_json:
                typer.echo(json.dumps({"source": uri, "state": state.value}, ensure_ascii=False))
            else:
                typer.echo(f"{typer.style(f'{state.value:<8}', fg=_COLOURS.get(state))} {shown(uri)}")
    if as_json:
        typer.echo(json.dumps({"totals": {state.value: totals[state] for state in State}}))
    elif totals:
        counts = ", ".join(f"{totals[state]} {state.value}" for state in State if totals[state])
        typer.echo(f"{totals.total()} document(s): {counts}", err=True)
    return totals
