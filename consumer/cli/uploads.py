"""Uploads of files, and the outcomes of those documents."""

import asyncio
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

import typer

from consumer.cli.exits import ExitStatus
from consumer.cli.local_files import ChangedError, FileBody, sniffed
from consumer.cli.progress import counted
from consumer.cli.standard_output import print_done
from consumer.cli.uris import shown
from consumer.domain import keys
from consumer.domain.errors import ServiceError, UnavailableError
from consumer.domain.result import Status
from consumer.ports import NewObject
from consumer.service import inventory

if TYPE_CHECKING:
    from consumer.operations import UploadOffice

#: Shortest pause between two requests for the same result.
_MIN_PAUSE_S: Final = 0.5

#: Files that are open at the same time. So many that are refused, and none that is not: all will be.
_FILES_AT_ONCE: Final = 8

_MB: Final = 1_000_000


def complain(problem: str) -> None:
    """Print a problem, also while there is a bar, which is kept below it."""
    typer.echo(f"bucket-ocr: {printable(problem)}", file=sys.stderr)


def printable(name: str) -> str:
    """Escape what a terminal may not be sent, and bytes of names that are no text."""
    return shown(name.encode(errors="backslashreplace").decode())


@dataclass
class Upload:
    """Uploads files, and follows their results for `wait_s` seconds after the last (None: not at all)."""

    bucket: str
    wait_s: float | None
    as_json: bool
    _awaited: dict[str, None] = field(default_factory=dict)
    _statuses: list[Status] = field(default_factory=list)
    _uploaded: int = 0
    _problems: int = 0
    _refused: list[tuple[Path, ServiceError]] = field(default_factory=list)

    async def run(self, targets: Sequence[tuple[Path, str]]) -> ExitStatus:
        """Do it; raises ServiceError if the service cannot be reached, or refuses all."""
        from consumer.operations import upload_office

        try:
            async with (
                upload_office() as office,
                asyncio.timeout(None) as deadline,
                asyncio.TaskGroup() as followers,
            ):
                await self._upload_all(office, targets, followers)
                if self.wait_s is not None:
                    deadline.reschedule(asyncio.get_running_loop().time() + self.wait_s)
                    await self._count_results()
        except TimeoutError:
            missing, first = len(self._awaited), f"s3://{self.bucket}/{next(iter(self._awaited))}"
            complain(
                f"no result of {missing} document(s) after {self.wait_s:g} s, such as {first}: "
                "see `bucket-ocr doctor`, or wait with `bucket-ocr status --watch`"
            )
            return ExitStatus.TIMED_OUT
        has_failed = self._problems or Status.FAILURE in self._statuses
        return ExitStatus.FAILED if has_failed else ExitStatus.DONE

    async def _count_results(self) -> None:
        """Show how many results have come, until all have."""
        seen = 0
        with counted("documents read", self._uploaded) as add:
            while True:
                add(len(self._statuses) - seen)
                seen = len(self._statuses)
                if seen == self._uploaded:
                    return
                await asyncio.sleep(_MIN_PAUSE_S / 2)

    async def _upload_all(
        self, office: "UploadOffice", targets: Sequence[tuple[Path, str]], followers: asyncio.TaskGroup
    ) -> None:
        waiting = iter(targets)
        total_bytes = sum(_size_bytes(path) for path, _ in targets)
        # Of a few large files, what matters is how much of them is sent.
        is_by_size = total_bytes > len(targets) * _MB
        what, total = ("MB uploaded", total_bytes / _MB) if is_by_size else ("files uploaded", len(targets))
        with counted(what, total) as add:

            def sent(size_bytes: int) -> None:
                if is_by_size:
                    add(size_bytes / _MB)

            async def work() -> None:
                for path, key in waiting:
                    etag = await self._tried(office, path, key, sent)
                    if not is_by_size:
                        add(1)
                    if etag is None:
                        continue
                    self._uploaded += 1
                    if self.wait_s is None:
                        self._show(key, etag, "uploaded")
                    else:
                        self._awaited[key] = None
                        followers.create_task(self._follow(office, key, etag))

            async with asyncio.TaskGroup() as workers:
                for _ in range(min(_FILES_AT_ONCE, len(targets))):
                    workers.create_task(work())
        self._report_refused()

    async def _tried(
        self, office: "UploadOffice", path: Path, key: str, sent: Callable[[int], None]
    ) -> str | None:
        """Upload a file; a problem of its own is reported, and the others go on. Returns its ETag."""
        try:
            content_type = sniffed(path) or "application/octet-stream"
            with FileBody.opened(path) as body:
                new = NewObject(self.bucket, key, body, {}, content_type)
                try:
                    return await office.uploads.upload(new, body.require_unchanged, sent)
                except ServiceError:
                    # A body that ends early looks like a connection that was cut.
                    body.require_unchanged()
                    raise
        except OSError as error:
            self._report(f"{path}: {error.strerror or error}")
        except ChangedError as error:
            self._report(str(error))
        except UnavailableError:
            raise
        except ServiceError as error:
            self._refused.append((path, error))
            if self._uploaded:
                self._report_refused()
            elif len(self._refused) == _FILES_AT_ONCE:
                raise
        return None

    def _report_refused(self) -> None:
        """Report the files that were refused; raises ServiceError if no other was taken."""
        if self._refused and not self._uploaded:
            raise self._refused[0][1]
        for path, error in self._refused:
            self._report(f"{path}: {error}")
        self._refused.clear()

    def _report(self, problem: str) -> None:
        self._problems += 1
        complain(problem)

    async def _follow(self, office: "UploadOffice", key: str, etag: str) -> None:
        """Print the outcome of a document when it has come."""
        while True:
            result = await inventory.result_head(office.store, self.bucket, key)
            # Not one of older bytes.
            if result is not None and result.source_etag == etag:
                break
            # With many documents each is asked for less often: about 100 requests a second in all.
            await asyncio.sleep(max(_MIN_PAUSE_S, len(self._awaited) / 100))
        del self._awaited[key]
        self._statuses.append(result.status)
        self._show(key, etag, result.status.value)

    def _show(self, key: str, etag: str, outcome: str) -> None:
        uri = f"s3://{self.bucket}/{key}"
        facts = {"source": uri, "result": keys.result_key(uri), "etag": etag, "status": outcome}
        print_done(json.dumps(facts) if self.as_json else f"{outcome:<8} {shown(uri)}")


def _size_bytes(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        # It is gone by now, and reported when its turn comes.
        return 0
