"""`bucket-ocr dlq`: messages that used up their receives."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from consumer import settings
from consumer.cli.exits import ExitStatus
from consumer.cli.progress import counted
from consumer.cli.standard_error import complain, say
from consumer.cli.standard_output import outlive_reader
from consumer.cli.uris import location, shown
from consumer.service import dead_letters
from consumer.service.dead_letters import Choice, DeadLetter, Groups

if TYPE_CHECKING:
    from consumer.operations import DeadLetterClients

app = typer.Typer(
    help="The dead letters of BUCKET_OCR_QUEUE_URL. A look hides them from other readers until it ends.",
    no_args_is_help=True,
)

_Code = Annotated[
    list[str] | None,
    typer.Option("--code", help="Only those with this code; may be repeated.", metavar="CODE"),
]
_Prefix = Annotated[
    str | None, typer.Option("--prefix", help="Only those with a source there.", metavar="s3://bucket/prefix")
]
_Json = Annotated[bool, typer.Option("--json", help="JSON lines.")]


def _choice(codes: list[str] | None, prefix: str | None) -> Choice:
    wanted = frozenset(code.upper() for code in codes or ())
    if unknown := sorted(wanted - set(dead_letters.CODES)):
        raise typer.BadParameter(f"unknown code {unknown[0]} (known: {', '.join(dead_letters.CODES)})")
    return Choice(wanted, *(location(prefix) if prefix is not None else ()))


@app.command("list")
def list_letters(code: _Code = None, prefix: _Prefix = None, as_json: _Json = False) -> None:
    """Count messages by code and by the folder (below --prefix) of their source.

    The code is that of the source's result: a code of results, SUCCESS or PARTIAL; else NO_RESULT, STALE (a
    result of an older source), GONE (no source), REFUSED (may not be looked at), MALFORMED (the message
    cannot be understood), or IGNORED (it needs no work). Each source costs two HEAD requests.
    """
    choice = _choice(code, prefix)
    groups = Groups(choice)
    asyncio.run(_look(choice, groups.add))
    found = groups.largest_first()
    for group in found:
        if as_json:
            facts: dict[str, Any] = {"code": group.code, "prefix": group.folder, "messages": group.messages}
            facts |= {"without_result": group.without_result, "oldest_at": group.oldest_at.isoformat()}
            typer.echo(json.dumps(facts | {"example": group.example}, ensure_ascii=False))
        else:
            count_and_place = f"{group.code:<18} {group.messages:>7} {shown(group.folder) or '-'}"
            typer.echo(f"{count_and_place}  oldest {group.oldest_at:%Y-%m-%dT%H:%MZ}  e.g. {group.example}")
    without = sum(group.without_result for group in found)
    total = sum(group.messages for group in found)
    say(f"{total} message(s), {without} without a result")


@app.command("show")
def show(
    message_id: Annotated[str, typer.Argument(help="Id of the message, as `list` and `export` tell it.")],
) -> None:
    """Show one message: its code, its sources, its body. Exit status 1 if there is none of this id."""
    found: list[DeadLetter] = []
    asyncio.run(_look(Choice(message_id=message_id), found.append))
    if not found:
        complain(f"there is no message {message_id} among the dead letters")
        sys.exit(ExitStatus.FAILED)
    facts = _facts(found[0])
    body = facts.pop("body")
    for name, value in facts.items():
        for line in value if isinstance(value, list) else [value]:
            typer.echo(f"{name:<11} {shown(str(line))}")
    typer.echo(f"\n{body}")


@app.command("export")
def export(code: _Code = None, prefix: _Prefix = None) -> None:
    """Print whole messages as JSON lines; they stay where they are."""

    def print_whole(letter: DeadLetter) -> None:
        typer.echo(json.dumps(_facts(letter), ensure_ascii=False))

    asyncio.run(_look(_choice(code, prefix), print_whole, prints_lines=True))


@app.command("redrive")
def redrive(
    code: _Code = None,
    prefix: _Prefix = None,
    rate: Annotated[float | None, typer.Option(help="At most so many messages a second.", min=0.001)] = None,
    as_json: _Json = False,
) -> None:
    """Move messages back to the queue, as new ones with all tries before them; print each.

    `list` with the same options tells what would be moved.
    """
    choice = _choice(code, prefix)
    outlive_reader()

    async def move() -> int:
        moved = 0
        async with _opened(rate) as clients:
            letters = dead_letters.redrive(clients.letters, choice, clients.queue, clients.pace)
            with counted("messages moved", prints_lines=True) as add:
                async with aclosing(letters) as found:
                    async for letter in found:
                        _print("redriven", letter, as_json=as_json)
                        moved += 1
                        add(1)
        return moved

    say(f"{asyncio.run(move())} message(s) moved")


@app.command("purge")
def purge(
    code: _Code = None,
    prefix: _Prefix = None,
    yes: Annotated[bool, typer.Option("--yes", help="Delete; without it nothing is changed.")] = False,
    without_result: Annotated[
        bool, typer.Option("--without-result", help="Delete also what has no result, and then never will.")
    ] = False,
    as_json: _Json = False,
) -> None:
    """Delete messages whose sources have a result (a failure is one) or are gone; print each.

    Without --yes it prints what would be deleted, and what would be kept. Messages without a result are kept,
    also with --yes, unless --without-result says that they are meant: then exit status 1.
    """
    choice = _choice(code, prefix)
    if yes:
        outlive_reader()
    # A plan must not be taken for a deed.
    deleted = "deleted" if yes else "deletable"
    counts = {deleted: 0, "kept": 0}

    async def delete() -> None:
        async with _opened() as clients:
            letters = dead_letters.purge(
                clients.letters, choice, without_result=without_result, is_dry=not yes
            )
            with counted("messages looked at", prints_lines=True) as add:
                async with aclosing(letters) as found:
                    async for letter, is_deleted in found:
                        outcome = deleted if is_deleted else "kept"
                        counts[outcome] += 1
                        _print(outcome, letter, as_json=as_json)
                        add(1)

    asyncio.run(delete())
    would = "" if yes else "would be "
    say(f"{counts[deleted]} message(s) {would}deleted, {counts['kept']} {would}kept without a result")
    if not yes:
        say("nothing was changed: add --yes to delete")
    elif counts["kept"]:
        sys.exit(ExitStatus.FAILED)


@asynccontextmanager
async def _opened(rate: float | None = None) -> AsyncIterator["DeadLetterClients"]:
    """Open the dead letters; warn at the end if SQS had more than came."""
    from consumer.operations import dead_letter_clients

    queue_url = settings.load(settings.QueueSettings).queue_url
    async with dead_letter_clients(queue_url, rate) as clients:
        yield clients
        dead = clients.letters.queue
    if dead.hidden:
        say(f"about {dead.hidden} message(s) were hidden by another reader, and are not among these")


async def _look(choice: Choice, use: Callable[[DeadLetter], None], *, prints_lines: bool = False) -> None:
    """Give the chosen ones to a function, one after the other."""
    async with _opened() as clients:
        with counted("messages chosen", prints_lines=prints_lines) as add:
            async with aclosing(clients.letters.batches(choice)) as batches:
                async for batch in batches:
                    for letter in batch:
                        use(letter)
                    add(len(batch))


def _facts(letter: DeadLetter) -> dict[str, Any]:
    message = letter.message
    return {
        "message_id": message.message_id,
        "code": letter.code,
        "has_result": letter.has_result,
        "sources": [f"s3://{bucket}/{key}" for bucket, key in letter.sources],
        "sent_at": message.sent_at.isoformat(),
        "receives": message.receive_count,
        "body": message.body,
    }


def _print(outcome: str, letter: DeadLetter, *, as_json: bool) -> None:
    facts = _facts(letter)
    if as_json:
        del facts["body"]
        typer.echo(json.dumps({"outcome": outcome, **facts}, ensure_ascii=False))
    else:
        places = ", ".join(map(shown, facts["sources"])) or "-"
        typer.echo(f"{outcome:<9} {letter.code:<18} {letter.message.message_id} {places}")
