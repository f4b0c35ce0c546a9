"""`bucket-ocr get` and `bucket-ocr status`: what became of documents."""

import asyncio
import json
import sys
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Iterator
from enum import StrEnum
from itertools import islice
from typing import Annotated, TypeVar

import typer
from pydantic import ValidationError

from consumer.cli import exits
from consumer.cli.uris import location, shown
from consumer.domain import formats, keys
from consumer.domain.identity import ResultHead
from consumer.domain.result import ResultDocument, Status

_Item = TypeVar("_Item")

#: HEAD requests under way at once.
_PARALLEL = 16


class View(StrEnum):
    """How `get` shows a result."""

    TEXT = "text"
    MARKDOWN = "markdown"
    JSON = "json"


def get(
    source: Annotated[str, typer.Argument(help="s3://bucket/key of the source.")],
    text: Annotated[
        bool, typer.Option("--text", help="The lines of text, a form feed between pages.")
    ] = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="The markdown of all pages.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="The whole result document (default).")] = False,
) -> None:
    """Print the result of a source. Exit status 1 where there is none, or where the document failed."""
    if text + markdown + as_json > 1:
        raise typer.BadParameter("choose one of --text, --markdown and --json")
    bucket, key = location(source)
    if not key:
        raise typer.BadParameter(f"{source} names no object")
    body = asyncio.run(_read_result(bucket, key))
    if body is None:
        typer.echo(f"bucket-ocr: {source} has no result (yet): see `bucket-ocr status {source}`", err=True)
        sys.exit(exits.FAILED)
    try:
        document = ResultDocument.model_validate_json(body)
    except ValidationError as error:
        typer.echo(f"bucket-ocr: what lies at {keys.result_key(source)} is no result document", err=True)
        raise typer.Exit(exits.FAILED) from error
    if text:
        typer.echo(_text(document))
    elif markdown:
        typer.echo("\n\n".join(page.markdown for page in document.pages))
    else:
        typer.echo(body.decode())
    if document.error is not None:
        typer.echo(f"bucket-ocr: {document.error.code.value}: {document.error.message}", err=True)
        sys.exit(exits.FAILED)


async def _read_result(bucket: str, key: str) -> bytes | None:
    from consumer.app import object_store

    async with object_store() as store:
        return await store.read(bucket, keys.result_key(key))


def _text(document: ResultDocument) -> str:
    pages = {page.page_number: list[str]() for page in document.pages}
    for line in document.detections:
        pages[line.page_number].append(line.text)
    return "\f".join("\n".join(lines) + "\n" for lines in pages.values()).rstrip("\n")


class State(StrEnum):
    """What `status` says of a source."""

    PENDING = "pending"
    DONE = "done"
    PARTIAL = "partial"
    FAILED = "failed"
    STALE = "stale"


_STATES = {Status.SUCCESS: State.DONE, Status.PARTIAL: State.PARTIAL, Status.FAILURE: State.FAILED}
_COLOURS = {State.DONE: "green", State.PARTIAL: "yellow", State.FAILED: "red", State.STALE: "magenta"}


def status(
    target: Annotated[str, typer.Argument(help="s3://bucket/key or s3://bucket/prefix.")],
    as_json: Annotated[bool, typer.Option("--json", help="JSON lines, the totals last.")] = False,
) -> None:
    """Tell which sources have their results.

    Per source: pending, done, partial, failed, or stale (the source has changed since). Sources are the
    objects whose names start with the given key and end like a document. Exit status 1 where a document
    failed or none was found.
    """
    bucket, prefix = location(target)
    totals = asyncio.run(_status(bucket, prefix, as_json=as_json))
    if not totals:
        typer.echo(f"bucket-ocr: there is no document at {target}", err=True)
    if not totals or totals[State.FAILED]:
        sys.exit(exits.FAILED)


async def _status(bucket: str, prefix: str, *, as_json: bool) -> Counter[State]:
    totals: Counter[State] = Counter()
    async for key, state in _states(bucket, prefix):
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


async def _states(bucket: str, prefix: str) -> AsyncIterator[tuple[str, State]]:
    """Every source under the prefix, in the order of the keys."""
    from consumer.app import object_store

    async with object_store(connections=_PARALLEL) as store:
        sources: dict[str, str] = {}
        results: set[str] = set()
        async for item in store.list(bucket, prefix):
            if keys.is_own_output(item.key):
                results.add(item.key)
            elif formats.has_source_extension(item.key):
                sources[item.key] = item.etag

        async def state(key: str, etag: str) -> tuple[str, State]:
            result_key = keys.result_key(key)
            head = await store.head(bucket, result_key) if result_key in results else None
            result = ResultHead.from_metadata(head.source.etag, head.metadata) if head else None
            if result is None:
                return key, State.PENDING
            return key, _STATES[result.status] if result.source_etag == etag else State.STALE

        for batch in _batched(sources.items(), _PARALLEL):
            for answer in await asyncio.gather(*(state(key, etag) for key, etag in batch)):
                yield answer


def _batched(items: Iterable[_Item], size: int) -> Iterator[tuple[_Item, ...]]:
    """Cut into tuples of `size` items; `itertools.batched` comes with Python 3.12."""
    iterator = iter(items)
    while batch := tuple(islice(iterator, size)):
        yield batch
