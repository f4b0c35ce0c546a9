"""`bucket-ocr get` and `bucket-ocr status`: results of documents."""

import asyncio
import contextlib
import dataclasses
import json
import sys
from collections import Counter
from typing import Annotated, Literal

import typer
from rich.console import Console
from rich.progress import Progress, SpinnerColumn

from consumer import settings
from consumer.cli.exits import ExitStatus
from consumer.cli.uris import location, shown
from consumer.domain import keys
from consumer.domain.errors import SourceChangedError, SourceGoneError, TransientError
from consumer.service import inventory
from consumer.service.inventory import SourceState, State

_COLOURS = {State.DONE: "green", State.PARTIAL: "yellow", State.FAILED: "red", State.STALE: "magenta"}


#: How a result is printed.
Form = Literal["json", "markdown", "text", "csv"]


def get(
    source: Annotated[str, typer.Argument(help="s3://bucket/key of the source.")],
    text: Annotated[bool, typer.Option("--text", help="The text, a form feed between pages.")] = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="The markdown of all pages.")] = False,
    csv: Annotated[
        bool, typer.Option("--csv", help="The tables as CSV, an empty line between them.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="The whole result document (default).")] = False,
) -> None:
    """Print the result of a source. Exit status 1 if there is none, or if the document failed."""
    if text + markdown + csv + as_json > 1:
        raise typer.BadParameter("choose one of --text, --markdown, --csv and --json")
    bucket, key = location(source)
    if not key:
        raise typer.BadParameter(f"{source} names no object")
    if keys.is_own_output(key):
        raise typer.BadParameter(f"{source} is an output: name its source, or copy it with `aws s3 cp`")
    form: Form = "text" if text else "markdown" if markdown else "csv" if csv else "json"
    error = asyncio.run(_print_result(bucket, key, form))
    if error is not None:
        typer.echo(f"bucket-ocr: {error}", err=True)
        sys.exit(ExitStatus.FAILED)


async def _print_result(bucket: str, key: str, form: Form) -> str | None:
    """Copy a result to standard output as it comes; returns what is wrong with it."""
    from consumer.app import object_store
    from consumer.cli.result_stream import NoResultError, open_stream

    uri, result_key = f"s3://{bucket}/{key}", keys.result_key(key)
    async with object_store() as store:
        info = await store.head(bucket, result_key)
        if info is None:
            return f"{uri} has no result (yet): see `bucket-ocr status {uri}`"
        # The ETag says enough; to name a version takes a permission of its own.
        source = info.source.model_copy(update={"version_id": None})
        try:
            async with contextlib.aclosing(store.chunks(source)) as chunks:
                result = await open_stream(chunks)
                forms = {"json": result.json, "markdown": result.markdown}
                forms |= {"text": result.text, "csv": result.csv}
                async for chunk in forms[form]():
                    # In a thread: a reader that pauses must not stop the connection.
                    await asyncio.to_thread(_write, chunk)
        except NoResultError:
            return f"{result_key} is no result document"
        except (SourceChangedError, SourceGoneError) as error:
            raise TransientError(f"{uri}: its result was replaced meanwhile: get it again") from error
    return f"{result.error.code.value}: {result.error.message}" if result.error else None


def _write(chunk: bytes) -> None:
    sys.stdout.buffer.write(chunk)
    sys.stdout.buffer.flush()


def status(
    target: Annotated[str, typer.Argument(help="s3://bucket/key or s3://bucket/prefix.")],
    summary: Annotated[bool, typer.Option("--summary", help="The totals only.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="JSON lines, the totals last.")] = False,
) -> None:
    """Show the state of each source's result.

    States: pending, working (parts of a long document are read), done, partial, failed, or stale (the
    source has changed since). Sources are the objects whose keys start with the given key and have a
    document's extension. Exit status 1 if a document failed or none was found.
    """
    bucket, prefix = location(target)
    totals = asyncio.run(_status(bucket, prefix, summary=summary, as_json=as_json))
    counts = ", ".join(f"{totals[state]} {state.value}" for state in State if totals[state])
    if as_json:
        typer.echo(json.dumps({"totals": {state.value: totals[state] for state in State}}))
    elif totals:
        typer.echo(f"{totals.total()} document(s): {counts}", err=not summary)
    if not totals:
        typer.echo(f"bucket-ocr: there is no document at {target}", err=True)
    if not totals or totals[State.FAILED]:
        sys.exit(ExitStatus.FAILED)


async def _status(bucket: str, prefix: str, *, summary: bool, as_json: bool) -> Counter[State]:
    from consumer.app import object_store

    part_pages = settings.load(settings.PartSettings).part_pages
    totals: Counter[State] = Counter()
    console = Console(stderr=True)
    # Lines on a terminal are progress enough.
    is_seen = console.is_terminal and (summary or not sys.stdout.isatty())
    bar = Progress(
        SpinnerColumn(), "{task.completed} documents", console=console, disable=not is_seen, transient=True
    )
    async with object_store(connections=inventory.PARALLEL_HEADS) as store:
        found = inventory.states(store, bucket, prefix, part_pages)
        with bar:
            task = bar.add_task("", total=None)
            async with contextlib.aclosing(found) as states:
                async for source in states:
                    totals[source.state] += 1
                    bar.advance(task)
                    if not summary:
                        _print_state(bucket, source, as_json=as_json)
    return totals


def _print_state(bucket: str, source: SourceState, *, as_json: bool) -> None:
    key, state, progress = source
    uri = f"s3://{bucket}/{key}"
    if as_json:
        more = dataclasses.asdict(progress) if progress else {}
        typer.echo(json.dumps({"source": uri, "state": state.value, **more}, ensure_ascii=False))
    else:
        label = typer.style(f"{state.value:<8}", fg=_COLOURS.get(state))
        typer.echo(f"{label} {f'{progress} ' if progress else ''}{shown(uri)}")
