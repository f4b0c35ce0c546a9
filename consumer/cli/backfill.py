"""`bucket-ocr backfill`: queue what has no current result."""

import asyncio
import json
import tempfile
from collections import Counter
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing, closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated, Any

import typer

from consumer import settings
from consumer.cli.progress import counted
from consumer.cli.standard_error import say
from consumer.cli.standard_output import outlive_reader
from consumer.cli.uris import location, shown
from consumer.domain.backfill import Estimate, Reason, Selection
from consumer.domain.errors import SettingsError
from consumer.service.backfill import Candidate, Journal, Planner, send
from consumer.service.page_sample import PageSample
from consumer.service.s3_inventory import InventoryError, Manifest

if TYPE_CHECKING:
    from consumer.operations import BackfillClients


@dataclass(frozen=True, slots=True)
class _Rates:
    """What the user tells of speed and price; None: not told."""

    pages_per_hour: float | None
    price_per_hour: float | None


@dataclass(slots=True)
class _Plan:
    """What is to be queued, in a file, and what was counted meanwhile."""

    file: IO[str]
    objects: int = 0
    reasons: Counter[Reason] = field(default_factory=Counter)
    queued_before: int = 0

    def add(self, candidate: Candidate, journal: Journal) -> bool:
        """Note a source; returns whether it is to be queued."""
        self.objects += 1
        if candidate.reason is None:
            return False
        if journal.has(candidate):
            self.queued_before += 1
            return False
        self.reasons[candidate.reason] += 1
        self.file.write(json.dumps(candidate) + "\n")
        return True

    def candidates(self) -> Iterator[Candidate]:
        """Read back what is to be queued."""
        self.file.seek(0)
        for line in self.file:
            key, etag, reason, pages = json.loads(line)
            yield Candidate(key, etag, Reason(reason), pages)

    def facts(self, estimate: Estimate, rates: _Rates) -> dict[str, Any]:
        """Sum up."""
        pages, per_hour = estimate.pages, rates.pages_per_hour or estimate.pages_per_hour
        hours = pages / per_hour if pages is not None and per_hour else None
        price = hours * rates.price_per_hour if hours is not None and rates.price_per_hour else None
        return {
            "objects": self.objects,
            "to_queue": self.reasons.total(),
            **{reason.value: self.reasons[reason] for reason in Reason},
            "queued_before": self.queued_before,
            "pages": pages,
            "documents_counted": estimate.counted,
            "documents_of_estimated_pages": estimate.estimated,
            "pages_per_hour": per_hour,
            "hours": None if hours is None else round(hours, 2),
            "price": None if price is None else round(price, 2),
        }


def backfill(  # noqa: PLR0913, PLR0917 - each is an option
    target: Annotated[str, typer.Argument(help="s3://bucket/prefix of the sources.")],
    include: Annotated[
        list[str] | None, typer.Option(help="Only keys of this pattern (* matches / too); repeatable.")
    ] = None,
    exclude: Annotated[
        list[str] | None, typer.Option(help="No keys of this pattern; repeatable, goes before --include.")
    ] = None,
    since: Annotated[datetime | None, typer.Option(help="Only objects stored since then (UTC).")] = None,
    before: Annotated[datetime | None, typer.Option(help="Only objects stored before then (UTC).")] = None,
    files_from: Annotated[
        typer.FileText | None, typer.Option(help="Keys, or s3:// locations, one a line; - is standard input.")
    ] = None,
    inventory: Annotated[
        str | None, typer.Option(help="s3://… of the manifest.json of an S3 Inventory (CSV, Parquet).")
    ] = None,
    fingerprint: Annotated[
        str | None, typer.Option(help="Of the consumers' engine: results of others are not current.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Also what has a current result.")] = False,
    sample: Annotated[
        int,
        typer.Option(
            min=0, help="Most documents that are downloaded to count their pages; the others have the mean."
        ),
    ] = 50,
    pages_per_hour: Annotated[
        float | None, typer.Option(help="Speed; default: of the ten busiest minutes of the results.", min=1)
    ] = None,
    price_per_hour: Annotated[
        float | None, typer.Option(help="Price of an hour at that speed.", min=0)
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Queue; without it nothing is sent.")] = False,
    rate: Annotated[float | None, typer.Option(help="At most so many messages a second.", min=0.001)] = None,
    journal: Annotated[
        Path | None, typer.Option(help="File with what was queued: another run does not queue it again.")
    ] = None,
    summary: Annotated[bool, typer.Option("--summary", help="The totals only.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="JSON lines, the totals last.")] = False,
) -> None:
    """Plan what has no current result, and with --yes queue it: print each source and why, then totals.

    Reasons: new (no result), changed (the result is of an older source), failed (not read, for example after
    too many tries), engine (with --fingerprint: read by another engine), forced. Each result costs a HEAD
    request; with --files-from and --inventory each source too. Pages of documents without a result are
    counted in a random sample (--sample).
    """
    if files_from is not None and inventory is not None:
        raise typer.BadParameter("choose one of --files-from and --inventory")
    bucket, prefix = location(target)
    times = (each and each.replace(tzinfo=each.tzinfo or UTC) for each in (since, before))
    selection = Selection(tuple(include or ()), tuple(exclude or ()), *times)
    queue_url = settings.load(settings.QueueSettings).queue_url if yes else None
    options = _Options(
        *(bucket, prefix, fingerprint, force, summary, as_json, files_from, inventory, queue_url, rate),
        sample=sample,
        rates=_Rates(pages_per_hour, price_per_hour),
        selection=selection,
    )
    if yes:
        outlive_reader()
    try:
        book = Journal(journal)
    except (OSError, ValueError) as error:
        raise typer.BadParameter(f"--journal: {error}") from error
    with closing(book):
        try:
            asyncio.run(_backfill(options, book))
        except InventoryError as error:
            raise SettingsError(f"{shown(inventory or '')}: {error}") from error


@dataclass(frozen=True, slots=True)
class _Options:
    """What was asked for; `queue_url` None: a plan alone."""

    bucket: str
    prefix: str
    fingerprint: str | None
    force: bool
    summary: bool
    as_json: bool
    files_from: IO[str] | None
    inventory: str | None
    queue_url: str | None
    rate: float | None
    sample: int
    rates: _Rates
    selection: Selection


async def _backfill(options: _Options, journal: Journal) -> None:
    from consumer.operations import backfill_clients

    with tempfile.TemporaryDirectory(prefix="bucket-ocr-backfill-") as folder:
        path = Path(folder)
        with (path / "plan").open("w+", encoding="utf-8") as file:
            plan = _Plan(file)
            async with backfill_clients(options.queue_url, options.rate) as clients:
                planner = Planner(
                    *(clients.store, options.bucket, options.selection, options.fingerprint, options.force),
                    PageSample(options.sample),
                )
                await _fill(plan, planner, _candidates(planner, clients, options, path), journal, options)
                await _count_pages(planner, clients, path)
                _print_totals(plan.facts(planner.estimate, options.rates), as_json=options.as_json)
                if clients.queue is None:
                    say("nothing was queued: add --yes to queue")
                    return
                total = plan.reasons.total()
                with counted("messages sent", total) as add:
                    sending = send(plan.candidates(), options.bucket, clients.queue, journal, clients.pace)
                    async with aclosing(sending) as sent:
                        async for count in sent:
                            add(count)
                say(f"{total} message(s) sent")


async def _fill(
    plan: _Plan,
    planner: Planner,
    candidates: AsyncGenerator[Candidate],
    journal: Journal,
    options: _Options,
) -> None:
    """Plan, and print each source that is to be queued, unless only totals are wanted."""
    with counted("documents looked at", prints_lines=not options.summary) as add:
        async with aclosing(candidates) as found:
            async for each in found:
                add(1)
                if not plan.add(each, journal):
                    continue
                planner.count(each)
                if not options.summary:
                    _print(options.bucket, each, as_json=options.as_json)


async def _count_pages(planner: Planner, clients: "BackfillClients", folder: Path) -> None:
    """Count the pages of the sample."""
    sample = planner.sample.keys
    if not sample:
        return
    unopened = 0
    with counted("documents opened, to count their pages", len(sample)) as add:
        async with clients.page_counter(folder) as counter:
            for key in sample:
                pages = await counter.count(planner.bucket, key)
                if pages is None:
                    unopened += 1
                else:
                    planner.estimate.note_counted(key, pages)
                add(1)
    if unopened:
        say(f"{unopened} document(s) could not be opened to count their pages")


def _print(bucket: str, candidate: Candidate, *, as_json: bool) -> None:
    uri, reason = f"s3://{bucket}/{candidate.key}", candidate.reason
    facts = {"source": uri, "reason": reason}
    typer.echo(json.dumps(facts, ensure_ascii=False) if as_json else f"{reason:<8} {shown(uri)}")


def _candidates(
    planner: Planner, clients: "BackfillClients", options: _Options, folder: Path
) -> AsyncGenerator[Candidate]:
    if options.inventory is not None:
        return _in_inventory(planner, clients, options, folder)
    if options.files_from is not None:
        return planner.of(_names(options.files_from, options.bucket, options.prefix))
    return planner.under(options.prefix)


def _names(file: IO[str], bucket: str, prefix: str) -> Iterator[str]:
    """Yield the keys of a list that are under the prefix; raises a usage error for another bucket."""
    for line in file:
        name = line.rstrip("\r\n")
        its_bucket, key = location(name) if name.startswith("s3://") else (bucket, name)
        if its_bucket != bucket:
            raise typer.BadParameter(f"--files-from: {shown(name)} is not in s3://{bucket}")
        if key.startswith(prefix):
            yield key


async def _in_inventory(
    planner: Planner, clients: "BackfillClients", options: _Options, folder: Path
) -> AsyncGenerator[Candidate]:
    """Fetch the files of an inventory, one after the other, and judge what is in each."""
    bucket, key = location(options.inventory or "")
    await clients.fetch(bucket, key, folder / "manifest")
    manifest = Manifest.parse((folder / "manifest").read_bytes())
    if manifest.bucket != options.bucket:
        raise InventoryError(f"is of the bucket {manifest.bucket}")
    for each in manifest.files:
        await clients.fetch(manifest.place, each.key, folder / "file")
        names = (name for name in manifest.keys(folder / "file") if name.startswith(options.prefix))
        async with aclosing(planner.of(names)) as found:
            async for candidate in found:
                yield candidate


def _print_totals(facts: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps({"totals": facts}))
        return
    reasons = ", ".join(f"{facts[reason]} {reason}" for reason in Reason if facts[reason])
    say(f"{facts['objects']} document(s), {facts['to_queue']} to queue{reasons and ': '}{reasons}")
    if facts["queued_before"]:
        say(f"{facts['queued_before']} queued before, by the journal")
    if facts["pages"] is None:
        say("pages: unknown, since no document was opened (--sample), and none has a result")
        return
    estimated = facts["documents_of_estimated_pages"]
    counted_ones = f" of {facts['documents_counted']} that were opened" if facts["documents_counted"] else ""
    how = f" ({estimated} document(s) by the mean{counted_ones or ' of others'})" if estimated else ""
    hours = "unknown hours: give --pages-per-hour" if facts["hours"] is None else f"{facts['hours']:g} h"
    speed = f" at {facts['pages_per_hour']:g} pages/h" if facts["hours"] is not None else ""
    price = "" if facts["price"] is None else f", price {facts['price']:g}"
    say(f"about {facts['pages']} page(s){how}, {hours}{speed}{price}")
