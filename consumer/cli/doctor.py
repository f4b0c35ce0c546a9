"""`bucket-ocr doctor`: what keeps documents from being read, and what to do."""

import asyncio
import dataclasses
import json
import sys
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from consumer import settings
from consumer.cli import exits
from consumer.cli.uris import location, shown
from consumer.doctor.checks import Finding, Level

_COLOURS = {Level.OK: "green", Level.WARNING: "yellow", Level.FAULT: "bold red"}


def doctor(
    source: Annotated[
        str | None,
        typer.Argument(
            help="s3://bucket/prefix whose uploads shall be read; default: the buckets that the queue admits."
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="As one JSON list.")] = False,
) -> None:
    """Look at settings, engine, models, queue and notifications; say what is wrong, and the cure.

    Nothing is received, written or changed. Exit status 1 where there is a fault; warnings are none.
    """
    bucket, prefix = location(source) if source is not None else (None, "")
    options = settings.load()
    found = asyncio.run(_examined(options, bucket, prefix, quiet=as_json))
    if as_json:
        typer.echo(json.dumps([dataclasses.asdict(finding) for finding in found], indent=2))
    if any(finding.level is Level.FAULT for finding in found):
        sys.exit(exits.FAILED)


async def _examined(
    options: settings.Settings, bucket: str | None, prefix: str, *, quiet: bool
) -> list[Finding]:
    from consumer.doctor import examine

    console = Console(highlight=False, soft_wrap=True)
    found = []
    async for finding in examine.examine(options, bucket, prefix):
        found.append(finding)
        if not quiet:
            _show(console, finding)
    return found


def _show(console: Console, finding: Finding) -> None:
    line = Text(f"{finding.level.value:8}", _COLOURS[finding.level])
    line.append(shown(f"{finding.check}: {finding.subject} {finding.message}"), "default")
    console.print(line)
    if finding.remedy:
        console.print(Text(f"        -> {shown(finding.remedy)}"))
