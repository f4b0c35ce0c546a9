"""`bucket-ocr doctor`: find the reasons why documents are not read, and their remedies."""

import asyncio
import dataclasses
import json
import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from consumer import settings
from consumer.cli.exits import ExitStatus
from consumer.cli.uris import location, shown
from consumer.doctor.checks import Finding, Level
from consumer.domain.errors import SettingsError

_COLOURS = {Level.OK: "green", Level.WARNING: "yellow", Level.FAULT: "red"}


def doctor(
    source: Annotated[
        str | None, typer.Argument(help="s3://bucket/prefix of uploads; default: all in the queue's policy.")
    ] = None,
    write: Annotated[bool, typer.Option("--write", help="Prove that results can be written.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="As one JSON list.")] = False,
) -> None:
    """Check settings, engine, models, queue and notifications; report each fault with its remedy.

    Nothing is received, written or changed. With --write an object is stored under the prefix and removed,
    and a test event is sent, which a consumer deletes: run it with the consumer's role. Exit status 1 if
    there is a fault; warnings do not count.
    """
    bucket, prefix = location(source) if source is not None else (None, "")
    try:
        options = settings.load(settings.Settings)
    except SettingsError as error:
        if as_json:
            _print([Finding("settings", Level.FAULT, "BUCKET_OCR_*", str(error), "see .env.example")])
        raise
    findings = asyncio.run(_examine(options, bucket, prefix, writes=write, as_json=as_json))
    if as_json:
        _print(findings)
    if any(finding.level is Level.FAULT for finding in findings):
        sys.exit(ExitStatus.FAILED)


def _print(findings: Sequence[Finding]) -> None:
    typer.echo(json.dumps([dataclasses.asdict(finding) for finding in findings], indent=2))


async def _examine(
    options: settings.Settings, bucket: str | None, prefix: str, *, writes: bool, as_json: bool
) -> list[Finding]:
    from consumer.doctor.examine import examine

    findings = []
    async for finding in examine(options, bucket, prefix, writes=writes):
        findings.append(finding)
        if not as_json:
            _show(finding)
    return findings


def _show(finding: Finding) -> None:
    level = typer.style(f"{finding.level.value:8}", fg=_COLOURS[finding.level])
    typer.echo(level + shown(f"{finding.check}: {finding.subject} {finding.message}"))
    if finding.remedy:
        typer.echo(f"        -> {shown(finding.remedy)}")
