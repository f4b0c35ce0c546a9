"""`bucket-ocr status`: the states of results."""

import asyncio
import contextlib
import dataclasses
import json
import sys
import time
from collections import Counter
from collections.abc import Iterable
from typing import Annotated, Final

import typer
from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from consumer import settings
from consumer.cli.exits import ExitStatus
from consumer.cli.progress import counted
from consumer.cli.standard_error import complain, say
from consumer.cli.uris import location, shown
from consumer.service import inventory
from consumer.service.inventory import SourceState, State

_COLOURS: Final = {State.DONE: "green", State.PARTIAL: "yellow", State.FAILED: "red", State.STALE: "magenta"}

#: Of these a result is still to come.
_UNFINISHED: Final = {State.PENDING, State.WORKING, State.STALE}

#: What a watch shows of single documents, in this order.
_ON_SCREEN: Final = (State.WORKING, State.FAILED, State.STALE, State.PENDING)

#: While a watch looks for the first time, it shows how far it is after so many documents.
_MANY: Final = 1000

#: Shortest pause between two looks; a look that takes longer is followed by a pause as long.
_WATCH_PAUSE_S: Final = 2.0


def status(
    target: Annotated[str, typer.Argument(help="s3://bucket/key or s3://bucket/prefix.")],
    summary: Annotated[bool, typer.Option("--summary", help="The totals only.")] = False,
    watch: Annotated[
        bool,
        typer.Option("--watch", help="Go on until nothing is pending, working or stale; tell what changes."),
    ] = False,
    timeout: Annotated[
        float | None, typer.Option(help="With --watch: give up after so many seconds.", min=0)
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="JSON lines, the totals last.")] = False,
) -> None:
    """Show the state of each source's result.

    States: pending, working (parts of a long document are read), done, partial, failed, or stale (the
    source has changed since). Sources are the objects whose keys start with the given key and have a
    document's extension. Exit status 1 if a document failed or none was found.
    """
    bucket, prefix = location(target)
    if timeout is not None and not watch:
        raise typer.BadParameter("--timeout is for --watch")
    if watch:
        watched = _watch(bucket, prefix, summary=summary, as_json=as_json)
        try:
            totals = asyncio.run(asyncio.wait_for(watched, timeout))
        except TimeoutError:
            complain(f"not all results of {target} are there after {timeout:g} s")
            sys.exit(ExitStatus.TIMED_OUT)
    else:
        totals = asyncio.run(_status(bucket, prefix, summary=summary, as_json=as_json))
    # A watch for the totals has printed them.
    if not (watch and (summary or (sys.stdout.isatty() and not as_json))):
        _print_totals(totals, summary=summary, as_json=as_json)
    if not totals:
        complain(f"there is no document at {target}")
    if not totals or totals[State.FAILED]:
        sys.exit(ExitStatus.FAILED)


def _print_totals(totals: Counter[State], *, summary: bool, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps({"totals": {state.value: totals[state] for state in State}}))
    elif totals:
        (typer.echo if summary else say)(_counts(totals))


def _counts(totals: Counter[State]) -> str:
    counts = ", ".join(f"{totals[state]} {state.value}" for state in State if totals[state])
    return f"{totals.total()} document(s): {counts}"


async def _status(bucket: str, prefix: str, *, summary: bool, as_json: bool) -> Counter[State]:
    from consumer.app import object_store

    part_pages = settings.load(settings.PartSettings).part_pages
    totals: Counter[State] = Counter()
    async with object_store(connections=inventory.PARALLEL_HEADS) as store:
        found = inventory.states(store, bucket, prefix, part_pages)
        with counted("documents looked at", prints_lines=not summary) as add:
            async with contextlib.aclosing(found) as states:
                async for source in states:
                    totals[source.state] += 1
                    add(1)
                    if not summary:
                        _print_state(bucket, source, as_json=as_json)
    return totals


async def _watch(bucket: str, prefix: str, *, summary: bool, as_json: bool) -> Counter[State]:
    """Look again and again, until no result is to come."""
    from consumer.app import object_store

    part_pages = settings.load(settings.PartSettings).part_pages
    seen = inventory.SeenResults()
    shows = _Screen(bucket, summary=summary) if sys.stdout.isatty() and not as_json else None
    previous: dict[str, SourceState] = {}
    previous_totals: Counter[State] = Counter()
    async with object_store(connections=inventory.PARALLEL_HEADS) as store:
        with shows or contextlib.nullcontext():
            while True:
                began_at = time.monotonic()
                current: dict[str, SourceState] = {}
                async with contextlib.aclosing(
                    inventory.states(store, bucket, prefix, part_pages, seen)
                ) as states:
                    async for source in states:
                        current[source.key] = source
                        if shows is not None and not previous and len(current) % _MANY == 0:
                            shows.note_looked_at(len(current))
                        if shows is None and not summary and previous.get(source.key) != source:
                            _print_state(bucket, source, as_json=as_json)
                totals = Counter(source.state for source in current.values())
                if shows is not None:
                    shows.draw(current.values(), totals)
                elif summary and totals != previous_totals:
                    _print_totals(totals, summary=True, as_json=as_json)
                sys.stdout.flush()
                if not totals.keys() & _UNFINISHED:
                    return totals
                previous, previous_totals = current, totals
                await asyncio.sleep(max(_WATCH_PAUSE_S, time.monotonic() - began_at))


class _Screen:
    """The documents that are not done, as many as a terminal has lines for, drawn again and again."""

    def __init__(self, bucket: str, *, summary: bool) -> None:
        self._bucket = bucket
        self._summary = summary
        self._console = Console(highlight=False)
        self._live = Live(console=self._console, auto_refresh=False)

    def __enter__(self) -> None:
        self._live.start()

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def note_looked_at(self, count: int) -> None:
        """Show that the first look, which may take minutes, goes on."""
        self._live.update(Text(f"{count} documents looked at"), refresh=True)

    def draw(self, sources: Iterable[SourceState], totals: Counter[State]) -> None:
        """Show the totals, and below them what fails or is to come, long documents in work first."""
        lines = [Text(_counts(totals) if totals else "")]
        listed = [] if self._summary else [each for each in sources if each.state in _ON_SCREEN]
        listed.sort(key=lambda source: _ON_SCREEN.index(source.state))
        room = max(self._console.height - 3, 1)
        for source in listed[:room]:
            words = f"{source.state.value:<8} {_details(self._bucket, source)}"
            style = _COLOURS.get(source.state, "")
            lines.append(Text(words, style=style, no_wrap=True, overflow="ellipsis"))
        if len(listed) > room:
            lines.append(Text(f"… and {len(listed) - room} more"))
        self._live.update(Group(*lines), refresh=True)


def _print_state(bucket: str, source: SourceState, *, as_json: bool) -> None:
    if as_json:
        facts = {"source": f"s3://{bucket}/{source.key}", "state": source.state.value}
        more = dataclasses.asdict(source.progress) if source.progress else {}
        more |= {"code": source.code} if source.code else {}
        typer.echo(json.dumps(facts | more, ensure_ascii=False))
    else:
        label = typer.style(f"{source.state.value:<8}", fg=_COLOURS.get(source.state))
        typer.echo(f"{label} {_details(bucket, source)}")


def _details(bucket: str, source: SourceState) -> str:
    words = [source.progress and str(source.progress), f"s3://{bucket}/{source.key}", source.code]
    return " ".join(shown(word) for word in words if word)
